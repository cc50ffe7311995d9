"""The engine (services floor): a batch of events becomes progress, unlocks and notifications.

One transaction a batch: the users' rows are locked in order and read at once, the pure
step is taken for each user, and everything is written by a handful of multi-row
statements. Delivering an event again changes nothing. Effects that others see come after
the commit (effects.py) and can be repeated.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from achievements import failpoints, metrics, tables, unlocks
from achievements.advance import (
    History,
    Step,
    advance,
    advance_newest,
    is_newest,
    revise,
)
from achievements.effects import run_effects
from achievements.errors import StaleRulebook
from achievements.events import TEST_INVALIDATED, Event
from achievements.history import get_history
from achievements.progress import Progress, decode_progress
from achievements.recognition import NO_ARCHIVE, Archive, asks_archive
from achievements.retraction import Origins
from achievements.rulebook import Rulebook
from achievements.rulebooks import get_past_rulebook, get_rulebook_to_write, refresh_rulebook
from achievements.seen import unpack_ids
from achievements.snapshots import read_bases
from achievements.store import BatchResult, StepWriter
from achievements.transactions import run_transaction

Result = TypeVar("Result")
EventsByUser = Mapping[int, Sequence[Event]]


def process_events(events: Sequence[Event]) -> BatchResult:
    """Apply a batch in a transaction of its own and run the effects.

    Exactly one effect per (user_id, event_type, test_result_id), however often and in
    whatever order events come. Raises django.db errors when the database is away or a
    deadlock outlasts the retries; then nothing was applied.
    """
    result = run_batch(lambda rulebook: apply_batch(rulebook, events))
    run_effects(result)
    return result


def run_batch(work: Callable[[Rulebook], Result]) -> Result:
    """Run `work` in one retried transaction with one immutable rulebook."""
    with metrics.BATCH_SECONDS.time():
        rulebook = get_rulebook_to_write()
        try:
            result = run_transaction(lambda: _work_to_commit(work, rulebook))
        except StaleRulebook:
            # Another worker has applied a newer publication: two seconds are too long to wait.
            newest = refresh_rulebook()
            result = run_transaction(lambda: _work_to_commit(work, newest))
    failpoints.reach(failpoints.AFTER_COMMIT)
    return result


def _work_to_commit(work: Callable[[Rulebook], Result], rulebook: Rulebook) -> Result:
    result = work(rulebook)
    failpoints.reach(failpoints.BEFORE_COMMIT)
    return result


def apply_batch(rulebook: Rulebook, events: Iterable[Event]) -> BatchResult:
    """Apply events inside the caller's transaction; the caller runs the effects afterwards."""
    by_user: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        by_user[event.user_id].append(event)
    if not by_user:
        return BatchResult()
    user_ids = sorted(by_user)
    stored = lock_users(user_ids)
    writer = StepWriter(rulebook, stored, by_user)
    doubtful: dict[int, Progress] = {}
    rest: dict[int, Progress | None] = {}
    # One user at a time, from packed row to packed row: what a step makes is gone before the next.
    for user_id in user_ids:
        own = by_user[user_id]
        if failpoints.armed:
            failpoints.reach(failpoints.APPLY_USER, user_id=user_id)
        row = read_row(rulebook, user_id, stored[user_id].state)
        step: Step | None = None
        if row is not None and is_newest(row, own):
            step = advance_newest(rulebook, row, own)
        elif row is not None and any(asks_archive(row, event) for event in own):
            doubtful[user_id] = row
            continue
        elif row is not None:
            step = advance(rulebook, row, own)
        if step is None:
            rest[user_id] = row
        else:
            writer.add(user_id, step)
    if doubtful:
        archives = _read_archives(doubtful, by_user)
        for user_id, row in doubtful.items():
            if step := advance(rulebook, row, by_user[user_id], archives.get(user_id, NO_ARCHIVE)):
                writer.add(user_id, step)
            else:
                rest[user_id] = row
    if rest:
        for user_id, step in revise_users(rulebook, rest, by_user).items():
            writer.add(user_id, step)
    return writer.write()


