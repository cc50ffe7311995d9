"""One user's step (pure floor): events in, the new row and what changed out.

`advance` is the live path and needs nothing but the row. Where the past changes (a new
user, an invalidation, a late test that matters) it declines, and `revise` replays the
user's history instead. A rebuild is `revise` without events.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from achievements.events import TEST_COMPLETED, Event, order_of
from achievements.progress import (
    Base,
    Progress,
    Unlock,
    apply_events,
    believe_reports,
    decode_progress,
    derive,
    grow_values,
    judge_rules,
    needs_replay,
    start_progress,
)
from achievements.recognition import NO_ARCHIVE, Archive, Registered, register_events, sift_events
from achievements.retraction import Origins, Replay, find_revoked
from achievements.rulebook import Rulebook


class Step(NamedTuple):
    """What a step did. `progress` is ready to be stored; `leaving` goes to the archive."""

    progress: Progress
    applied: int  # events that had an effect
    unlocks: list[Unlock]
    revoked: list[tuple[int, int]]  # (achievement id, level)
    leaving: list[tuple[bool, list[int]]]  # (is_invalidation, sorted test ids)
    # After an invalidation: what the replay found for levels that stay, and the tests taken back.
    found: Sequence[Unlock] = ()
    taken_back: frozenset[int] = frozenset()


class History(NamedTuple):
    """A user's whole past: every test that is held, invalidated ones marked by their type."""

    tests: Sequence[Event]
    completed: frozenset[int] = frozenset()  # all ids that left the row for the archive
    invalidated: frozenset[int] = frozenset()
    base: Base | None = None  # what is left of tests that were dropped


def is_newest(progress: Progress, events: Sequence[Event]) -> bool:
    """Whether this is one test above all that the row has seen: nothing has to be looked up."""
    if len(events) != 1:
        return False
    test_id = events[0].test_result_id
    return (
        test_id > progress.completed.top
        and test_id > progress.invalidated.top
        and events[0].event_type == TEST_COMPLETED
    )


def advance_newest(rulebook: Rulebook, progress: Progress, events: Sequence[Event]) -> Step | None:
    """Do what `advance` does for a test that `is_newest`, the case of nearly every event."""
    if not progress.is_partial and needs_replay(rulebook, progress, events):
        return None
    evicted = progress.completed.add(events[0].test_result_id)
    unlocks = apply_events(rulebook, progress, events)
    return Step(progress, 1, unlocks, [], [(False, evicted)] if evicted else [])


def advance(
    rulebook: Rulebook, progress: Progress, events: Sequence[Event], archive: Archive = NO_ARCHIVE
) -> Step | None:
    """Apply events to a row; None, with the row untouched, when only `revise` is exact."""
    fresh = sift_events(progress, events, archive)
    if not fresh:
        return Step(progress, 0, [], [], [])
    if not progress.is_partial and needs_replay(rulebook, progress, fresh):
        return None
    registered = register_events(progress, fresh, archive)
    unlocks = apply_events(rulebook, progress, registered.countable)
    if registered.uncounted:
        unlocks += believe_reports(rulebook, progress, registered.uncounted)
    return Step(progress, len(fresh), unlocks, [], registered.leaving)


