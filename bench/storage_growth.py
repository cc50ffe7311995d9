"""What a batch of the engine costs as users become more, each time beside a small site's batch.

The small site is a database of its own on the same server, so that a noisy moment of the
machine, or a server that has grown warm, meets both.
"""

import gc
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from achievements import shadow
from achievements.engine import process_events
from achievements.events import Event, decode_event
from achievements.partitions import list_user_tables
from achievements.rulebook import Rulebook
from achievements.statements import fetch_all
from bench.pipeline_users import Users, make_pasts
from bench.storage_arrivals import ARRIVALS
from bench.storage_layouts import TABLE
from bench.storage_site import HOME, Database, execute, read_status, use
from bench.timing import Rates, Ratio, compare, say
from bench.workload import NOW

BATCH: Final = 500
SMALL: Final = "laurel_small"
FOLLOWED: Final = ("user_progress", "user_achievements")


class Point(NamedTuple):
    """So many users, and the events a second of rounds that alternate."""

    users: int
    small: Rates
    grown: Rates

    @property
    def growth(self) -> Ratio:
        """The cost of an event here over its cost in the small site."""
        return compare(self.small, self.grown)


class Growth:
    """A site that grows, and one beside it that stays small."""

    def __init__(self, database: Database, rulebook: Rulebook, *, small_users: int) -> None:
        self.database = database
        say("typists make their histories")
        pasts = make_pasts(rulebook)
        _copy_database(small_users)
        self.small = Users(pasts, first=1, count=small_users)
        with use(SMALL):
            self.small.insert()
        self.grown = Users(pasts, first=1, count=0)
        self.grown.grow(small_users)

    def measure(self, *, users: int, rounds: int, batches: int) -> Point:
        if users > self.grown.count:
            self.grown.grow(users)
        self.database.settle()
        small, grown = [], []
        for number in range(rounds + 1):
            with use(SMALL):
                small.append(run_batches(self.small, batches))
            grown.append(run_batches(self.grown, batches))
            if number == 0:  # warm: what was just inserted meets its first readers
                small, grown = [], []
        point = Point(users, Rates(tuple(small)), Rates(tuple(grown)))
        say(f"{users:,} users: {_say(point.grown)} µs an event, beside {_say(point.small)}")
        return point

    def measure_followed(self, *, rounds: int, batches: int) -> tuple[Rates, Rates]:
        """Let shadows follow the tables of the small site every other time, as in a repartition."""
        alone, followed = [], []
        with use(SMALL):
            for number in range(rounds + 1):
                alone.append(run_batches(self.small, batches))
                for table in FOLLOWED:
                    shadow.create_shadow(table, 16)
                    execute(f"INSERT IGNORE INTO {shadow.name_shadow(table)} SELECT * FROM {table}")
                followed.append(run_batches(self.small, batches))
                for table in FOLLOWED:
                    shadow.drop_shadow(table)
                if number == 0:
                    alone, followed = [], []
        return Rates(tuple(alone)), Rates(tuple(followed))

    def measure_beyond_memory(
        self, *, pool: str, rounds: int, batches: int
    ) -> tuple[Rates, dict[str, float]]:
        """Let the grown site work with less memory than its rows of progress take."""
        self.database.restart(pool=pool)
        run_batches(self.grown, batches)
        before = read_status("Innodb_buffer_pool_reads")
        rates = Rates(tuple(run_batches(self.grown, batches) for _ in range(rounds)))
        pages = read_status("Innodb_buffer_pool_reads") - before
        size = sum(self.database.measure_bytes(HOME, table) for table in list_user_tables())
        memory = fetch_all("SELECT @@innodb_buffer_pool_size")[0][0]
        return rates, {
            "users": self.grown.count,
            "tables_over_memory": size / memory,
            "pages_read_an_event": pages / (rounds * batches * BATCH),
        }


def run_batches(users: Users, count: int) -> float:
    """Return the events a second of `count` whole batches, decoded beforehand."""
    work = [_take_batch(users) for _ in range(count)]
    gc.collect()
    started = time.perf_counter()
    results = [process_events(batch) for batch in work]
    seconds = time.perf_counter() - started
    assert sum(result.applied for result in results) == count * BATCH
    return count * BATCH / seconds


def _take_batch(users: Users) -> Sequence[Event]:
    return [decode_event(taken.body, now=NOW) for taken in users.take_batch(BATCH)]


def _copy_database(users: int) -> None:
    """Create the small site: the same definitions, and the unlocks of its users."""
    execute(f"CREATE DATABASE {SMALL}")
    tables = {table for (table,) in fetch_all("SHOW TABLES")} - {ARRIVALS}
    for table in tables:
        execute(f"CREATE TABLE {SMALL}.{table} LIKE {HOME}.{table}")
    for table in tables - set(list_user_tables()):
        execute(f"INSERT INTO {SMALL}.{table} SELECT * FROM {HOME}.{table}")
    own = f"SELECT * FROM {HOME}.{TABLE} WHERE user_id <= {users}"
    execute(f"INSERT INTO {SMALL}.{TABLE} {own} ORDER BY unlocked_at")


def _say(rates: Rates) -> str:
    return f"{1e6 / rates.median:.1f}"
