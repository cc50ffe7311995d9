"""Telling new events from those seen before (pure floor); seen.py has the sets."""

from collections.abc import Container, Iterable, Sequence
from typing import Final, NamedTuple

from achievements.events import TEST_COMPLETED, Event, order_of
from achievements.progress import Progress


class Archive(NamedTuple):
    """The ids of a user's older tests that were read back, as far as an event asks for them."""

    completed: Container[int] = frozenset()
    invalidated: Container[int] = frozenset()


NO_ARCHIVE: Final = Archive()


class Registered(NamedTuple):
    """What registering left: tests to count, and sorted ids that leave the row for the archive."""

    countable: list[Event]
    leaving: list[tuple[bool, list[int]]]  # (is_invalidation, ids)
    uncounted: list[Event]  # completed tests whose invalidation came first


def asks_archive(progress: Progress, event: Event) -> bool:
    """Whether the row alone cannot tell if this event, or its invalidation, was seen."""
    test_id = event.test_result_id
    if test_id > progress.completed.horizon and test_id > progress.invalidated.horizon:
        return False
    if progress.invalidated.is_doubtful(test_id):
        return True
    return event.event_type == TEST_COMPLETED and progress.completed.is_doubtful(test_id)


def _is_seen(progress: Progress, event: Event, archive: Archive) -> bool:
    test_id = event.test_result_id
    if event.event_type == TEST_COMPLETED:
        seen, archived = progress.completed, archive.completed
    else:
        seen, archived = progress.invalidated, archive.invalidated
    return test_id <= seen.top and (seen.holds(test_id) or test_id in archived)


def sift_events(
    progress: Progress, events: Sequence[Event], archive: Archive = NO_ARCHIVE
) -> list[Event]:
    """Return the events that were not seen before; changes nothing.

    Invalidations come first, so that they hold for the tests beside them; then the tests
    in their own order.
    """
    fresh: dict[tuple[str, int], Event] = {}
    for event in events:
        if not _is_seen(progress, event, archive):
            fresh.setdefault((event.event_type, event.test_result_id), event)
    if len(fresh) < 2:
        return list(fresh.values())
    return sorted(fresh.values(), key=lambda e: (e.event_type == TEST_COMPLETED, order_of(e)))


def register_events(
    progress: Progress, fresh: Iterable[Event], archive: Archive = NO_ARCHIVE
) -> Registered:
    """Remember fresh events. A test whose invalidation came first is remembered, not counted."""
    completed, invalidated = progress.completed, progress.invalidated
    countable: list[Event] = []
    uncounted: list[Event] = []
    leaving: list[tuple[bool, list[int]]] = []
    undone: set[int] = set()  # by these very events; they may have left the row already
    for event in fresh:
        test_id = event.test_result_id
        if event.event_type != TEST_COMPLETED:
            undone.add(test_id)
            evicted = invalidated.add(test_id)
            if evicted:
                leaving.append((True, evicted))
            continue
        evicted = completed.add(test_id)
        if evicted:
            leaving.append((False, evicted))
        if test_id > invalidated.top or not (
            invalidated.holds(test_id) or test_id in undone or test_id in archive.invalidated
        ):
            countable.append(event)
        else:
            uncounted.append(event)
    return Registered(countable, leaving, uncounted)
