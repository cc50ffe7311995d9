"""What a repartition would take (services floor): time, space, who waits, what forbids it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from django.db import connection

from achievements.partitions import read_partition_count
from achievements.repartition import Unfinished, find_conflict, is_swapped, read_unfinished
from achievements.repartition_trial import Trial
from achievements.statements import fetch_all

BIG_TABLE_ROWS: Final = 100_000
EMPTY_PARTITION_BYTES: Final = 128 * 1024
SLICES_SHARE: Final = 2.2  # measured: slices and their comparison, against one plain copy


class Plan(NamedTuple):
    """One table. `space_bytes` is what both copies need at once beyond what there is now."""

    table: str
    method: str  # copy or alter
    partitions_now: int
    partitions: int
    rows: int
    is_big: bool
    bytes: int
    space_bytes: int
    seconds: float
    has_waiting_writers: bool
    unfinished: Unfinished | None
    conflict: str


def has_work(table: str, partitions: int) -> bool:
    return (
        read_partition_count(connection, table) != partitions or read_unfinished(table) is not None
    )


def make_plan(*, table: str, partitions: int, method: str, trial: Trial, pause: float) -> Plan:
    rows, size = _read_size(table)
    unfinished = read_unfinished(table)
    conflict = find_conflict(table, partitions)
    if unfinished and method == "alter" and not conflict:
        conflict = f"{table}: a copy is unfinished. Finish it with --method copy, or --abort it."
    seconds = rows / trial.rows_per_second[table]
    return Plan(
        table=table,
        method=method,
        partitions_now=read_partition_count(connection, table),
        partitions=partitions,
        rows=rows,
        is_big=_has_more_rows(table, BIG_TABLE_ROWS),
        bytes=size,
        space_bytes=0
        if unfinished and is_swapped(table)
        else size + partitions * EMPTY_PARTITION_BYTES,
        seconds=seconds * SLICES_SHARE * (1 + pause) if method == "copy" else seconds,
        has_waiting_writers=method == "alter" and not trial.online_clause,
        unfinished=unfinished,
        conflict=conflict,
    )


def find_obstacle(plans: Sequence[Plan], *, may_lock: bool, free_bytes: int | None) -> str:
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
    needed = max((plan.space_bytes for plan in plans), default=0)
    if free_bytes is not None and needed > free_bytes:
        return (
            f"{needed / 1e6:,.0f} MB are needed beside the table, and only"
            f" {free_bytes / 1e6:,.0f} MB are free on the disk of the data."
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


def _read_size(table: str) -> tuple[int, int]:
    """Return rows and bytes as the server estimates them, anew: after a load they are far off."""
    fetch_all(f"ANALYZE NO_WRITE_TO_BINLOG TABLE `{table}`")
    [[rows, size]] = fetch_all(
        "SELECT COALESCE(table_rows, 0), COALESCE(data_length + index_length, 0)"
        " FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
        [table],
    )
    return int(rows), int(size)


def _has_more_rows(table: str, limit: int) -> bool:
    # Estimates are far off after a bulk load; this counts no further than it must.
    [[rows]] = fetch_all(
        f"SELECT COUNT(*) FROM (SELECT 1 FROM `{table}` LIMIT {limit + 1}) counted"
    )
    return int(rows) > limit
