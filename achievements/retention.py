"""Dropping what is old (services floor), in small slices that can be repeated.

A test that is dropped stays counted: in the very transaction that deletes a user's old tests,
what they came to is kept as a snapshot, and every later replay starts from it (progress.py).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import structlog
from django.conf import settings
from django.db import transaction
from msgspec.structs import replace

from achievements import tables
from achievements.engine import lock_users, process_events, read_origins, read_row, run_batch
from achievements.errors import AchievementsError, HistoryMoved, NothingToDrop
from achievements.events import TEST_COMPLETED, TEST_INVALIDATED, Event
from achievements.history import get_history
from achievements.models import Job, Notification, Outbox, UserAchievement
from achievements.progress import Base, decode_progress, derive, encode_progress
from achievements.rulebook import Rulebook
from achievements.seen import unpack_ids
from achievements.snapshots import SnapshotRow, read_bases, read_cuts, store_snapshots
from achievements.transactions import is_fault_of_events

logger = structlog.get_logger(__name__)

SLICE_USERS: Final = 100
_ATTEMPTS: Final = 5
_BEFORE_ALL_USERS: Final = -(2**63)


class Dropped(NamedTuple):
    """What one slice did."""

    users: int
    rows: int


def prune_tests(*, before: datetime, slice_size: int = SLICE_USERS) -> Iterator[Dropped]:
    """Drop the tests that were completed before, user by user; a stopped run resumes.

    Live events may come in meanwhile. A test whose event has not arrived yet is counted first,
    as if it had. Raises HistoryMoved when a host keeps on saving old tests, NothingToDrop when
    the host's history has no `drop_tests`.
    """
    if not hasattr(get_history(), "drop_tests"):
        raise NothingToDrop("ACHIEVEMENTS_HISTORY names a source without drop_tests")
    job = _find_job("tests", before)
    after = job.cursor
    while user_ids := get_history().list_users(after=after, limit=slice_size):
        dropped = _drop_slice(job.name, user_ids, before)
        after = user_ids[-1]
        yield Dropped(len(user_ids), dropped)
    job.delete()


def prune_notifications(*, before: datetime, slice_size: int = SLICE_USERS) -> Iterator[Dropped]:
    """Drop the notifications that were written before, read or not; a stopped run resumes."""
    job = _find_job("notifications", before)
    after = job.cursor
    while True:
        rows = Notification.objects.filter(user_id__gt=after).order_by("user_id")
        user_ids = list(rows.values_list("user_id", flat=True).distinct()[:slice_size])
        if not user_ids:
            break
        after = user_ids[-1]
        with transaction.atomic():
            old = Notification.objects.filter(user_id__in=user_ids, created_at__lt=before)
            deleted, _ = old.delete()
            Job.objects.filter(name=job.name).update(cursor=after)
        yield Dropped(len(user_ids), deleted)
    job.delete()


def _find_job(kind: str, before: datetime) -> Job:
    """Where a run to the same day has come to, or a new one."""
    name = f"prune {kind} {before:%Y-%m-%dT%H:%M:%S}"
    return Job.objects.get_or_create(name=name, defaults={"cursor": _BEFORE_ALL_USERS})[0]


def prune_failed_events(*, before: datetime, slice_size: int = SLICE_USERS) -> Iterator[Dropped]:
    """Drop the events of the outbox that were set aside before: they are lost for good.

    Rows that somebody holds, to apply them or to put them back, are left: the look for old ones
    goes over those as well.
    """
    after = 0
    can_skip = settings.DATABASE_SHARDING != "tidb"
    while True:
        dead = Outbox.objects.filter(id__gt=after, failed_at__lt=before).order_by("id")
        with transaction.atomic():
            found = dead.select_for_update(skip_locked=can_skip).values_list("id", "user_id")
            rows = [tables.OutboxKey(*row) for row in found[:slice_size]]
            if not rows:
                return
            tables.delete_outbox(rows)
        after = rows[-1].id
        yield Dropped(0, len(rows))


class _Seen(NamedTuple):
    """The ids that the engine knows of a user, in the row and in the archive."""

    completed: set[int]
    invalidated: set[int]


class _Uncounted(AchievementsError):
    """Tests about to be dropped whose events the engine has not seen yet."""

    def __init__(self, events: Sequence[Event]) -> None:
        super().__init__(f"{len(events)} tests are not counted yet")
        self.events = events


def _drop_slice(job_name: str, user_ids: Sequence[int], before: datetime) -> int:
    def work(left: Sequence[int], rulebook: Rulebook) -> int:
        count = _drop(rulebook, left, before)
        Job.objects.filter(name=job_name).update(cursor=user_ids[-1])
        return count

    left = list(user_ids)
    for _ in range(_ATTEMPTS):
        try:
            return run_batch(partial(work, left))
        except _Uncounted as error:
            refused = _count(error.events)
            left = [user_id for user_id in left if user_id not in refused]
        except HistoryMoved:
            continue
    raise HistoryMoved(f"users {user_ids[0]} to {user_ids[-1]} could not be left alone")


def _count(events: Sequence[Event]) -> set[int]:
    """Process events; return the users of whom the engine cannot, and whose tests stay."""
    refused = set()
    by_user: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        by_user[event.user_id].append(event)
    for user_id, own in by_user.items():
        try:
            process_events(own)
        except Exception as error:
            if not is_fault_of_events(error):
                raise
            logger.exception("tests_not_dropped", user_id=user_id)
            refused.add(user_id)
    return refused


def _drop(rulebook: Rulebook, user_ids: Sequence[int], before: datetime) -> int:
    """Delete and remember, inside the caller's transaction. Raises _Uncounted, HistoryMoved."""
    dropped = get_history().drop_tests(user_ids, before=before)
    users, gone = sorted(dropped.tests), dropped.tests
    if not users:
        return dropped.rows
    seen = _read_seen(rulebook, users)
    if uncounted := [e for u in users for test in gone[u] for e in _find_unseen(test, *seen[u])]:
        raise _Uncounted(uncounted)
    bases, cuts, earned = read_bases(users), read_cuts(users), _read_earned(users, before)
    origins = read_origins(users)
    rows = []
    for user_id in users:
        tests, base = gone[user_id], bases.get(user_id)
        books = {book.version: book for book in origins[user_id].values()}
        state = _sum_up(
            (rulebook, *books.values()), tests, seen[user_id].invalidated, base, earned[user_id]
        )
        count = len(tests) + (base.dropped if base else 0)
        cut_at = max(before, cuts.get(user_id, before))
        rows.append(SnapshotRow(user_id, cut_at, count, state))
    store_snapshots(rows)
    return dropped.rows


