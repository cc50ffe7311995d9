import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from achievements.models import Achievement, Publication, Status
from achievements.rulebooks import get_rulebook
from tests.achievements.admin_pages import (
    LIST,
    address,
    form_of,
    make,
    messages_of,
    text_of,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client):
    client.force_login(User.objects.create_superuser("ada", "ada@example.org", "pw"))
    return client


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


def test_it_says_what_is_about_to_be_published(staff):
    levels = [{"target": 80, "points": 5}, {"target": 90, "points": 15}]
    ladder = make("ladder", criteria={"best": "wpm"}, levels=levels, status=Status.DRAFT)
    lonely = make(status=Status.DRAFT)
    page = text_of(
        staff.get(f"{LIST}status/publish/?id={ladder.pk}&id={lonely.pk}"),
    )
    assert "Level 2: Reach 90 wpm. (15 points)" in page
    assert '<td class="number">20</td>' in page
    assert "Reach 60 wpm." in page


def test_it_does_not_publish_what_can_never_be_met(staff):
    never = {"count": "tests", "where": {"accuracy": {"gt": 100}}, "atLeast": 1}
    achievement = make(criteria=never, status=Status.DRAFT)
    page = text_of(staff.get(f"{LIST}status/publish/?id={achievement.pk}"))
    assert "accuracy is from 0 to 100" in page
    staff.post(f"{LIST}status/publish/", {"id": achievement.pk})
    achievement.refresh_from_db()
    assert achievement.status == Status.DRAFT


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
