"""The documents: their shape, what they say of today, and what they keep to themselves."""

import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import time_machine

from achievements.engine import process_events
from achievements.models import Notification, Outbox, Status
from achievements.outcomes import read_outcome
from achievements.reasons import explain_achievement
from achievements.selectors import (
    list_notifications,
    read_catalogue,
    read_definition,
    read_revisions,
    read_user_achievements,
    read_user_progress,
)
from tests.factories import (
    NOON,
    invalidate,
    make_achievement,
    make_broad_catalogue,
    make_event,
    new_user,
    publish,
    store_history,
)

pytestmark = pytest.mark.django_db
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
SECRET_RULE = {"count": "tests", "where": {"language": {"eq": "klingon"}, "wpm": {"gte": 77.123}}}


def text_of(document: Any) -> str:
    return msgspec.json.encode(document).decode()


def find(document: dict[str, Any], slug: str) -> dict[str, Any]:
    [entry] = [e for e in document["achievements"] if e["slug"] == slug]
    return entry


def test_the_profile_has_the_documented_shape() -> None:
    make_broad_catalogue()
    user = new_user()
    process_events([make_event(user, 1, wpm=95.0, utc_offset_minutes=60)])
    profile = read_user_achievements(user_id=user)
    assert list(profile) == ["userId", "points", "unlockedCount", "totalCount", "achievements"]
    assert (profile["userId"], profile["unlockedCount"], profile["totalCount"]) == (user, 2, 11)
    fast = find(profile, "fast")
    assert set(fast) == {
        *("slug", "name", "description", "category", "icon", "level", "points", "unlockedAt"),
        "rarity",
    }
    assert (fast["level"], fast["points"], fast["description"]) == (2, 30, "You got fast.")
    assert fast["unlockedAt"] == "2026-03-02T12:01:00Z"
    assert fast["icon"].endswith("/achievements/icons/flame.svg")
    assert profile["points"] == 40


def test_a_user_without_anything_has_documents() -> None:
    make_broad_catalogue()
    user = new_user()
    profile = read_user_achievements(user_id=user)
    assert (profile["points"], profile["unlockedCount"], profile["achievements"]) == (0, 0, [])
    progress = read_user_progress(user_id=user)
    assert {e["percent"] for e in progress["achievements"]} == {0}
    assert len(progress["achievements"]) == 11
    assert read_revisions([user])[user] == 0
    assert list_notifications(user_id=user) == []


def test_progress_has_the_documented_shape_and_the_next_level() -> None:
    make_broad_catalogue()
    user = new_user()
    process_events([make_event(user, n, wpm=95.0, accuracy=99.0) for n in (1, 2)])
    document = read_user_progress(user_id=user)
    assert list(document) == ["userId", "asOf", "achievements"]
    assert ISO.fullmatch(document["asOf"])
    for entry in document["achievements"]:
        average = ["tests", "testsNeeded"] if entry["slug"] == "steady" else []
        assert list(entry) == ["slug", "level", "current", "target", "percent", "unit", *average]
        assert 0 <= entry["percent"] <= 99
    assert find(document, "fast") == {
        "slug": "fast", "level": 3, "current": 95, "target": 120, "percent": 79, "unit": "wpm",
    }  # fmt: skip
    assert find(document, "steady") == {
        "slug": "steady", "level": 1, "current": 95, "target": 70, "percent": 66, "unit": "wpm",
        "tests": 2, "testsNeeded": 3,
    }  # fmt: skip
    assert find(document, "many")["percent"] == 66
    assert "first" not in text_of(document)


def test_a_streak_is_shown_as_of_the_users_today() -> None:
    make_broad_catalogue()
    user = new_user()
    days = [NOON + timedelta(days=n) for n in range(4)]
    process_events(
        [make_event(user, n, at=at, utc_offset_minutes=600) for n, at in enumerate(days, 1)]
    )
    last = days[-1]  # 22:00 in the user's time
    for moment, current in (
        (last + timedelta(hours=1), 4),
        (last + timedelta(hours=3), 4),  # tomorrow there: still to be kept
        (last + timedelta(hours=25), 4),
        (last + timedelta(hours=26, minutes=1), 0),  # a whole day was missed
        (last + timedelta(days=30), 0),
    ):
        with time_machine.travel(moment, tick=False):
            week = find(read_user_progress(user_id=user), "week")
        assert (week["level"], week["current"], week["target"]) == (3, current, 7), moment


