"""Bringing rows up to date with the rulebook (services floor): backfill, repair and audit.

Users are taken in slices by id. A slice is one transaction through the engine's own locks
and writes, so it is safe beside live events and can be repeated; its end is the cursor
from which a stopped run resumes.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from achievements.advance import Step
from achievements.effects import run_effects
from achievements.engine import lock_users, read_row, revise_users, run_batch
from achievements.events import Event
from achievements.history import get_history
from achievements.models import Job, UserProgress
from achievements.progress import Progress, judge_rules
from achievements.rulebook import Rulebook
from achievements.store import BatchResult, StepWriter

SLICE_USERS: Final = 200


class Slice(NamedTuple):
    """What one slice did; `last_user_id` is None when there was nobody left."""

    last_user_id: int | None
    user_count: int
    result: BatchResult


def rebuild_users(
    *,
    job_name: str,
    should_replay: bool = False,
    should_notify: bool = False,
    slice_users: int = SLICE_USERS,
) -> Iterator[Slice]:
    """Rebuild every user, slice by slice, from where the job of this name stopped.

    A user whose row holds every accumulator is only judged; one whose row lacks some, or
    every user with `should_replay`, is derived again from history. Nothing is ever taken
    away. Notifications are only written with `should_notify`.
    """
    job, _ = Job.objects.get_or_create(name=job_name)
    after = job.cursor
    while True:
        done = _rebuild_slice(job_name, after, slice_users, should_replay, should_notify)
        if done.last_user_id is None:
            break
        after = done.last_user_id
        yield done
    Job.objects.filter(name=job_name).delete()


def rebuild_user(user_id: int, *, should_notify: bool = False) -> BatchResult:
    """Derive one user again from history."""
    result = run_batch(
        lambda rulebook: _rebuild(rulebook, [user_id], should_replay=True, notify=should_notify)
    )
    run_effects(result)
    return result


def _rebuild_slice(
    job_name: str, after: int, limit: int, should_replay: bool, should_notify: bool
) -> Slice:
    def work(rulebook: Rulebook) -> Slice:
        user_ids = _list_users(after, limit)
        if not user_ids:
            return Slice(None, 0, BatchResult())
        result = _rebuild(rulebook, user_ids, should_replay=should_replay, notify=should_notify)
        Job.objects.filter(name=job_name).update(cursor=user_ids[-1])
        return Slice(user_ids[-1], len(user_ids), result)

    done = run_batch(work)
    run_effects(done.result)
    return done


def _rebuild(
    rulebook: Rulebook, user_ids: list[int], *, should_replay: bool, notify: bool
) -> BatchResult:
    stored = lock_users(user_ids)
    rows = {u: read_row(rulebook, u, before.state) for u, before in stored.items()}
    steps: dict[int, Step] = {}
    if not should_replay:
        steps = _judge_complete_rows(rulebook, rows)
    rest = [user_id for user_id in user_ids if user_id not in steps]
    if rest:
        # Unpacked once more: judging may have touched what was read.
        fresh = {u: read_row(rulebook, u, stored[u].state) for u in rest}
        nothing: dict[int, list[Event]] = {user_id: [] for user_id in rest}
        steps.update(revise_users(rulebook, fresh, nothing, should_confirm=True))
    writer = StepWriter(rulebook, stored, {}, should_notify=notify)
    for user_id, step in steps.items():
        writer.add(user_id, step)
    return writer.write()


def _judge_complete_rows(
    rulebook: Rulebook, rows: Mapping[int, Progress | None]
) -> dict[int, Step]:
    """Judge rows that lack nothing. One that gains is left to the replay, which knows the test."""
    steps = {}
    for user_id, row in rows.items():
        if row is None or row.held < rulebook.size:
            continue
        gains = judge_rules(rulebook, row, rulebook.rules, None)
        if gains and not row.is_partial:
            continue
        row.points = rulebook.count_points(row.unlocked)
        steps[user_id] = Step(row, 0, gains, [], [])
    return steps


def _list_users(after: int, limit: int) -> list[int]:
    """Return the next users with progress or with history, ascending."""
    known = UserProgress.objects.filter(user_id__gt=after).order_by("user_id")
    merged = {
        *known.values_list("user_id", flat=True)[:limit],
        *get_history().list_users(after=after, limit=limit),
    }
    return sorted(merged)[:limit]