def lock_users(user_ids: Collection[int]) -> dict[int, tables.StoredProgress]:
    """Lock the users' rows, creating those that are missing; a new one has an empty state."""
    stored = tables.lock_progress(sorted(user_ids))
    missing = [user_id for user_id in user_ids if user_id not in stored]
    if missing:
        stored.update(tables.create_progress(missing))
    return stored


def read_row(rulebook: Rulebook, user_id: int, state: bytes) -> Progress | None:
    """Unpack a row; None for a new user. Raises StaleRulebook."""
    if not state:
        return None
    row = decode_progress(state)
    if row.rulebook_version > rulebook.version:
        raise StaleRulebook(f"user {user_id} was last under rulebook {row.rulebook_version}")
    return row


def revise_users(
    rulebook: Rulebook,
    rows: Mapping[int, Progress | None],
    by_user: EventsByUser,
    *,
    should_confirm: bool = False,
    should_retract: bool = False,
) -> dict[int, Step]:
    """Replay the histories of `rows`, which are locked: one read of tests, one of the archive.

    An invalidation among a user's events asks for retraction, and so does `should_retract`.
    """
    user_ids = sorted(rows)
    tests = get_history().read_tests(user_ids)
    archives = _gather_archives(tables.read_seen([u for u in user_ids if rows[u] is not None]))
    bases = read_bases(user_ids)
    origins = read_origins(
        [
            user_id
            for user_id in user_ids
            if should_retract or any(e.event_type == TEST_INVALIDATED for e in by_user[user_id])
        ]
    )
    steps = {}
    for user_id in user_ids:
        completed, invalidated = archives.get(user_id, (frozenset(), frozenset()))
        steps[user_id] = revise(
            rulebook,
            rows[user_id],
            by_user[user_id],
            History(tests.get(user_id, []), completed, invalidated, bases.get(user_id)),
            origins=origins.get(user_id),
            should_confirm=should_confirm,
        )
        if user_id in origins:
            held = {test.test_result_id for test in tests.get(user_id, [])}
            # What is not held cannot be subtracted: it came as an event alone, or was dropped.
            is_lost = user_id in bases and not steps[user_id].taken_back <= held
            metrics.UNREPLAYABLE.inc(steps[user_id].progress.is_partial or is_lost)
    metrics.REPLAYS.inc(len(steps))
    return steps


def _read_archives(rows: Mapping[int, Progress], by_user: EventsByUser) -> dict[int, Archive]:
    """Read back the older ids of the few users whose row alone cannot tell old from new."""
    ids = [
        event.test_result_id
        for user_id, row in rows.items()
        for event in by_user[user_id]
        if asks_archive(row, event)
    ]
    runs = tables.read_seen(sorted(rows), lowest=min(ids), highest=max(ids))
    return {user_id: Archive(*kinds) for user_id, kinds in _gather_archives(runs).items()}


def _gather_archives(
    runs: Iterable[tuple[int, bool, bytes]],
) -> dict[int, tuple[frozenset[int], frozenset[int]]]:
    ids: dict[int, tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))
    for user_id, is_invalidation, packed in runs:
        ids[user_id][is_invalidation].update(unpack_ids(packed))
    return {
        user_id: (frozenset(done), frozenset(undone)) for user_id, (done, undone) in ids.items()
    }


def read_origins(user_ids: Sequence[int]) -> dict[int, Origins]:
    if not user_ids:
        return {}
    origins: dict[int, dict[tuple[int, int], Rulebook]] = {user_id: {} for user_id in user_ids}
    for user_id, achievement_id, level, version in unlocks.read_origins(user_ids):
        origins[user_id][achievement_id, level] = get_past_rulebook(version)
    return dict(origins)
