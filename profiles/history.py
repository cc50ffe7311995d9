"""Past tests for the engine (services floor): the test_results table as a history source."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import QuerySet

from achievements.errors import HistoryMoved
from achievements.events import (
    TEST_COMPLETED,
    TEST_INVALIDATED,
    Event,
    EventError,
    Metrics,
    decode_event,
    encode_event,
)
from achievements.history import DroppedTests
from profiles.models import TestResult

_COLUMNS = (
    "user_id", "id", "wpm", "raw_wpm", "accuracy", "consistency", "duration_seconds",
    "characters", "length", "mode", "language", "completed_at", "utc_offset_minutes",
)  # fmt: skip
_FIELDS = {field.name: field for field in TestResult._meta.concrete_fields}


def make_event(row: Sequence[Any], *, event_type: str = TEST_COMPLETED) -> Event:
    """Return the event of a test, from its columns in the order of _COLUMNS."""
    user_id, test_id, wpm, raw, accuracy, consistency, seconds = row[:7]
    characters, length, mode, language, at, offset = row[7:]
    return Event(
        user_id=user_id,
        test_result_id=test_id,
        event_type=event_type,  # type: ignore[arg-type]
        metrics=Metrics(
            wpm=wpm,
            raw_wpm=raw,
            accuracy=accuracy,
            consistency=consistency,
            duration_seconds=seconds,
            characters=characters,
            length=length,
            mode=mode,
            language=language,
        ),
        occurred_at=at,
        utc_offset_minutes=offset,
    )


def event_of(result: TestResult, *, event_type: str = TEST_COMPLETED) -> Event:
    """Return the event of a result in memory, with the values that the database keeps of it.

    A host may have assigned a Decimal or a text: saving converts it, but not the attribute.
    """
    row = [_FIELDS[name].to_python(getattr(result, name)) for name in _COLUMNS]
    return make_event(row, event_type=event_type)


class TestResultHistory:
    """Reads test_results, one query a slice of users, clustered by user."""

    __test__ = False  # pytest: this is not a test

    def read_tests(self, user_ids: Sequence[int]) -> dict[int, list[Event]]:
        results = TestResult.objects.filter(user_id__in=user_ids)
        return _make_events(_read(results).iterator(chunk_size=5_000))

    def drop_tests(self, user_ids: Sequence[int], *, before: datetime) -> DroppedTests:
        """Raises HistoryMoved when such a test was saved in between: then nothing may be kept."""
        results = TestResult.objects.filter(user_id__in=user_ids, completed_at__lt=before)
        rows = list(_read(results.select_for_update()))
        deleted, _ = results.delete() if rows else (0, {})
        if deleted != len(rows):
            raise HistoryMoved(f"{deleted} tests were deleted where {len(rows)} had been read")
        return DroppedTests(len(rows), _make_events(rows))

    def list_users(self, *, after: int, limit: int) -> list[int]:
        return list(
            TestResult.objects.filter(user_id__gt=after)
            .order_by("user_id")
            .values_list("user_id", flat=True)
            .distinct()[:limit]
        )


def _read(results: QuerySet[TestResult]) -> QuerySet[TestResult, tuple[Any, ...]]:
    return results.values_list(*_COLUMNS, "invalidated_at")


def _make_events(rows: Iterable[tuple[Any, ...]]) -> dict[int, list[Event]]:
    tests: dict[int, list[Event]] = {}
    now = datetime.now(UTC)
    for *columns, invalidated_at in rows:
        event = make_event(columns, event_type=_type_of(invalidated_at))
        if _keeps_contract(event, now):
            tests.setdefault(event.user_id, []).append(event)
    return tests


def _keeps_contract(event: Event, now: datetime) -> bool:
    """Whether the live path would take it: what it set aside must not count by a replay."""
    try:
        decode_event(encode_event(event), now=now)
    except EventError:
        return False
    return True


def _type_of(invalidated_at: datetime | None) -> str:
    return TEST_COMPLETED if invalidated_at is None else TEST_INVALIDATED
