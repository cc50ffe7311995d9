"""What tests put into the database: definitions, tests of users, and events.

Rows are made by factory-boy; whoever makes definitions publishes them with `publish`.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import msgspec
from factory.declarations import LazyAttribute, LazyFunction, Sequence
from factory.django import DjangoModelFactory

from achievements.definition import Definition
from achievements.events import Event, Metrics
from achievements.models import Achievement, Status
from achievements.rulebooks import define, publish_rulebook
from profiles.models import Profile, TestResult

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PLAIN_TEST: dict[str, Any] = {
    "wpm": 40.0, "accuracy": 90.0, "durationSeconds": 1.0, "mode": "time", "language": "english",
}  # fmt: skip
_user_ids = count(1_000_001)


class AchievementFactory(DjangoModelFactory[Achievement]):
    class Meta:
        model = Achievement

    slug = Sequence("achievement-{}".format)
    name = LazyAttribute(lambda a: a.slug.replace("-", " ").title())
    locked_description = LazyAttribute(lambda a: f"How to get {a.slug}.")
    unlocked_description = LazyAttribute(lambda a: f"You got {a.slug}.")
    category = "speed"
    icon = "flame"
    status = Status.LIVE
    criteria = LazyFunction(lambda: {"count": "tests", "atLeast": 1})
    levels = LazyFunction(lambda: [{"target": None, "points": 10}])


class ProfileFactory(DjangoModelFactory[Profile]):
    class Meta:
        model = Profile

    user_id = LazyFunction(lambda: new_user())
    display_name = "Ada"


class TestResultFactory(DjangoModelFactory[TestResult]):
    __test__ = False

    class Meta:
        model = TestResult

    user_id = LazyFunction(lambda: new_user())
    id = Sequence(lambda n: n + 1)
    wpm = 60.0
    accuracy = 97.0
    duration_seconds = 30.0
    completed_at = LazyAttribute(lambda r: NOON + timedelta(minutes=r.id % 100_000))


def new_user() -> int:
    """Return a user id that no test has used before."""
    return next(_user_ids)


def make_levels(*targets: float, points: int = 10) -> list[dict[str, Any]]:
    return [{"target": target, "points": points * (n + 1)} for n, target in enumerate(targets)]


def make_achievement(slug: str, criteria: dict[str, Any], *targets: float, **fields: Any) -> Any:
    """Create a definition; targets make it one with levels."""
    if targets:
        fields["levels"] = make_levels(*targets)
    return AchievementFactory.create(slug=slug, criteria=criteria, **fields)


def publish() -> int:
    return publish_rulebook()


def read_definitions() -> list[Definition]:
    """Return what is published, as the oracle wants it."""
    return [define(a) for a in Achievement.objects.exclude(status=Status.DRAFT).order_by("pk")]


def make_event(
    user_id: int,
    test_id: int,
    *,
    event_type: str = "test_completed",
    at: datetime | None = None,
    utc_offset_minutes: int = 0,
    **metrics: Any,
) -> Event:
    """Return an event as test_results would; without a time, tests of higher ids come later."""
    values = {**PLAIN_TEST, **metrics} if event_type == "test_completed" else {}
    return Event(
        user_id=user_id,
        test_result_id=test_id,
        event_type=event_type,  # type: ignore[arg-type]
        metrics=msgspec.convert(values, Metrics),
        occurred_at=at or NOON + timedelta(minutes=test_id % 100_000),
        utc_offset_minutes=utc_offset_minutes,
    )


def invalidate(user_id: int, test_id: int) -> Event:
    return make_event(user_id, test_id, event_type="test_invalidated")


def store_history(events: Iterable[Event]) -> None:
    """Keep completed tests in test_results, without signals; invalidations mark them."""
    events = list(events)
    undone = {(e.user_id, e.test_result_id) for e in events if e.event_type != "test_completed"}
    rows = {}
    for event in events:
        if event.event_type != "test_completed":
            continue
        assert event.occurred_at is not None
        key = event.user_id, event.test_result_id
        metrics = msgspec.structs.asdict(event.metrics)
        metrics.pop("test_count")
        given = {name: value for name, value in metrics.items() if value is not None}
        rows[key] = TestResult(
            user_id=event.user_id,
            id=event.test_result_id,
            completed_at=event.occurred_at,
            utc_offset_minutes=event.utc_offset_minutes,
            invalidated_at=NOON if key in undone else None,
            **given,
        )
    TestResult.objects.bulk_create(rows.values())


def make_broad_catalogue(*, is_ordered: bool = True) -> int:
    """Create definitions of every kind, a cascade among them, and publish.

    Without runs and averages (`is_ordered`), no order of arrival matters even without a history.
    """
    make_achievement("first", {"count": "tests", "atLeast": 1})
    make_achievement("many", {"count": "tests"}, 3, 10, 40, 150)
    make_achievement("fast", {"best": "wpm"}, 60, 90, 120)
    make_achievement("clean", {"count": "tests", "where": {"accuracy": {"gte": 98}}}, 2, 20)
    make_achievement("hours", {"sum": "durationSeconds"}, 60, 600)
    make_achievement("week", {"streak": "days"}, 2, 3, 7)
    if is_ordered:
        make_achievement("flow", {"run": "tests", "where": {"accuracy": {"gte": 95}}}, 3, 8)
        make_achievement("steady", {"average": "wpm", "last": 3, "atLeast": 70})
    make_achievement("polyglot", {"distinct": "language"}, 2, 3)
    make_achievement("collector", {"all": [{"unlocked": "fast"}, {"unlocked": "clean"}]})
    make_achievement(
        "either",
        {"atLeast": 1, "of": [{"unlocked": "collector"}, {"best": "accuracy", "atLeast": 100}]},
    )
    return publish()
