"""What docs/runbook.md says of ALTER TABLE and its like on partitioned tables, tried.

Each statement meets a writer. Online: the writer commits while the statement runs.
Blocking: one write lasts as long as the statement. The server's answer to LOCK=NONE and
ALGORITHM=INSTANT has to agree.
"""

import threading
import time
from collections.abc import Iterator

import pytest
from django.db import DatabaseError, connection

from tests.repartitioning import run_sql

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]

TABLE = "maintained"
ROWS = 300_000
REFUSALS = (1845, 1846)  # ALGORITHM or LOCK is not supported

INSTANT = {
    "add a column": ("ADD COLUMN extra INT NULL", "DROP COLUMN extra"),
    "add one in the middle": ("ADD COLUMN extra INT NOT NULL DEFAULT 5 AFTER level",
                              "DROP COLUMN extra"),
    "rename a column": ("RENAME COLUMN revoked_reason TO reason",
                        "RENAME COLUMN reason TO revoked_reason"),
    "set a default": ("ALTER COLUMN level SET DEFAULT 3", "ALTER COLUMN level DROP DEFAULT"),
    "lengthen a text": ("MODIFY revoked_reason VARCHAR(240) NULL", None),
}  # fmt: skip

# The least that has to be asked for, so that the server refuses rather than blocks.
ONLINE = {
    "add an index": ("ALTER TABLE {} ADD INDEX extra (unlocked_at), ALGORITHM=NOCOPY, LOCK=NONE",
                     "ALTER TABLE {} DROP INDEX extra, ALGORITHM=NOCOPY, LOCK=NONE"),
    "forbid nulls": ("ALTER TABLE {} MODIFY test_result_id BIGINT NOT NULL,"
                     " ALGORITHM=INPLACE, LOCK=NONE", None),
    "allow nulls": ("ALTER TABLE {} MODIFY test_result_id BIGINT NULL,"
                    " ALGORITHM=INPLACE, LOCK=NONE", None),
    "rebuild": ("ALTER TABLE {} FORCE, ALGORITHM=INPLACE, LOCK=NONE", None),
    "optimize": ("OPTIMIZE TABLE {}", None),
    "optimize a partition": ("ALTER TABLE {} OPTIMIZE PARTITION p3", None),
    "analyze in full": ("ANALYZE TABLE {} PERSISTENT FOR ALL", None),
    "check": ("CHECK TABLE {}", None),
}  # fmt: skip

# What blocks, and the same with a wish that the server must refuse.
BLOCKING = {
    "widen a number": ("ALTER TABLE {} MODIFY rulebook_version BIGINT NOT NULL",
                       "ALTER TABLE {} MODIFY rulebook_version BIGINT NOT NULL, LOCK=NONE"),
    "narrow a number": ("ALTER TABLE {} MODIFY rulebook_version INT NOT NULL",
                        "ALTER TABLE {} MODIFY rulebook_version INT NOT NULL, LOCK=NONE"),
    "shorten a text": ("ALTER TABLE {} MODIFY revoked_reason VARCHAR(100) NULL",
                       "ALTER TABLE {} MODIFY revoked_reason VARCHAR(100) NULL, LOCK=NONE"),
    "partition again": ("ALTER TABLE {} PARTITION BY HASH(user_id) PARTITIONS 16",
                        "ALTER TABLE {} LOCK=NONE PARTITION BY HASH(user_id) PARTITIONS 16"),
    "partition again, called instant": (
        "ALTER TABLE {} ALGORITHM=INSTANT PARTITION BY HASH(user_id) PARTITIONS 8",
        "ALTER TABLE {} ALGORITHM=INPLACE PARTITION BY HASH(user_id) PARTITIONS 8"),
    "add partitions": ("ALTER TABLE {} ADD PARTITION PARTITIONS 8",
                       "ALTER ONLINE TABLE {} ADD PARTITION PARTITIONS 8"),
    "coalesce partitions": ("ALTER TABLE {} COALESCE PARTITION 8",
                            "ALTER ONLINE TABLE {} COALESCE PARTITION 8"),
    "rebuild a partition": ("ALTER TABLE {} REBUILD PARTITION p0, p1, p2, p3",
                            "ALTER ONLINE TABLE {} REBUILD PARTITION p0, p1, p2, p3"),
}  # fmt: skip


# What makes it a change, also the second time: without one the server has nothing to do.
BEFORE = {
    "forbid nulls": "ALTER TABLE {} MODIFY test_result_id BIGINT NULL",
    "allow nulls": "ALTER TABLE {} MODIFY test_result_id BIGINT NOT NULL",
    "widen a number": "ALTER TABLE {} MODIFY rulebook_version INT NOT NULL",
    "narrow a number": "ALTER TABLE {} MODIFY rulebook_version BIGINT NOT NULL",
    "shorten a text": "ALTER TABLE {} MODIFY revoked_reason VARCHAR(240) NULL",
    "add partitions": "ALTER TABLE {} PARTITION BY HASH(user_id) PARTITIONS 8",
    "coalesce partitions": "ALTER TABLE {} PARTITION BY HASH(user_id) PARTITIONS 16",
}