def revise(
    rulebook: Rulebook,
    progress: Progress | None,
    events: Sequence[Event],
    history: History,
    *,
    origins: Origins | None = None,
    should_confirm: bool = False,
) -> Step:
    """Replay a user's history together with new events.

    `origins` asks for retraction: levels that neither today's rules nor the rules that
    unlocked them find earned are revoked. Without it nothing is ever taken away.

    A user whose row counts tests that the history does not hold cannot be replayed: the
    row is kept and the events are added to it. `should_confirm` then declares what new
    accumulators have counted since their publication to be all there is.
    """
    row = progress or start_progress(rulebook)
    if progress is None and not history.tests and history.base is None:
        # Most new users have no past: there is nothing to replay.
        step = advance(rulebook, row, events)
        if step is not None:
            row.is_partial = step.applied > 0
            return step
    archive = Archive(history.completed, history.invalidated)
    counted = {*row.completed.list_ids(), *history.completed}
    fresh = sift_events(row, events, archive)
    registered = register_events(row, fresh, archive)
    held = {test.test_result_id for test in history.tests}
    # What was dropped had been counted, all of it: more than that, and tests are unknown here.
    if len(counted - held) > (history.base.dropped if history.base else 0):
        return _extend(rulebook, row, fresh, registered, should_confirm=should_confirm)

    arrived = [e for e in fresh if e.event_type == TEST_COMPLETED]
    unheld = [e for e in arrived if e.test_result_id not in held]
    tests = [*(t for t in history.tests if t.event_type == TEST_COMPLETED), *unheld]
    invalid = {*row.invalidated.list_ids(), *history.invalidated}
    invalid.update(i for is_invalidation, run in registered.leaving if is_invalidation for i in run)
    replayed = derive(
        rulebook,
        tests,
        without=invalid,
        reported=_reported(row, [*history.tests, *arrived]),
        base=history.base,
    )

    before = row.unlocked
    revoked = []
    if origins is not None:
        replay = Replay(tests, invalid, history.base)
        revoked = find_revoked(rulebook, before, replayed.progress, origins, replay)
    unlocked = dict(before)
    for achievement_id, level in revoked:
        unlocked[achievement_id] = min(unlocked[achievement_id], level - 1)
    unlocks = [u for u in replayed.unlocks if u.level > unlocked.get(u.achievement_id, 0)]
    stays = [u for u in replayed.unlocks if u.level <= unlocked.get(u.achievement_id, 0)]
    taken_back = frozenset(e.test_result_id for e in fresh if e.event_type != TEST_COMPLETED)
    if history.base:
        unlocks = [*_find_lost(history.base, unlocked), *unlocks]
    for unlock in unlocks:
        unlocked[unlock.achievement_id] = unlock.level
    unlocked = {achievement_id: level for achievement_id, level in unlocked.items() if level}

    row.values, row.held = replayed.progress.values, replayed.progress.held
    row.reported = replayed.progress.reported
    row.last_at, row.last_id = replayed.progress.last_at, replayed.progress.last_id
    row.utc_offset_minutes = replayed.progress.utc_offset_minutes
    row.is_partial = bool(unheld)
    row.set_unlocked(unlocked, rulebook.count_points(unlocked))
    # What was unlocked under older rules can complete a collection.
    newest = max((t for t in tests if t.test_result_id not in invalid), key=order_of, default=None)
    unlocks += judge_rules(rulebook, row, rulebook.rules, newest)

    just_left = (
        i for is_invalidation, run in registered.leaving if not is_invalidation for i in run
    )
    known = {*history.completed, *just_left}
    learned = row.completed.learn(held, known)
    leaving = [*registered.leaving, *([(False, learned)] if learned else [])]
    return Step(row, len(fresh), unlocks, revoked, leaving, stays if taken_back else (), taken_back)


def _extend(
    rulebook: Rulebook,
    row: Progress,
    fresh: Sequence[Event],
    registered: Registered,
    *,
    should_confirm: bool,
) -> Step:
    row.is_partial = True
    unlocks = apply_events(rulebook, row, registered.countable)
    unlocks += believe_reports(rulebook, row, registered.uncounted)
    if should_confirm:
        grow_values(rulebook, row)
        row.held = rulebook.size
        unlocks += judge_rules(rulebook, row, rulebook.rules, None)
    return Step(row, len(fresh), unlocks, [], registered.leaving)


def _reported(row: Progress, events: Sequence[Event]) -> int:
    """The site's highest count; an invalidated test's claim is believed as well."""
    return max([row.reported, *(e.metrics.test_count or 0 for e in events)])


def _find_lost(base: Base, unlocked: Mapping[int, int]) -> list[Unlock]:
    """Levels that the dropped tests had earned and that a row, started again, knows nothing of."""
    earned = decode_progress(base.state).unlocked
    return [
        Unlock(achievement_id, level, None)
        for achievement_id, highest in earned.items()
        for level in range(unlocked.get(achievement_id, 0) + 1, highest + 1)
    ]
