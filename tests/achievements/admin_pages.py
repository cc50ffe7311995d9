"""What the tests of the admin share: addresses, definitions, and the fields of the form."""

from django.contrib.auth.models import Permission, User

from achievements.models import Achievement, Status

LIST = "/admin/achievements/achievement/"
ADD = f"{LIST}add/"


def sign_in(client, *codenames):
    user = User.objects.create_user("grace", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return client


def make(slug="swift", **changes):
    values = {
        "name": "Swift",
        "locked_description": "Reach 60 wpm.",
        "unlocked_description": "You did.",
        "category": "speed",
        "icon": "bolt",
        "criteria": {"best": "wpm", "atLeast": 60},
        "levels": [{"target": None, "points": 10}],
        "status": Status.LIVE,
    }
    return Achievement.objects.create(slug=slug, **{**values, **changes})


def form_of(achievement=None, **changes):
    values = {
        "slug": "swift",
        "name": "Swift",
        "category": "speed",
        "icon": "bolt",
        "locked_description": "Reach 60 wpm.",
        "unlocked_description": "You did.",
        "criteria": '{"best": "wpm", "atLeast": 60}',
        "levels-0-target": "",
        "levels-0-points": "10",
        "sort_order": "10",
        "active_from_0": "",
        "active_from_1": "",
        "active_until_0": "",
        "active_until_1": "",
    }
    return {**values, **changes}


def address(achievement, page="change"):
    return f"{LIST}{achievement.pk}/{page}/"


def text_of(response):
    return response.content.decode()


def messages_of(response):
    return " ".join(str(message) for message in response.context["messages"])
