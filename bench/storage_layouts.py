"""The contenders: our table of unlocks, and the customer's sketch made valid.

Each lives in a database of its own under the same name, so that the project's own statements
run on any of ours.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Final

from bench.storage_arrivals import (
    ARRIVALS,
    FIRST_AT,
    FIRST_TEST,
    LAST_AT,
    LEVELS,
    Arrivals,
    NewUnlock,
)
from bench.storage_site import HOME, execute
from bench.timing import Rates, say

TABLE: Final = "user_achievements"
SLICE: Final = 100_000  # rows in a transaction of a filling


class Layout(ABC):
    """A table of unlocks in a database of its own; `indexes` are there before the first row."""

    columns: str
    selected: str  # of the arrival `a` at the time `{at}`

    def __init__(self, database: str, *, partitions: int = 8, indexes: Sequence[str] = ()) -> None:
        self.database, self.partitions, self.indexes = database, partitions, indexes

    @abstractmethod
    def create(self) -> None: ...

    @abstractmethod
    def insert(self, batch: Sequence[NewUnlock]) -> None:
        """Insert new unlocks; to be called within `use` and a transaction."""

    @abstractmethod
    def read_profile(self, user_id: int) -> Sequence[Any]:
        """Return what a user holds; to be called within `use`."""

    def fill(self, arrivals: Arrivals, *, first: int, last: int, only: str = "TRUE") -> int:
        """Insert arrivals inside the server, in their order; return how many."""
        step = int((LAST_AT - FIRST_AT).total_seconds() * 1e6 / arrivals.count)
        at = f"'{FIRST_AT:%Y-%m-%d %H:%M:%S}' + INTERVAL a.n * {step} MICROSECOND"
        return execute(
            f"INSERT INTO {self.database}.{TABLE} ({self.columns})"
            f" SELECT {self.selected.format(at=at)} FROM {HOME}.{ARRIVALS} a"
            f" WHERE a.n BETWEEN {first} AND {last} AND {only} ORDER BY a.n"
        )

    def drop(self) -> None:
        execute(f"DROP TABLE {self.database}.{TABLE}")


class Ours(Layout):
    """The table as the migrations create it, written and read by the project's own statements."""

    columns = "user_id, achievement_id, level, unlocked_at, test_result_id, rulebook_version"
    selected = (
        f"a.user_id, a.kind DIV {LEVELS} + 1, a.kind % {LEVELS} + 1, {{at}},"
        f" {FIRST_TEST} + a.n * 977, 1"
    )

    def create(self) -> None:
        if self.database == HOME:
            return
        execute(f"CREATE DATABASE {self.database}")
        execute(f"CREATE TABLE {self.database}.{TABLE} LIKE {HOME}.{TABLE}")
        execute(
            f"ALTER TABLE {self.database}.{TABLE}"
            f" PARTITION BY HASH(user_id) PARTITIONS {self.partitions}"
        )
        for number, columns in enumerate(self.indexes):
            execute(f"CREATE INDEX named_{number} ON {self.database}.{TABLE} {columns}")

    def insert(self, batch: Sequence[NewUnlock]) -> None:
        from achievements.unlocks import UnlockRow, insert_unlocks

        insert_unlocks(
            [
                UnlockRow(u.user_id, u.kind // LEVELS + 1, u.kind % LEVELS + 1, u.at, u.test_id, 1)
                for u in batch
            ]
        )

    def read_profile(self, user_id: int) -> Sequence[Any]:
        from achievements.unlocks import read_unlock_rows

        return read_unlock_rows([user_id])


class Sketch(Layout):
    """The customer's sketch made valid: user_id in its primary key, and a unique key.

    The unique key is what keeps a second row of the same unlock out. `is_unique=False` leaves
    it away: the sketch as it was written, which a redelivered event fills twice.
    """

    columns = "user_id, achievement_id, unlocked_at"
    selected = "a.user_id, a.kind + 1, {at}"
    indexes_named: Final = ("(user_id, unlocked_at DESC)", "(achievement_id)")

    def __init__(self, database: str, *, partitions: int = 8, is_unique: bool = True) -> None:
        super().__init__(database, partitions=partitions, indexes=self.indexes_named)
        self.is_unique = is_unique

    def create(self) -> None:
        keys = "".join(f", INDEX {columns}" for columns in self.indexes)
        if self.is_unique:
            keys += ", UNIQUE (user_id, achievement_id)"
        execute(f"CREATE DATABASE {self.database}")
        execute(
            f"CREATE TABLE {self.database}.{TABLE} (id BIGINT AUTO_INCREMENT, user_id BIGINT,"
            f" achievement_id BIGINT, unlocked_at DATETIME, PRIMARY KEY (id, user_id){keys})"
            f" PARTITION BY HASH(user_id) PARTITIONS {self.partitions}"
        )

    def insert(self, batch: Sequence[NewUnlock]) -> None:
        from django.db import connection

        ignored = "IGNORE" if self.is_unique else ""
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT {ignored} INTO {TABLE} ({self.columns}) VALUES (%s, %s, %s)",
                [(u.user_id, u.kind + 1, u.at.replace(tzinfo=None)) for u in batch],
            )

    def read_profile(self, user_id: int) -> Sequence[Any]:
        from achievements.statements import fetch_all

        rows = fetch_all(
            f"SELECT achievement_id, unlocked_at FROM {TABLE} WHERE user_id = %s"
            " ORDER BY unlocked_at DESC",
            [user_id],
        )
        return [(achievement, at.replace(tzinfo=UTC)) for achievement, at in rows]


def fill_layouts(
    layouts: Mapping[str, Layout], arrivals: Arrivals, *, only: str = "TRUE"
) -> dict[str, Rates]:
    """Create and fill tables, a slice of each in turn; return rows a second inside the server."""
    for layout in layouts.values():
        layout.create()
    rates: dict[str, list[float]] = {name: [] for name in layouts}
    said_at = time.monotonic()
    for first in range(1, arrivals.count + 1, SLICE):
        last = min(first + SLICE - 1, arrivals.count)
        for name, layout in layouts.items():
            started = time.perf_counter()
            rows = layout.fill(arrivals, first=first, last=last, only=only)
            rates[name].append(rows / (time.perf_counter() - started))
        if time.monotonic() - said_at > 10:
            said_at = time.monotonic()
            say(f"{last:,} of {arrivals.count:,} unlocks are in {len(layouts)} tables")
    return {name: Rates(tuple(found)) for name, found in rates.items()}