def _read_seen(rulebook: Rulebook, users: Sequence[int]) -> dict[int, _Seen]:
    """Lock the rows of users and return what they have seen."""
    seen = {}
    for user_id, stored in lock_users(users).items():
        row = read_row(rulebook, user_id, stored.state)
        completed, invalidated = (row.completed, row.invalidated) if row else (None, None)
        seen[user_id] = _Seen(
            set(completed.list_ids() if completed else ()),
            set(invalidated.list_ids() if invalidated else ()),
        )
    for user_id, is_invalidation, packed in tables.read_seen(users):
        seen[user_id][is_invalidation].update(unpack_ids(packed))
    return seen


def _find_unseen(test: Event, completed: set[int], invalidated: set[int]) -> list[Event]:
    """Return the events of a held test that did not arrive."""
    events = []
    if test.event_type == TEST_INVALIDATED and test.test_result_id not in invalidated:
        events.append(test)
    if test.test_result_id not in completed:
        events.append(replace(test, event_type=TEST_COMPLETED))
    return events


def _read_earned(users: Sequence[int], before: datetime) -> dict[int, dict[int, int]]:
    """Return the levels whose tests go: achievement id -> highest level, by user."""
    earned: dict[int, dict[int, int]] = {user_id: {} for user_id in users}
    rows = UserAchievement.objects.filter(
        user_id__in=users, unlocked_at__lt=before, revoked_at=None
    )
    for user_id, achievement_id, level in rows.values_list("user_id", "achievement_id", "level"):
        own = earned[user_id]
        own[achievement_id] = max(level, own.get(achievement_id, 0))
    return earned


def _sum_up(
    books: Sequence[Rulebook],
    tests: Sequence[Event],
    invalidated: set[int],
    base: Base | None,
    earned: dict[int, int],
) -> bytes:
    """Return the packed state that tests add up to, on top of those that were dropped before.

    `books` are today's and those that levels were earned under: a retraction asks them as well,
    for accumulators that no rule of today feeds.
    """
    rulebook = books[0]
    valid = [t for t in tests if t.event_type == TEST_COMPLETED]
    progress = derive(rulebook, valid, without=invalidated, base=base).progress
    fed = set(rulebook.fed)
    for book in books[1:]:
        if retired := book.fed - fed:
            past = derive(book, valid, without=invalidated, base=base).progress
            for position in retired:
                progress.values[position] = past.values[position]
            fed |= retired
    # Nothing can take these levels back any more; all others the next replay finds by itself.
    held = decode_progress(base.state).unlocked if base else {}
    levels = {a: max(held.get(a, 0), earned.get(a, 0)) for a in {*held, *earned}}
    progress.set_unlocked(levels, rulebook.count_points(levels))
    return encode_progress(progress)