def prepare(name: str) -> None:
    if name in BEFORE:
        run_sql(BEFORE[name].format(TABLE))


@pytest.fixture(scope="module", autouse=True)
def filled_table(django_db_setup, django_db_blocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        run_sql(f"CREATE TABLE {TABLE} LIKE user_achievements")
        run_sql(f"INSERT INTO {TABLE} SELECT seq DIV 50, seq MOD 50, 1, NOW(6), seq, 1, NULL, NULL"
                f" FROM seq_1_to_{ROWS}")  # fmt: skip
        yield
        run_sql(f"DROP TABLE {TABLE}")


class Writer(threading.Thread):
    """Upserts one row after the other, each a transaction, and remembers when."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[float, float]] = []
        self.failures: list[Exception] = []
        self.is_stopped = threading.Event()

    def run(self) -> None:
        user = 0
        try:
            while not self.is_stopped.wait(0.002):
                user = (user + 7) % (ROWS // 50)
                started = time.monotonic()
                run_sql(
                    f"INSERT INTO {TABLE} (user_id, achievement_id, level, unlocked_at,"
                    " test_result_id, rulebook_version) VALUES (%s, 1, 1, NOW(6), 5, 1)"
                    " ON DUPLICATE KEY UPDATE unlocked_at = NOW(6)",
                    user,
                )
                self.writes.append((started, time.monotonic()))
        except Exception as error:
            self.failures.append(error)
        finally:
            connection.close()


def run_beside_writer(statement: str) -> tuple[float, int, float]:
    """Return its seconds, the writes that began and ended inside them, and the longest write."""
    writer = Writer()
    writer.start()
    try:
        while len(writer.writes) < 20:
            assert writer.is_alive(), writer.failures
            time.sleep(0.01)
        started = time.monotonic()
        run_sql(statement.format(TABLE))
        ended = time.monotonic()
        reached = len(writer.writes)
        while len(writer.writes) < reached + 2:  # one that waited is remembered when it is through
            assert writer.is_alive(), writer.failures
            time.sleep(0.01)
    finally:
        writer.is_stopped.set()
        writer.join(30)
    assert writer.failures == []
    inside = [w for w in writer.writes if started <= w[0] and w[1] <= ended]
    touching = [w[1] - w[0] for w in writer.writes if w[1] >= started and w[0] <= ended]
    return ended - started, len(inside), max(touching, default=0)


def expect_refusal(statement: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        run_sql(statement.format(TABLE))
    assert caught.value.args[0] in REFUSALS, caught.value


@pytest.mark.parametrize(("change", "undo"), INSTANT.values(), ids=list(INSTANT))
def test_instant(change: str, undo: str | None) -> None:
    _, _, longest = run_beside_writer(f"ALTER TABLE {{}} {change}, ALGORITHM=INSTANT, LOCK=NONE")
    if undo:
        run_sql(f"ALTER TABLE {TABLE} {undo}, ALGORITHM=INSTANT, LOCK=NONE")
    assert longest < 10


@pytest.mark.parametrize("name", ONLINE)
def test_online(name: str) -> None:
    statement, undo = ONLINE[name]
    prepare(name)
    if "ALGORITHM" in statement:
        for wish in ("ALGORITHM=NOCOPY", "ALGORITHM=INPLACE"):
            statement_as_instant = statement.replace(wish, "ALGORITHM=INSTANT")
            if statement_as_instant != statement:
                expect_refusal(statement_as_instant)
    for _ in range(3):  # a slow disk may let few writes end meanwhile
        prepare(name)
        seconds, inside, longest = run_beside_writer(statement)
        if undo:
            run_sql(undo.format(TABLE))
        if inside >= 3:
            break
    assert inside >= 3, (seconds, inside, longest)


@pytest.mark.parametrize("name", BLOCKING)
def test_blocking(name: str) -> None:
    statement, refused = BLOCKING[name]
    prepare(name)
    expect_refusal(refused)
    for _ in range(3):  # the writer may have been between two writes
        prepare(name)
        seconds, inside, longest = run_beside_writer(statement)
        if longest > seconds / 2:
            break
    assert longest > seconds / 2, (seconds, inside, longest)


def test_analyze_does_not_block() -> None:
    seconds, _, longest = run_beside_writer("ANALYZE TABLE {}")
    assert longest < 10
    assert seconds < 10
