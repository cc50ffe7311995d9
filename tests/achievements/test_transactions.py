"""One transaction, tried again as a whole; two workers on the same users."""

import random
import threading
import time
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection, transaction

from achievements import metrics, tables
from achievements.engine import process_events
from achievements.models import UserProgress
from achievements.transactions import MAX_ATTEMPTS, is_lock_conflict, run_transaction
from tests.factories import invalidate, make_broad_catalogue, make_event, new_user
from tests.faults.hammer import FIRST_USER, make_lives, make_pool, make_stream, start_process
from tests.invariants import check_invariants

pytestmark = pytest.mark.django_db(transaction=True)


def count_retries() -> float:
    return metrics.RETRIES._value.get()


def run_together(*works: Callable[[], object]) -> None:
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


@pytest.mark.parametrize("code", [1205, 1213])
def test_a_lock_conflict_is_tried_again_six_times_in_all(monkeypatch, code) -> None:
    monkeypatch.setattr("achievements.transactions.FIRST_DELAY_SECONDS", 0.0001)
    attempts: list[int] = []

    def work() -> str:
        attempts.append(1)
        UserProgress.objects.create(user_id=len(attempts), revision=0, state=b"")
        if len(attempts) < needed:
            raise OperationalError(code, "conflict")
        return "done"

    needed = MAX_ATTEMPTS
    assert run_transaction(work) == "done"
    assert list(UserProgress.objects.values_list("user_id", flat=True)) == [MAX_ATTEMPTS]
    attempts.clear()
    UserProgress.objects.all().delete()
    needed = MAX_ATTEMPTS + 1
    with pytest.raises(OperationalError, match="conflict"):
        run_transaction(work)
    assert len(attempts) == MAX_ATTEMPTS == 6


def test_other_errors_are_not_tried_again() -> None:
    attempts = []

    def work() -> None:
        attempts.append(1)
        raise OperationalError(2006, "gone away")

    with pytest.raises(OperationalError):
        run_transaction(work)
    assert len(attempts) == 1
    assert not is_lock_conflict(OperationalError())
    assert is_lock_conflict(OperationalError("database is locked"))


def test_inside_the_callers_transaction_only_the_caller_can_start_again() -> None:
    attempts = []

    def work() -> None:
        attempts.append(1)
        raise OperationalError(1213, "deadlock")

    with pytest.raises(OperationalError), transaction.atomic():
        run_transaction(work)
    assert len(attempts) == 1


@pytest.mark.real
def test_the_engine_reads_what_is_committed() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW VARIABLES WHERE variable_name IN ('tx_isolation',"
                       " 'transaction_isolation')")  # fmt: skip
        assert cursor.fetchall()[0][1] == "READ-COMMITTED"


@pytest.mark.real
def test_a_deadlock_is_tried_again_without_a_second_effect() -> None:
    """A second connection takes two users in the wrong order, and is the costlier victim."""
    make_broad_catalogue()
    low, high = sorted((new_user(), new_user()))
    process_events([make_event(low, 1), make_event(high, 1)])
    events = [make_event(user, 2, wpm=95.0) for user in (low, high)]
    other = connection.copy()
    other.connect()
    other.set_autocommit(False)
    before = count_retries()
    lock = "SELECT revision FROM user_progress WHERE user_id = %s FOR UPDATE"
    with other.cursor() as cursor:
        # Rows changed make it the heavier transaction: the server sacrifices the engine's.
        cursor.execute("UPDATE user_progress SET revision = revision + 100 WHERE user_id = %s",
                       [high])  # fmt: skip
        for number in range(50):
            cursor.execute(
                "INSERT INTO tallies VALUES (9999, 1, 1, %s)"
                " ON DUPLICATE KEY UPDATE holders = holders + 1", [number]
            )  # fmt: skip
        worker = threading.Thread(target=lambda: run_together(lambda: process_events(events)))
        worker.start()
        try:
            wait_for_lock(cursor)
            cursor.execute(lock, [low])
        finally:
            other.rollback()
            other.close()
            worker.join(30)
    assert count_retries() == before + 1
    check_invariants([make_event(low, 1), make_event(high, 1), *events])