def test_what_is_revoked_leaves_every_document() -> None:
    make_broad_catalogue()
    user = new_user()
    events = [make_event(user, 1, wpm=70.0), make_event(user, 2, wpm=130.0)]
    store_history(events)
    process_events(events)
    revision = read_revisions([user])[user]
    process_events([invalidate(user, 2)])
    assert read_revisions([user])[user] == revision + 1
    fast = find(read_user_achievements(user_id=user), "fast")
    assert (fast["level"], fast["points"]) == (1, 10)
    assert find(read_user_progress(user_id=user), "fast")["level"] == 2
    assert read_outcome(user_id=user, event=events[1])["unlocks"] == []


def test_closed_achievements() -> None:
    achievements = {
        status: make_achievement(status, {"count": "tests", "atLeast": 1})
        for status in (Status.LIVE, Status.LOCKED, Status.RETIRED)
    }
    publish()
    holder, other = new_user(), new_user()
    process_events([make_event(holder, 1)])
    for status, achievement in achievements.items():
        achievement.status = status
        achievement.save()
    publish()
    assert {e["slug"] for e in read_catalogue()["achievements"]} == {"live", "locked"}
    held = read_user_achievements(user_id=holder)
    assert {e["slug"] for e in held["achievements"]} == {"live", "locked", "retired"}
    assert (held["unlockedCount"], held["totalCount"]) == (3, 3)
    assert read_user_achievements(user_id=other)["totalCount"] == 1
    progress = read_user_progress(user_id=other)
    assert [e["slug"] for e in progress["achievements"]] == ["live"]
    note = explain_achievement(user_id=other, slug="locked")
    assert note is not None
    assert "closed" in note["note"]
    assert read_definition("retired") is None
    assert explain_achievement(user_id=other, slug="retired") is None
    why = explain_achievement(user_id=holder, slug="retired")
    assert why is not None
    assert (why["met"], why["evidence"]["testResultId"]) == (True, 1)
    assert {e["slug"] for e in list_notifications(user_id=holder)} == {"live", "locked", "retired"}


@pytest.fixture
def secret(db: None) -> Any:
    """One that hides everything, and a collection that asks for it."""
    hidden = make_achievement(
        "warrior",
        SECRET_RULE,
        3,
        name="Qapla Victory",
        locked_description="Think of a forehead.",
        unlocked_description="You honour your house.",
        icon="crown",
        hidden=["title", "icon", "description", "count"],
    )
    make_achievement("collection", {"any": [{"unlocked": "warrior"}, {"count": "tests",
                     "atLeast": 50}]})  # fmt: skip
    publish()
    return hidden


# No id or time holds that number.
LEAKS = ("warrior", "Qapla", "forehead", "honour", "crown", "klingon", "77.123")


def test_masks_leak_nothing_before_it_is_held(secret) -> None:
    user = new_user()
    process_events([make_event(user, 1, wpm=80.0, language="klingon")])
    opaque = next(
        e["slug"] for e in read_catalogue()["achievements"] if e["slug"].startswith("hidden-")
    )
    documents = [
        read_catalogue(),
        read_definition(opaque),
        read_user_achievements(user_id=user),
        {**read_user_progress(user_id=user), "asOf": None, "userId": None},
        explain_achievement(user_id=user, slug=opaque),
        explain_achievement(user_id=user, slug="collection"),
        read_outcome(
            user_id=user, event=make_event(user, 1, wpm=80.0, language="klingon")
        ),
        list_notifications(user_id=user),
    ]  # fmt: skip
    for document in documents:
        assert document is not None
        for leak in LEAKS:
            assert leak not in text_of(document), (leak, document)
    assert read_definition("warrior") is None
    assert explain_achievement(user_id=user, slug="warrior") is None
    assert re.fullmatch(r"hidden-[0-9a-f]{12}", opaque)
    staff = explain_achievement(user_id=user, slug="warrior", should_unmask=True)
    assert staff is not None
    assert staff["name"] == "Qapla Victory"
    assert "klingon" in text_of(staff)


