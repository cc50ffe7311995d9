"""Changing the number of partitions of a user table while it is written to (services floor).

Steps: a shadow and its triggers, copying, verifying, the change of names, dropping the
old table. The database says which of them are done (tables, triggers, and in `jobs` how
far copying and verifying have come), so a run that was stopped anywhere goes on there.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

from django.db import OperationalError, connection, transaction

from achievements import failpoints, shadow, shadow_rows
from achievements.models import Job
from achievements.partitions import read_partition_count
from achievements.shadow import RepartitionError
from achievements.shadow_rows import HIGHEST_USER
from achievements.transactions import is_lock_conflict, run_transaction

ALTER_WAIT_SECONDS: Final = 60
SLICE_ROWS: Final = 2_000
SMALLEST_SLICE: Final = 10
SLICE_SECONDS: Final = 0.2  # slices shrink until they take no longer: so long may a writer wait
MAX_SLICE_ATTEMPTS: Final = 20
BEFORE_ALL_USERS: Final = -(2**63)

Result = TypeVar("Result")


class Unfinished(NamedTuple):
    """A run that was begun: how many partitions it makes, and how far its step has come."""

    partitions: int
    step: str  # copy or verify
    after_user: int


class Slice(NamedTuple):
    """What one slice did."""

    step: str
    rows: int


def read_unfinished(table: str) -> Unfinished | None:
    """Return the run on `table` that was begun and not ended, at the furthest of its steps."""
    begun = None
    for job in Job.objects.filter(name__startswith=f"repartition {table} to ").order_by("name"):
        partitions, _, step = job.name.rpartition(" to ")[2].partition(": ")
        begun = Unfinished(int(partitions), step, job.cursor)
    return begun


def find_conflict(table: str, partitions: int) -> str:
    """Return what an earlier run left in the way of this one, and the way out; "" if nothing."""
    begun, existing = read_unfinished(table), shadow.list_tables()
    strange = [] if is_swapped(table) else [shadow.name_old(table)]
    if begun is None:
        strange.append(shadow.name_shadow(table))
    for name in strange:
        if name in existing:
            return (
                f"{name} is there, and no unfinished run made it: --keep-old kept it, or it is not"
                f" ours. Rename it, or DROP TABLE {name} first."
            )
    if begun is not None and begun.partitions != partitions:
        return (
            f"{table}: a run to {begun.partitions} partitions is unfinished. Finish it with"
            f" --partitions {begun.partitions}, or take it back with --abort."
        )
    foreign = shadow.list_foreign_triggers(table) if begun else shadow.list_triggers(table)
    if foreign:
        return (
            f"{table} has triggers of its own ({', '.join(sorted(foreign))}), which would stay with"
            " the old table. Drop them and create them again afterwards."
        )
    return ""


def is_swapped(table: str) -> bool:
    """Whether an unfinished run put the old table aside: it has only to drop it."""
    begun, existing = read_unfinished(table), shadow.list_tables()
    return (
        begun is not None
        and shadow.name_old(table) in existing
        and shadow.name_shadow(table) not in existing
        and read_partition_count(connection, table) == begun.partitions
    )


def repartition_table(
    *,
    table: str,
    partitions: int,
    slice_rows: int = SLICE_ROWS,
    pause: float = 0.0,
    should_keep_old: bool = False,
) -> Iterator[Slice]:
    """Give `table` that many partitions, slice by slice, from where an earlier run stopped.

    After each slice it rests for `pause` times as long as the slice took. Raises
    RepartitionError when it cannot go on, above all when the copy differs; the table is
    then as it was, and its triggers go on until the run is finished or aborted.
    """
    if conflict := find_conflict(table, partitions):
        raise RepartitionError(conflict)
    if not read_unfinished(table):
        _move_cursor(table, partitions, "copy", BEFORE_ALL_USERS)
        failpoints.reach("repartition_begun")
    if not is_swapped(table) and read_partition_count(connection, table) != partitions:
        if not shadow.is_followed(table):
            _start_over(table, partitions)
        pace = Pace(slice_rows, pause)
        yield from _copy(table, partitions, pace)
        yield from _verify(table, partitions, pace)
        _swap(table)
    _finish(table, should_keep_old=should_keep_old)


def alter_table(*, table: str, partitions: int, clause: str = "") -> None:
    """Let the server copy the table in one statement, under the clause that it accepted.

    Without one, writers wait until it has done so. It is not tried again: it may have copied
    for hours before it met an open transaction.
    """
    shadow.execute(f"SET SESSION lock_wait_timeout = {ALTER_WAIT_SECONDS}")
    try:
        shadow.execute(
            f"ALTER TABLE `{table}` {clause} PARTITION BY HASH(user_id) PARTITIONS {partitions}"
        )
    except OperationalError as error:
        if not is_lock_conflict(error):
            raise
        raise RepartitionError(
            f"{table} was not free for {ALTER_WAIT_SECONDS} s: look for a transaction that stays"
            " open (information_schema.innodb_trx), then give the command again."
        ) from error


def find_abortable(table: str) -> Unfinished | None:
    """Return the run that can be taken back. Raises RepartitionError when it is too late for it."""
    begun = read_unfinished(table)
    if begun is not None and is_swapped(table):
        raise RepartitionError(
            f"{table} has its {begun.partitions} partitions already, and what was written since"
            " is only there. Give the command again to finish the run."
        )
    return begun


def abort_repartition(table: str) -> bool:
    """Take away every trace of an unfinished run; False when there was none."""
    begun = find_abortable(table)
    if begun is None:
        return False
    shadow.drop_shadow(table)
    _forget_jobs(table)
    return True


class Pace:
    """How large a slice may be and how long to rest after it, from what the last one took."""

    def __init__(self, most_rows: int, pause: float) -> None:
        self.rows = self.most_rows = most_rows
        self.pause = pause

    @contextmanager
    def keep(self) -> Iterator[None]:
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        fitting = int(self.rows * SLICE_SECONDS / max(seconds, 0.001))
        self.rows = max(min(SMALLEST_SLICE, self.most_rows), min(self.most_rows, fitting))
        time.sleep(seconds * self.pause)


def _start_over(table: str, partitions: int) -> None:
    # Without its triggers a shadow has missed changes, whatever it holds.
    with transaction.atomic():  # never without one: it is what tells our shadow from others' tables
        _forget_jobs(table)
        _move_cursor(table, partitions, "copy", BEFORE_ALL_USERS)
    shadow.create_shadow(table, partitions)


def _copy(table: str, partitions: int, pace: Pace) -> Iterator[Slice]:
    begun = read_unfinished(table)
    assert begun is not None
    if begun.step != "copy":
        return
    _check_definition(table)
    copy_users = shadow_rows.make_copier(table)
    after = begun.after_user

    def copy_slice() -> list[int]:
        users = shadow_rows.list_row_users(table, after, pace.rows)
        if users:
            copy_users(users)
            _move_cursor(table, partitions, "copy", users[-1])
        else:
            _move_cursor(table, partitions, "verify", BEFORE_ALL_USERS)
        failpoints.reach("repartition_slice")
        return users

    while True:
        with pace.keep():
            users = _insist(copy_slice)
        failpoints.reach("repartition_copied")
        if not users:
            return
        after = users[-1]
        yield Slice("copy", len(users))


def _verify(table: str, partitions: int, pace: Pace) -> Iterator[Slice]:
    begun = read_unfinished(table)
    assert begun is not None
    after = begun.after_user
    _check_definition(table)
    compare = shadow_rows.make_comparer(table)
    while after < HIGHEST_USER:
        with pace.keep():
            last = shadow_rows.find_slice_end(table, after, pace.rows)
            ours, copied = compare(after, last)
        if ours != copied:
            raise RepartitionError(
                f"{table}: users {after + 1} to {last} differ from their copy: {ours.rows} rows"
                f" with the sum {ours.total}, copied {copied.rows} with {copied.total}. The table"
                " is as it was. --abort removes the copy; then find out who wrote to it."
            )
        after = last
        _move_cursor(table, partitions, "verify", after)
        failpoints.reach("repartition_compared")
        yield Slice("verify", ours.rows)


def _swap(table: str) -> None:
    _check_definition(table)
    if not shadow.is_followed(table):
        raise RepartitionError(
            f"{table}: somebody dropped the triggers that keep the copy up to date. Give the"
            " command again: it starts over."
        )
    failpoints.reach("repartition_verified")
    shadow.swap_names(table)
    failpoints.reach("repartition_swapped")


def _finish(table: str, *, should_keep_old: bool) -> None:
    shadow.drop_triggers(table)
    if not should_keep_old:
        shadow.change_definition(f"DROP TABLE IF EXISTS `{shadow.name_old(table)}`")
    failpoints.reach("repartition_dropped")
    _forget_jobs(table)


def _check_definition(table: str) -> None:
    if shadow.read_definition(table) != shadow.read_definition(shadow.name_shadow(table)):
        raise RepartitionError(
            f"{table}: its columns or indexes are not those of the copy (any more): was it altered"
            " meanwhile? --abort the run and begin again."
        )


def _insist(work: Callable[[], Result]) -> Result:
    """Run a slice's transaction; be more patient than a request would."""
    for _ in range(MAX_SLICE_ATTEMPTS):
        try:
            return run_transaction(work)
        except OperationalError as error:
            if not is_lock_conflict(error):
                raise
    raise RepartitionError(
        "Rows stay locked. Look for a transaction that stays open"
        " (information_schema.innodb_trx), then give the command again."
    )


def _move_cursor(table: str, partitions: int, step: str, after_user: int) -> None:
    Job.objects.update_or_create(
        name=f"repartition {table} to {partitions}: {step}", defaults={"cursor": after_user}
    )


def _forget_jobs(table: str) -> None:
    Job.objects.filter(name__startswith=f"repartition {table} to ").delete()
