"""A database that dies, freezes or turns read-only under a consumer that has work (10, 11).

The server is this module's own: the one that all tests share has to stay up.
"""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from django.core.management import call_command
from django.db import connection

from achievements.models import UserProgress
from config.environment import read_database
from deploy.local.process import HOST
from deploy.local.servers import MariaDB
from tests.factories import make_broad_catalogue
from tests.faults.fleet import (
    SESSION_SECONDS,
    Command,
    check_offsets,
    make_consumer,
    new_group,
    read_committed,
    read_dead_letters,
    wait_for_drain,
    wait_until,
)
from tests.faults.steady import SteadyRecords
from tests.invariants import check_invariants

pytestmark = [pytest.mark.kafka]

USERS = 40
SHORT_OUTAGES = 3
TIMEOUT_SECONDS = 2  # of a query; connecting has 5


def query_as_admin(server: MariaDB, statement: str) -> tuple[tuple[object, ...], ...]:
    import MySQLdb

    admin = MySQLdb.connect(host=HOST, port=server.port, user="admin", password=server.password)
    try:
        cursor = admin.cursor()
        cursor.execute(statement)
        return cursor.fetchall()
    finally:
        admin.close()


def list_processes(server: MariaDB) -> tuple[tuple[object, ...], ...]:
    return query_as_admin(server, "SHOW PROCESSLIST")


class Fault(NamedTuple):
    begin: Callable[[MariaDB], object]
    end: Callable[[MariaDB], object]
    longest_silence_seconds: float  # of the consumer's heartbeat


FAULTS = {
    "killed": Fault(MariaDB.kill, MariaDB.start, 6.0),
    # It has to wait for an answer that does not come: for that of a query or of a greeting.
    "frozen": Fault(MariaDB.pause, MariaDB.resume, 12.0),
    "read-only": Fault(
        lambda server: query_as_admin(server, "SET GLOBAL read_only = 1"),
        lambda server: query_as_admin(server, "SET GLOBAL read_only = 0"),
        6.0,
    ),
}


@pytest.fixture(scope="module")
def own_server() -> Iterator[MariaDB]:
    with MariaDB({"innodb_log_file_size": "32M"}) as server:
        yield server


@pytest.fixture
def own_database(
    own_server: MariaDB, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MariaDB]:
    """A server to break, with empty tables, for this process and those that the test starts."""
    values = connection.settings_dict
    shared = dict(values)
    monkeypatch.setenv("DATABASE_URL", own_server.url)
    own = read_database("DATABASE_URL", "", base_dir=Path())
    connection.close()
    values.update({name: own[name] for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME")})
    try:
        call_command("migrate", verbosity=0)
        yield own_server
        own_server.resume()
        own_server.start()
        query_as_admin(own_server, "SET GLOBAL read_only = 0")
        connection.close()
        call_command("flush", verbosity=0, interactive=False)
    finally:
        connection.close()
        values.update(shared)


def find_longest_silence(heartbeat: Path, *, seconds: float) -> float:
    longest, deadline = 0.0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        longest = max(longest, time.time() - heartbeat.stat().st_mtime)
        time.sleep(0.05)
    return longest


def wait_for_touch(heartbeat: Path) -> None:
    touched = heartbeat.stat().st_mtime
    wait_until(lambda: heartbeat.stat().st_mtime > touched)


def wait_for_progress(group: str) -> None:
    before = sum(read_committed(group).values())
    wait_until(lambda: sum(read_committed(group).values()) > before, say=lambda: before)


def outlast_session(
    fault: Fault, server: MariaDB, consumer: Command, heartbeat: Path, group: str
) -> None:
    """Break the database for longer than a session: the consumer waits and stays in the group."""
    fault.begin(server)
    consumer.wait_for("batch_failed")
    for _ in range(2):  # what was applied before has been committed
        wait_for_touch(heartbeat)
    committed = read_committed(group)
    silence = find_longest_silence(heartbeat, seconds=SESSION_SECONDS + 1)
    print(f"the heartbeat was silent for {silence:.1f} s at most")
    assert silence < fault.longest_silence_seconds
    assert read_committed(group) == committed
    fault.end(server)
    wait_for_progress(group)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_consumer_waits_for_the_database_and_loses_nothing(
    kafka, own_database: MariaDB, client, tmp_path: Path, fault: Fault
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    make_broad_catalogue()
    group, heartbeat = new_group(), tmp_path / "alive"
    consumer = make_consumer(
        group,
        "one",
        *("--batch=20", "--max-batch=40", f"--heartbeat-file={heartbeat}"),
        DATABASE_TIMEOUT_SECONDS=str(TIMEOUT_SECONDS),
        # Half of the time it is inside a transaction.
        FAILPOINT="before_commit:sleep 0.04",
    )
    with consumer:
        with SteadyRecords(USERS) as load:
            wait_until(UserProgress.objects.exists)
            outlast_session(fault, own_database, consumer, heartbeat, group)
            for _ in range(SHORT_OUTAGES):
                time.sleep(chance.random())
                fault.begin(own_database)
                time.sleep(chance.random() * 2 * TIMEOUT_SECONDS)
                fault.end(own_database)
                wait_for_progress(group)
        wait_for_drain(group, seconds=90)
        log = consumer.read_log()
        assert log.count("partitions_assigned") == 1, consumer.read_log_end()
        assert "partitions_revoked" not in log
        # Its one connection and ours: none that broke is kept.
        connection.close()
        wait_until(
            lambda: [row[1] for row in list_processes(own_database)].count("laurel") == 1,
            say=lambda: list_processes(own_database),
        )
        consumer.stop()
        assert consumer.wait() == 0, consumer.read_log_end()
    print(f"{len(load.accepted)} events, {log.count('batch_failed')} failures of a batch")
    check_invariants(load.accepted, client=client)
    check_offsets(group)
    assert read_dead_letters() == []