def test_unlocking_reveals(secret) -> None:
    user = new_user()
    process_events([make_event(user, n, wpm=80.0, language="klingon") for n in (1, 2, 3)])
    shown = find(read_user_achievements(user_id=user), "warrior")
    assert (shown["name"], shown["description"]) == ("Qapla Victory", "You honour your house.")
    assert shown["icon"].endswith("crown.svg")
    assert {e["name"] for e in list_notifications(user_id=user)} == {"Qapla Victory", "Collection"}
    other = text_of([read_catalogue(), read_user_progress(user_id=new_user())])
    assert not any(leak in other for leak in LEAKS[:6])


@pytest.mark.parametrize("part", ["title", "icon", "description", "count"])
def test_each_part_is_hidden_by_itself(part: str) -> None:
    make_achievement("odd", {"count": "tests"}, 37, hidden=[part], icon="crown")
    publish()
    [entry] = read_catalogue()["achievements"]
    assert (entry["slug"] == "odd") == (entry["name"] == "Odd") == (part != "title")
    assert entry["icon"].endswith("crown.svg") == (part != "icon")
    assert (entry["description"] == "How to get odd.") == (part != "description")
    assert (entry["levels"][0]["target"] == 37) == (part != "count")
    assert ("37" in entry["levels"][0]["sentence"]) == (part in ("title", "icon"))
    assert len(read_user_progress(user_id=new_user())["achievements"]) == (part != "count")


def test_an_outcome_is_pending_and_then_processed() -> None:
    make_broad_catalogue()
    user = new_user()
    event = make_event(user, 1, wpm=95.0)
    Outbox.objects.create(user_id=user, event=b"waits")
    pending = read_outcome(user_id=user, event=event)
    assert pending["status"] == "pending"
    assert pending["unlocks"] == pending["progress"] == []
    assert 0 <= pending["lagSeconds"] < 60
    Outbox.objects.all().delete()
    process_events([event])
    done = read_outcome(user_id=user, event=event)
    assert (done["status"], done["lagSeconds"]) == ("processed", 0.0)
    assert sorted((u["slug"], u["level"], u["points"]) for u in done["unlocks"]) == [
        ("fast", 1, 10),
        ("fast", 2, 20),
        ("first", 1, 10),
    ]
    assert 1 <= len(done["progress"]) <= 5
    percents = [entry["percent"] for entry in done["progress"]]
    assert percents == sorted(percents, reverse=True)
    process_events([make_event(user, n) for n in range(2, 100)])
    assert read_outcome(user_id=user, event=event)["status"] == "processed"  # by the archive


def test_notifications_are_paged_from_the_newest() -> None:
    make_achievement("many", {"count": "tests"}, 1, 2, 3, 4, 5)
    publish()
    user = new_user()
    process_events([make_event(user, n) for n in range(1, 6)])
    first = list_notifications(user_id=user, limit=2)
    assert [(e["sequence"], e["level"], e["points"]) for e in first] == [(5, 5, 50), (4, 4, 40)]
    rest = list_notifications(user_id=user, before=4, limit=10)
    assert [e["sequence"] for e in rest] == [3, 2, 1]
    assert rest[0]["readAt"] is None
    Notification.objects.filter(user_id=user).update(read_at=NOON)
    assert list_notifications(user_id=user)[0]["readAt"] == "2026-03-02T12:00:00Z"


def test_what_holders_keep_after_levels_were_removed() -> None:
    many = make_achievement("many", {"count": "tests"}, 1, 2, 3)
    publish()
    user = new_user()
    process_events([make_event(user, n) for n in (1, 2, 3)])
    many.levels = many.levels[:1]
    many.save()
    publish()
    entry = find(read_user_achievements(user_id=user), "many")
    assert (entry["level"], entry["points"]) == (3, 10)
    assert read_user_progress(user_id=user)["achievements"] == []
    assert [e["points"] for e in list_notifications(user_id=user)] == [0, 0, 10]
    why = explain_achievement(user_id=user, slug="many")
    assert why is not None
    assert why["met"] is True
