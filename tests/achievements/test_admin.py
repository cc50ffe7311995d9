import json
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from achievements.admin.holders import count_holders
from achievements.models import Achievement, Publication, Status, Tally
from achievements.rulebooks import get_rulebook
from achievements.tables import USERS_TALLY

pytestmark = pytest.mark.django_db

LIST = "/admin/achievements/achievement/"
ADD = f"{LIST}add/"
PAYLOAD = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def staff(client):
    client.force_login(User.objects.create_superuser("ada", "ada@example.org", "pw"))
    return client


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


# Saving


def test_it_saves_a_new_achievement_as_a_draft(staff):
    response = staff.post(ADD, form_of(hidden=["title", "count"]))
    assert response.status_code == 302, response.context["errors"]
    achievement = Achievement.objects.get(slug="swift")
    assert achievement.status == Status.DRAFT
    assert achievement.criteria == {"best": "wpm", "atLeast": 60}
    assert achievement.levels == [{"target": None, "points": 10}]
    assert achievement.hidden == ["title", "count"]
    assert achievement.history.get().history_user.username == "ada"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"criteria": "{"}, "Not JSON", id="json"),
        pytest.param({"criteria": "[" * 5000}, "Nested too deeply", id="deep"),
        pytest.param(
            {"criteria": '{"all": [{"count": "tests", "atLeast": 1}, {"best": "mood"}]}'},
            "criteria → all → 1 → best: best takes one of",
            id="node",
        ),
        pytest.param({"criteria": '{"best": "wpm"}'}, "level 1 → target: A target is", id="target"),
        pytest.param({"levels-0-points": "10001"}, "level 1 → points:", id="points"),
        pytest.param({"levels-0-points": "ten"}, "level 1 → points:", id="no-number"),
        pytest.param({"criteria": '{"unlocked": "nobody"}'}, "There is no achievement", id="slug"),
        pytest.param({"criteria": '{"unlocked": "swift"}'}, "asks for itself", id="cycle"),
        pytest.param({"hidden": ["everything"]}, "is not one of the available", id="hidden"),
        pytest.param({"icon": "../../etc/passwd"}, "is not one of the available", id="icon"),
        pytest.param(
            {
                "active_from_0": "2026-12-02",
                "active_from_1": "00:00:00",
                "active_until_0": "2026-12-01",
                "active_until_1": "00:00:00",
            },
            "Must be after the start",
            id="window",
        ),
    ],
)
def test_it_refuses_what_is_wrong_and_stores_nothing(staff, changes, said):
    published = Publication.objects.count()
    response = staff.post(ADD, form_of(**changes))
    assert response.status_code == 200
    assert said in text_of(response)
    assert not Achievement.objects.exists()
    assert Publication.objects.count() == published


def test_it_shows_refused_criteria_as_they_were_typed(staff):
    typed = '{"best":   "mood"}'
    assert "{&quot;best&quot;:   &quot;mood&quot;}" in text_of(
        staff.post(ADD, form_of(criteria=typed))
    )


def test_a_changed_rule_of_a_live_one_gets_a_version_and_is_published(staff):
    achievement = make()
    response = staff.post(
        address(achievement),
        form_of(criteria='{"best": "wpm", "atLeast": 70}'),
        follow=True,
    )
    achievement.refresh_from_db()
    assert achievement.version == 2
    assert achievement.status == Status.LIVE
    assert get_rulebook().definitions[achievement.pk].criteria["atLeast"] == 70
    assert "manage.py rebuild_users" in messages_of(response)


def test_a_changed_text_keeps_the_version(staff):
    achievement = make()
    staff.post(address(achievement), form_of(name="Swifter"))
    achievement.refresh_from_db()
    assert (achievement.name, achievement.version) == ("Swifter", 1)


def test_the_slug_is_permanent(staff):
    achievement = make()
    staff.post(address(achievement), form_of(slug="other"))
    achievement.refresh_from_db()
    assert achievement.slug == "swift"


def test_it_refuses_to_overwrite_what_somebody_else_saved(staff):
    achievement = make()
    page = text_of(staff.get(address(achievement)))
    [seen] = re.findall(r'name="seen" value="([^"]+)"', page)
    achievement.name = "Theirs"
    achievement.save()
    response = staff.post(address(achievement), form_of(name="Mine", seen=seen))
    assert "Somebody else saved this achievement" in text_of(response)
    achievement.refresh_from_db()
    assert achievement.name == "Theirs"


# The sentence beside the criteria


