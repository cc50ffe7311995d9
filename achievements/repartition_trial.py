"""Asking the server by trying it, on scratch copies of a few thousand rows (services floor)."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from django.db import DatabaseError

from achievements import failpoints
from achievements.models import Job
from achievements.shadow import (
    RepartitionError,
    change_definition,
    execute,
    list_columns,
    list_tables,
    quote_columns,
)
from achievements.statements import fetch_all

TRIAL_ROWS: Final = 2_000
ONLINE_CLAUSES: Final = ("ALGORITHM=INPLACE, LOCK=NONE", "ALGORITHM=COPY, LOCK=NONE")


class Trial(NamedTuple):
    """What the server did with the scratch copies."""

    refusals: dict[str, str]  # by clause; "" where it was accepted
    rows_per_second: dict[str, float]  # by table

    @property
    def online_clause(self) -> str:
        """The clause that lets writers go on; "" where the server takes none."""
        return next((clause for clause, refusal in self.refusals.items() if not refusal), "")


def try_server(tables: Sequence[str], partitions: int, *, with_triggers: bool) -> Trial:
    """Copy a few rows of each table, and ask for a repartition that lets writers go on.

    Leaves nothing behind. Raises what the server answers to an account that may not do what a
    run does: nothing was made for it then.
    """
    refusals: dict[str, str] = {}
    speeds: dict[str, float] = {}
    for table in tables:
        with _open_scratch(table) as scratch:
            speeds[table] = _measure_copying(table, scratch)
            # Without LOCK=NONE a server may accept a clause and copy behind a lock all the same.
            refusals = refusals or {
                clause: _try_clause(scratch, clause, partitions) for clause in ONLINE_CLAUSES
            }
            if with_triggers:
                change_definition(
                    f"CREATE TRIGGER `{scratch}` AFTER DELETE ON `{scratch}`"
                    " FOR EACH ROW SET @trial = 1"
                )
    return Trial(refusals, speeds)


def read_server() -> str:
    [[version, comment]] = fetch_all("SELECT VERSION(), @@version_comment")
    return str(version) if "MariaDB" in version else f"MySQL {version} ({comment})"


@contextmanager
def _open_scratch(table: str) -> Iterator[str]:
    """An empty table like `table`. The job's row tells a scratch that a kill left from others'."""
    scratch, mark = f"{table}__trial", Job(name=f"repartition {table}: trial")
    if scratch in list_tables():
        if not Job.objects.filter(pk=mark.pk).exists():
            raise RepartitionError(
                f"{scratch} is there, and no trial of ours made it. The trial needs this name:"
                f" rename it, or DROP TABLE {scratch} first."
            )
        execute(f"DROP TABLE `{scratch}`")
    mark.save()
    is_made = False
    try:
        execute(f"CREATE TABLE `{scratch}` LIKE `{table}`")
        is_made = True
        failpoints.reach("repartition_trial")
        yield scratch
    finally:
        if is_made:
            execute(f"DROP TABLE `{scratch}`")
        mark.delete()


def _measure_copying(table: str, scratch: str) -> float:
    """Return how many rows a second one plain statement copies."""
    columns = quote_columns(list_columns(table))
    started = time.monotonic()
    execute(
        f"INSERT INTO `{scratch}` ({columns}) SELECT {columns} FROM `{table}` LIMIT {TRIAL_ROWS}"
    )
    seconds = time.monotonic() - started
    [[rows]] = fetch_all(f"SELECT COUNT(*) FROM `{scratch}`")
    return max(int(rows), 1) / max(seconds, 0.001)


def _try_clause(scratch: str, clause: str, partitions: int) -> str:
    try:
        execute(
            f"ALTER TABLE `{scratch}` {clause} PARTITION BY HASH(user_id) PARTITIONS {partitions}"
        )
    except DatabaseError as error:
        return str(error.args[-1])
    return ""