def wait_for_lock(cursor) -> None:
    """Wait until another transaction waits for a lock of ours."""
    for _ in range(60):
        # The server refreshes this table only when nobody has read it for a tenth of a second.
        threading.Event().wait(0.12)
        cursor.execute(
            "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        )
        if cursor.fetchone()[0]:
            return
    raise AssertionError("nobody waits")


@pytest.mark.real
def test_a_lock_wait_is_tried_again() -> None:
    make_broad_catalogue()
    user = new_user()
    process_events([make_event(user, 1)])
    other = connection.copy()
    other.connect()
    other.set_autocommit(False)
    before = count_retries()

    def apply() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
        process_events([make_event(user, 2)])

    def hold() -> None:
        with other.cursor() as cursor:
            cursor.execute("SELECT revision FROM user_progress WHERE user_id = %s FOR UPDATE",
                           [user])  # fmt: skip
            worker = threading.Thread(target=lambda: run_together(apply))
            worker.start()
            deadline = time.monotonic() + 15
            while count_retries() == before and time.monotonic() < deadline:
                time.sleep(0.02)
        other.rollback()
        worker.join(30)

    hold()
    other.close()
    assert count_retries() >= before + 1
    check_invariants([make_event(user, 1), make_event(user, 2)])


@pytest.mark.real
def test_users_are_locked_in_order_whatever_their_partitions() -> None:
    users = random.Random(1).sample(range(1, 10**9), 60)
    tables.create_progress(users)
    deadlocks = []

    def lock(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(60):
            try:
                with transaction.atomic():
                    tables.lock_progress(chance.sample(users, 30))
                    threading.Event().wait(0.001)
            except OperationalError as error:
                deadlocks.append(error)

    run_together(*(lambda seed=seed: lock(seed) for seed in range(4)))
    assert deadlocks == []


@pytest.mark.real
def test_workers_that_create_the_same_users_at_once() -> None:
    make_broad_catalogue(is_ordered=False)
    users = [new_user() for _ in range(20)]
    barrier = threading.Barrier(4)

    def work(test: int) -> None:
        for start in range(0, 20, 5):
            barrier.wait(60)
            process_events([make_event(user, test) for user in users[start : start + 5]])

    run_together(*(lambda test=test: work(test) for test in range(1, 5)))
    check_invariants([make_event(user, test) for user in users for test in range(1, 5)])


@pytest.mark.real
def test_two_processes_hammer_the_same_users() -> None:
    make_broad_catalogue(is_ordered=False)
    users, batches, size = 50, 25, 100
    processes = [start_process(seed, users, batches, size) for seed in (1, 2)]
    outputs = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    pool = make_pool(users)
    assert {e.user_id for e in pool} == set(range(FIRST_USER, FIRST_USER + users))
    assert sum(len(batch) for batch in make_stream(1, pool, batches, size)) > len(pool)
    for batch in make_stream(3, pool, batches, size):
        assert process_events(batch).applied == 0
    check_invariants(pool)


@pytest.mark.real
def test_two_processes_save_and_take_back_tests_of_the_same_users() -> None:
    """Runs and averages too: each process replays what the other has saved meanwhile."""
    make_broad_catalogue()
    users, tests = 25, 24
    processes = [start_process(seed, users, tests, "saving") for seed in (1, 2)]
    outputs = [process.communicate(timeout=100)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    pool = make_pool(users, tests)
    events = [e for seed in (1, 2) for _, batch in make_lives(seed, pool) for e in batch]
    assert {e.event_type for e in events} == {"test_completed", "test_invalidated"}
    # What a late test broke is held until somebody asks: an invalidation does, of no test at all.
    events += (last := [invalidate(FIRST_USER + n, 10**9) for n in range(users)])
    process_events(last)
    check_invariants(events, are_told=False)
    assert process_events(events).applied == 0