def preview(client, criteria, **rows):
    return client.post(
        reverse("admin:achievements_achievement_preview"), {"criteria": criteria, **rows}
    )


def test_it_previews_in_plain_words(staff):
    rows = {"levels-0-target": "60", "levels-0-points": "5"}
    answer = preview(staff, '{"best": "wpm"}', **rows).json()
    assert answer["problems"] == []
    assert answer["levels"] == ["Level 1: Reach 60 wpm. (5 points)"]


@pytest.mark.parametrize(
    ("criteria", "place"),
    [
        ("{", "criteria"),
        ('{"any": [{"best": "mood"}]}', "criteria → any → 0 → best"),
        ("[" * 50_000, "criteria"),
        ('"' + "x" * 100_000 + '"', "criteria"),
    ],
)
def test_it_previews_problems(staff, criteria, place):
    problems = preview(staff, criteria, **{"levels-0-points": "5"}).json()["problems"]
    assert problems[0]["place"] == place
    assert problems[0]["detail"]


def test_the_preview_is_for_staff_who_may_see_definitions(client):
    assert preview(client, "{}").status_code == 302
    assert preview(sign_in(client, "view_outbox"), "{}").status_code == 403
    assert client.get(reverse("admin:achievements_achievement_preview")).status_code == 405


# The list


def test_it_counts_the_holders_of_a_page_in_one_query(staff, django_assert_max_num_queries):
    for number in range(30):
        achievement = make(f"a{number}", name=f"A {number}")
        Tally.objects.create(achievement_id=achievement.pk, level=1, slot=3, holders=number)
        Tally.objects.create(achievement_id=achievement.pk, level=1, slot=4, holders=1)
        Tally.objects.create(achievement_id=achievement.pk, level=2, slot=3, holders=7)
    Tally.objects.create(achievement_id=USERS_TALLY[0], level=USERS_TALLY[1], slot=0, holders=300)
    with django_assert_max_num_queries(10):
        page = text_of(staff.get(LIST))
    assert "30 (10%)" in page
    assert str(count_holders([achievement.pk])[achievement.pk]) == "30 (10%)"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=swift", {"swift"}),
        ("q=durationSeconds", {"marathon"}),
        ("status__exact=draft", {"marathon"}),
        ("category=endurance", {"marathon"}),
        ("hidden=yes", {"marathon"}),
        ("hidden=no", {"swift"}),
        ("o=-1", {"swift", "marathon"}),
        ("q=%25_%27", set()),
    ],
)
def test_it_finds_and_filters(staff, query, found):
    make()
    make(
        "marathon",
        name="Marathon",
        category="endurance",
        criteria={"sum": "durationSeconds", "atLeast": 3600},
        hidden=["title"],
        status=Status.DRAFT,
    )
    response = staff.get(f"{LIST}?{query}")
    assert response.status_code == 200
    assert {achievement.slug for achievement in response.context["cl"].result_list} == found


# Publish, lock, retire


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("publish", Status.DRAFT, Status.LIVE),
        ("publish", Status.RETIRED, Status.LIVE),
        ("lock", Status.LIVE, Status.LOCKED),
        ("retire", Status.LOCKED, Status.RETIRED),
        ("lock", Status.DRAFT, Status.DRAFT),
        ("retire", Status.DRAFT, Status.DRAFT),
    ],
)
def test_it_asks_and_then_changes_the_status(staff, name, before, after):
    achievement = make(status=before)
    published = Publication.objects.count()
    asked = staff.post(LIST, {"action": name, "_selected_action": [achievement.pk]}, follow=True)
    assert asked.status_code == 200
    achievement.refresh_from_db()
    assert achievement.status == before
    staff.post(
        reverse("admin:achievements_achievement_status", args=[name]), {"id": achievement.pk}
    )
    achievement.refresh_from_db()
    assert achievement.status == after
    assert Publication.objects.count() == published + (before != after)
    if before != after:
        assert get_rulebook().definitions[achievement.pk].is_live == (after == Status.LIVE)
        newest = achievement.history.first()
        assert newest.history_user.username == "ada"
        assert newest.history_change_reason


def test_the_edit_page_leads_to_the_question(staff):
    achievement = make()
    assert "retire_this" in text_of(staff.get(address(achievement)))
    response = staff.get(f"{LIST}{achievement.pk}/retire_this/", follow=True)
    assert "Nobody new can unlock it" in text_of(response)


