"""What a repartition would take (services floor): time, space, who waits, what forbids it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from django.db import connection

from achievements.partitions import read_partition_count
from achievements.repartition import Unfinished, find_conflict, is_swapped, read_unfinished
from achievements.repartition_trial import Trial
from achievements.shadow import is_followed, name_shadow
from achievements.statements import fetch_all

BIG_TABLE_ROWS: Final = 100_000
# A partition's file is so far ahead of its rows: measured, while it is small, and then for good.
SMALL_PARTITION_BYTES: Final = 512 * 1024
SMALL_AHEAD_BYTES: Final = 128 * 1024
AHEAD_BYTES: Final = 8 * 1024 * 1024
# Measured, against the plain copy of the trial: what slices cost, and then their comparison.
SLICES_SHARE: Final = 1.4
COMPARISON_SHARE: Final = 1.5


class Plan(NamedTuple):
    """One table, and what it still takes.

    `space_bytes` is what both copies need at once beyond what there is now; `log_bytes` what
    copying writes at most to a binary log on the same disk, or on one that is not to be seen.
    """

    table: str
    method: str  # copy or alter
    partitions_now: int
    partitions: int
    rows: int
    is_big: bool
    bytes: int
    space_bytes: int
    log_bytes: int
    seconds: float
    has_waiting_writers: bool
    unfinished: Unfinished | None
    conflict: str


def has_work(table: str, partitions: int) -> bool:
    return (
        read_partition_count(connection, table) != partitions or read_unfinished(table) is not None
    )


def make_plan(*, table: str, partitions: int, method: str, trial: Trial, pause: float) -> Plan:
    size, unfinished = _read_size(table), read_unfinished(table)
    conflict = find_conflict(table, partitions)
    if unfinished and method == "alter" and not conflict:
        conflict = f"{table}: a copy is unfinished. Finish it with --method copy, or --abort it."
    is_done = bool(unfinished) and is_swapped(table)
    copied = size if is_done else _read_copied(table, size, unfinished)
    left = max(0.0, 1 - copied.rows / max(1, size.rows)) if copied != size else 0.0
    ahead = _estimate_ahead(size, partitions) - _estimate_ahead(copied, partitions)
    slices, comparison = (SLICES_SHARE, COMPARISON_SHARE) if method == "copy" else (1, 0)
    plain_copies = 0.0 if is_done else slices * left + comparison
    plain_copy_seconds = size.rows / trial.rows_per_second[table]
    return Plan(
        table=table,
        method=method,
        partitions_now=read_partition_count(connection, table),
        partitions=partitions,
        rows=size.rows,
        is_big=_has_more_rows(table, BIG_TABLE_ROWS),
        bytes=size.bytes,
        # By the share of the rows, because the copy is packed more densely than an old table.
        space_bytes=int(size.bytes * left) + max(0, ahead),
        # The server's own statement is logged as it stands. A copied row takes less than here.
        log_bytes=int(size.bytes * left) if method == "copy" and _has_log_beside(table) else 0,
        seconds=plain_copy_seconds * plain_copies * (1 + pause if method == "copy" else 1),
        has_waiting_writers=method == "alter" and not trial.online_clause,
        unfinished=unfinished,
        conflict=conflict,
    )


def find_obstacle(
    plans: Sequence[Plan],
    *,
    may_lock: bool,
    may_fill_disk: bool,
    keeps_old: bool,
    free_bytes: int | None,
) -> str:
    """Return why these plans must not be carried out, and the way out; "" if they may."""
    for plan in plans:
        if plan.conflict:
            return plan.conflict
        if plan.has_waiting_writers and plan.is_big and not may_lock:
            return (
                f"{plan.table} has more than {BIG_TABLE_ROWS:,} rows, and every writer would wait"
                f" until it is copied, about {plan.seconds:,.0f} s. Use --method copy, or say"
                " --allow-lock."
            )
    # A table's old copy makes room for the next one; the binary log grows with all of them.
    copies = [plan.space_bytes for plan in plans]
    needed = sum(copies) if keeps_old else max(copies, default=0)
    needed += sum(plan.log_bytes for plan in plans)
    if free_bytes is not None and needed > free_bytes and not may_fill_disk:
        return (
            f"{needed / 1e6:,.0f} MB are needed beside the table, and only"
            f" {free_bytes / 1e6:,.0f} MB are free on the disk of the data. --allow-full-disk tries"
            " it all the same: if the disk fills up, every write of the site waits or fails."
        )
    return ""


def read_free_bytes(table: str) -> int | None:
    """Return what is free beside the table's files; None when they are not to be seen from here."""
    [[folder, database]] = fetch_all("SELECT @@datadir, DATABASE()")
    try:
        # The very files, because a folder of this name may belong to another server.
        if not any(Path(folder, database).glob(f"{table}[#.]*")):
            return None
        status = os.statvfs(folder)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


class _Size(NamedTuple):
    rows: int
    bytes: int


def _read_size(table: str) -> _Size:
    """Return what the server estimates, anew: after a load it is far off."""
    fetch_all(f"ANALYZE NO_WRITE_TO_BINLOG TABLE `{table}`")
    [row] = fetch_all(
        "SELECT COALESCE(table_rows, 0), COALESCE(data_length + index_length, 0)"
        " FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
        [table],
    )
    return _Size(*map(int, row))


def _read_copied(table: str, size: _Size, unfinished: Unfinished | None) -> _Size:
    """Return how much of `size` an unfinished run need not copy again."""
    if unfinished is None or not is_followed(table):
        return _Size(0, 0)  # a copy that has missed changes is begun anew
    return _read_size(name_shadow(table)) if unfinished.step == "copy" else size


def _estimate_ahead(size: _Size, partitions: int) -> int:
    is_small = size.bytes < partitions * SMALL_PARTITION_BYTES
    each = SMALL_AHEAD_BYTES if is_small else AHEAD_BYTES
    return partitions * each if size.bytes else 0


def _has_log_beside(table: str) -> bool:
    """Whether a binary log lies on the disk of the data, or somewhere that nobody can tell."""
    [[is_on, log, folder]] = fetch_all("SELECT @@log_bin, @@log_bin_basename, @@datadir")
    if not is_on:
        return False
    if read_free_bytes(table) is None:
        return True
    try:
        return os.stat(Path(log).parent).st_dev == os.stat(folder).st_dev
    except (OSError, TypeError):
        return True


def _has_more_rows(table: str, limit: int) -> bool:
    # Estimates are far off after a bulk load; this counts no further than it must.
    [[rows]] = fetch_all(
        f"SELECT COUNT(*) FROM (SELECT 1 FROM `{table}` LIMIT {limit + 1}) counted"
    )
    return int(rows) > limit
