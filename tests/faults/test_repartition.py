"""Fault 30: the number of partitions changes beside writers; the command is killed on its way."""

import os
import random
import signal
import time

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from achievements.engine import process_events
from tests.factories import make_broad_catalogue
from tests.faults.hammer import make_pool, start_process
from tests.invariants import check_invariants
from tests.repartitioning import (
    PARTITIONED,
    count_partitions,
    list_traces,
    read_checksum,
    run_sql,
)
from tests.repartitioning import usual_partitions as usual_partitions

pytestmark = [
    pytest.mark.real,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("usual_partitions"),
]

USERS = 60
STEPS = (
    *("begun", "shadow", "delete_trigger", "update_trigger", "insert_trigger", "slice", "copied"),
    *("compared", "verified", "swapped", "dropped"),
)


def start_writers() -> list:
    """Start two processes that apply the same events, each in an order of its own, all the time."""
    pause = "after_commit:sleep 0.02"
    return [start_process(seed, USERS, 100, 30, "endless", FAILPOINT=pause) for seed in (1, 2)]


def finish_writers(writers: list) -> float:
    """End them; returns how often a batch was tried again."""
    batches = retries = 0
    for writer in writers:
        assert writer.poll() is None
        output = writer.communicate(timeout=100)[0]
        assert writer.returncode == 0, output
        _, done, _, again = output.split()[-4:]
        batches, retries = batches + int(done), retries + int(again)
    print(f"{batches} batches, {retries} of them again")
    return retries / batches


def start_repartition(*arguments: object, **environment: str):
    return start_process("repartition", "--slice", 25, *arguments, module="manage", **environment)


def finish_repartition(process) -> str:
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    return output


def read_checksums() -> list[int]:
    return [read_checksum(table) for table in PARTITIONED]


def store_some() -> None:
    make_broad_catalogue(is_ordered=False)
    process_events(make_pool(USERS))


@pytest.mark.parametrize("method", ["copy", "alter"])
def test_writers_lose_and_double_nothing(method: str) -> None:
    make_broad_catalogue(is_ordered=False)
    pool = make_pool(USERS)
    writers = start_writers()
    wait_for_rows("user_progress")
    for partitions in (16, 4):
        call_command("repartition", partitions=partitions, method=method, slice=20, pause=0)
        assert {count_partitions(table) for table in PARTITIONED} == {partitions}
    assert finish_writers(writers) < 0.2  # batches are tried again, but not most of the time
    assert list_traces() == []
    check_invariants(pool)
    # Nobody writes now: the tables are the same whatever their partitions.
    sums = read_checksums()
    call_command("repartition", partitions=8, method=method)
    assert read_checksums() == sums


def wait_for_rows(table: str, rows: int = 1) -> None:
    deadline = time.monotonic() + 30
    while run_sql(f"SELECT COUNT(*) FROM {table}")[0][0] < rows:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_kill_at_every_step_and_the_same_command_goes_on() -> None:
    store_some()
    sums = read_checksums()
    for step in STEPS:
        table = ("--table", "user_achievements")
        process = start_repartition("--partitions", 5, *table, FAILPOINT=f"repartition_{step}:kill")
        output = process.communicate(timeout=60)[0]
        assert process.returncode == -signal.SIGKILL, (step, output)
        assert list_traces() != []
        assert read_checksums() == sums
    finish_repartition(start_repartition("--partitions", 5, *table))
    assert list_traces() == []
    assert count_partitions("user_achievements") == 5
    assert read_checksums() == sums


def test_kills_at_any_time_beside_writers() -> None:
    make_broad_catalogue(is_ordered=False)
    pool = make_pool(USERS)
    writers = start_writers()
    wait_for_rows("user_achievements", 200)
    for partitions in (16, 4):
        arguments = ["--partitions", partitions, "--pause", 0]
        arguments += ["--table", "user_progress", "--table", "user_achievements"]
        slowly = ",".join(f"repartition_{step}:sleep 0.05" for step in STEPS)
        kills = 0
        for _ in range(4):
            process = start_repartition(*arguments, FAILPOINT=slowly)
            time.sleep(random.uniform(0.7, 1.7))
            process.kill()
            process.communicate(timeout=60)
            kills += process.returncode == -signal.SIGKILL
        assert kills
        finish_repartition(start_repartition(*arguments))
    finish_writers(writers)
    assert list_traces() == []
    assert count_partitions("user_achievements") == count_partitions("user_progress") == 4
    check_invariants(pool)


def test_stopped_by_the_keyboard_and_taken_back() -> None:
    store_some()
    sums = read_checksums()
    process = start_repartition(
        "--partitions", 16, "--table", "user_achievements", FAILPOINT="repartition_copied:sleep 0.1"
    )
    deadline = time.monotonic() + 30
    while not run_sql("SELECT 1 FROM jobs WHERE `cursor` > 0"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 130, output
    assert "the same command goes on from here, --abort takes it back" in output
    assert "Traceback" not in output
    with pytest.raises(CommandError, match="unfinished"):
        call_command("repartition", partitions=32)
    call_command("repartition", abort=True)
    assert list_traces() == []
    assert read_checksums() == sums
    assert count_partitions("user_achievements") == 8
