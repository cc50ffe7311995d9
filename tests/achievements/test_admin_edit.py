import re

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from achievements.models import Achievement, Publication, Status
from achievements.rulebooks import get_rulebook
from tests.achievements.admin_pages import (
    ADD,
    address,
    form_of,
    make,
    messages_of,
    sign_in,
    text_of,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client):
    client.force_login(User.objects.create_superuser("ada", "ada@example.org", "pw"))
    return client


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
        pytest.param({"criteria": "{"}, "Neither JSON nor YAML", id="json"),
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


def test_it_says_that_a_draft_waits_to_be_published(staff):
    assert "nobody sees it until it is published" in messages_of(
        staff.post(ADD, form_of(), follow=True)
    )


def test_it_takes_yaml(staff):
    staff.post(ADD, form_of(criteria="best: wpm\natLeast: 60"))
    assert Achievement.objects.get().criteria == {"best": "wpm", "atLeast": 60}


@pytest.mark.parametrize("criteria", ["[]", "{}", '""', "0"])
def test_it_says_once_what_is_no_node(staff, criteria):
    errors = staff.post(ADD, form_of(criteria=criteria)).context["adminform"].form.errors
    assert len(errors["criteria"]) == 1
    assert "node" in errors["criteria"][0]


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