@pytest.mark.parametrize("ids", ["", "id=x", "id=-1", "id=" + "9" * 30])
def test_it_takes_only_ids_it_can_read(staff, ids):
    assert staff.get(f"{LIST}status/publish/?{ids}").status_code in (200, 404)
    assert staff.get(f"{LIST}status/destroy/?id=1").status_code == 404


# Deleting


@pytest.mark.parametrize("status", [Status.LIVE, Status.LOCKED, Status.RETIRED])
def test_what_was_published_cannot_be_deleted(staff, status):
    achievement = make(status=status)
    response = staff.post(address(achievement, "delete"), {"post": "yes"}, follow=True)
    assert "Retire it" in messages_of(response)
    assert Achievement.objects.filter(pk=achievement.pk).exists()


def test_a_draft_that_was_live_before_cannot_be_deleted(staff):
    achievement = make()
    Achievement.objects.filter(pk=achievement.pk).update(status=Status.DRAFT)
    staff.post(address(achievement, "delete"), {"post": "yes"})
    assert Achievement.objects.filter(pk=achievement.pk).exists()


def test_a_draft_that_others_ask_for_cannot_be_deleted(staff):
    achievement = make(status=Status.DRAFT)
    make("collector", name="Collector", criteria={"unlocked": "swift"}, status=Status.DRAFT)
    response = staff.post(address(achievement, "delete"), {"post": "yes"}, follow=True)
    assert "the criteria of Collector ask for it" in messages_of(response)
    assert Achievement.objects.count() == 2


def test_a_draft_can_be_deleted(staff):
    achievement = make(status=Status.DRAFT)
    staff.post(address(achievement, "delete"), {"post": "yes"})
    assert not Achievement.objects.exists()


# History


def test_history_says_who_changed_what(staff):
    achievement = make()
    staff.post(address(achievement), form_of(criteria='{"best": "wpm", "atLeast": 61}'))
    page = text_of(staff.get(address(achievement, "history")))
    assert "ada" in page
    assert "{&quot;best&quot;: &quot;wpm&quot;, &quot;atLeast&quot;: 61}" in page


def test_a_revert_brings_back_the_rule_as_a_new_version_and_keeps_the_status(staff):
    achievement = make(status=Status.DRAFT)
    first = achievement.history.get()
    staff.post(address(achievement), form_of(criteria='{"best": "wpm", "atLeast": 90}'))
    staff.post(
        reverse("admin:achievements_achievement_status", args=["publish"]), {"id": achievement.pk}
    )
    page = f"{LIST}{achievement.pk}/history/{first.pk}/"
    assert staff.get(page).status_code == 200
    assert staff.post(page, form_of()).status_code == 302
    achievement.refresh_from_db()
    assert achievement.criteria == {"best": "wpm", "atLeast": 60}
    assert (achievement.version, achievement.status) == (3, Status.LIVE)


# Permissions, and texts that try to be markup


def test_a_reader_reads_and_changes_nothing(client):
    achievement = make()
    reader = sign_in(client, "view_achievement")
    page = text_of(reader.get(address(achievement)))
    assert "Reach 60 wpm." in page
    assert "_save" not in page
    assert reader.get(LIST).status_code == 200
    assert reader.post(address(achievement), form_of(name="Mine")).status_code == 403
    assert reader.get(ADD).status_code == 403
    assert reader.post(f"{LIST}status/retire/", {"id": achievement.pk}).status_code == 403
    reader.post(LIST, {"action": "retire", "_selected_action": [achievement.pk]})
    achievement.refresh_from_db()
    assert (achievement.name, achievement.status) == ("Swift", Status.LIVE)


def test_strangers_are_asked_to_sign_in(client):
    for page in (LIST, ADD, f"{LIST}status/retire/?id=1", "/admin/user-lookup/?user=1"):
        response = client.get(page)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")


def test_texts_are_escaped_everywhere(staff):
    texts = {"name": PAYLOAD, "locked_description": PAYLOAD, "unlocked_description": PAYLOAD}
    achievement = make(**texts, category="x", icon=PAYLOAD[:60])
    criteria = json.dumps({"unlocked": PAYLOAD})
    pages = [
        staff.get(LIST),
        staff.get(address(achievement)),
        staff.get(address(achievement, "history")),
        staff.get(f"{LIST}status/retire/?id={achievement.pk}"),
        staff.post(address(achievement), form_of(name=PAYLOAD, criteria=criteria), follow=True),
        staff.post(address(achievement, "delete"), {"post": "yes"}, follow=True),
        staff.get("/admin/"),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert(1)" not in text_of(page)
        assert "<img src=x" not in text_of(page)
