"""The primary hands over to a replica, or dies, while a consumer or a Celery worker has work."""

import random
import time
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest
from django.db import DatabaseError, connection

from achievements.events import Event
from achievements.models import Outbox, UserProgress
from achievements.outbox import accept_events
from tests.factories import make_broad_catalogue, make_event, new_user
from tests.faults.fleet import (
    check_offsets,
    make_consumer,
    new_group,
    read_committed,
    read_dead_letters,
    wait_for_drain,
    wait_until,
)
from tests.faults.steady import SteadyEvents
from tests.invariants import check_invariants
from tests.replication import Replicated

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

USERS = 30
TIMEOUT_SECONDS = "2"  # of a query
WAYS = ("handed over", "killed")  # each death leaves a server fewer: three outlive the two here


def promote(replicated: Replicated, way: str) -> None:
    """By hand and without a loss, or after a death, with what a replica had acknowledged."""
    if way == "handed over":
        replicated.primary.run("SET GLOBAL read_only = 1")
        time.sleep(1)  # meanwhile every write is refused
        replicated.hand_over()
    else:
        replicated.primary.kill()
        time.sleep(1)
        replicated.take_over()
    connection.close()


def wait_for_semi_sync(replicated: Replicated) -> None:
    """From here on what was committed is on a replica, whoever dies."""
    replicated.primary.run("SET GLOBAL rpl_semi_sync_master_timeout = 10000")
    for replica in replicated.replicas:
        replica.run("SET GLOBAL rpl_semi_sync_slave_enabled = 1")
        replica.run("STOP SLAVE")
        replica.run("START SLAVE")
    replicated.primary.run("SET GLOBAL rpl_semi_sync_master_enabled = 1")


@pytest.mark.kafka
@pytest.mark.parametrize("way", WAYS)
def test_a_consumer_follows_the_new_primary(
    kafka, replicated: Replicated, client, tmp_path: Path, way: str
) -> None:
    make_broad_catalogue()
    replicated.wait_for_replicas()
    wait_for_semi_sync(replicated)
    group = new_group()
    consumer = make_consumer(
        group,
        "one",
        *("--batch=20", "--max-batch=40", f"--heartbeat-file={tmp_path / 'alive'}"),
        DATABASE_TIMEOUT_SECONDS=TIMEOUT_SECONDS,
        FAILPOINT="before_commit:sleep 0.04",  # half of the time it is inside a transaction
    )
    with consumer:
        with SteadyEvents(USERS) as load:
            wait_until(UserProgress.objects.exists)
            time.sleep(random.random())
            promote(replicated, way)
            before = sum(read_committed(group).values())
            wait_until(
                lambda: sum(read_committed(group).values()) > before + 200,
                say=consumer.read_log_end,
            )
        wait_for_drain(group)
        log = consumer.read_log()
        assert "batch_failed" in log
        assert log.count("partitions_assigned") == 1, consumer.read_log_end()
        consumer.stop()
        assert consumer.wait() == 0, consumer.read_log_end()
    print(f"{len(load.sent)} events, {log.count('batch_failed')} failures of a batch")
    check_invariants(load.sent, client=client)
    check_offsets(group)
    assert read_dead_letters() == []


class Writers:
    """Hand events in one by one, as web processes do, and again until they are accepted."""

    def __init__(self, users: list[int]) -> None:
        self.users = users
        self.accepted: list[Event] = []
        self.refusals = 0
        self.error: BaseException | None = None
        self._is_over = Flag()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> "Writers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(30)
        assert self.error is None, self.error

    def _run(self) -> None:
        try:
            for test in range(1, 1000):
                for user in self.users:
                    event = make_event(user, test, wpm=50.0 + test * 7 % 90)
                    while not self._hand_in(event):
                        self.refusals += 1
                        if self._is_over.wait(0.1):
                            return
                    self.accepted.append(event)
                    if self._is_over.wait(0.01):
                        return
        except BaseException as error:
            self.error = error
        finally:
            connection.close()

    def _hand_in(self, event: Event) -> bool:
        try:
            accept_events([event])
        except DatabaseError:
            connection.close()
            return False
        return True


@pytest.mark.parametrize("way", WAYS)
def test_a_celery_worker_follows_the_new_primary(
    replicated: Replicated, settings, start_celery_worker, client, way: str
) -> None:
    """By itself: with beat, which looks for rows whose task failed."""
    settings.EVENT_TRANSPORT = "celery"
    make_broad_catalogue()
    replicated.wait_for_replicas()
    wait_for_semi_sync(replicated)
    worker = start_celery_worker(with_beat=True, DATABASE_TIMEOUT_SECONDS=TIMEOUT_SECONDS)
    with Writers([new_user() for _ in range(USERS)]) as writers:
        wait_until(UserProgress.objects.exists)
        time.sleep(random.random())
        promote(replicated, way)
        before = len(writers.accepted)
        wait_until(lambda: len(writers.accepted) > before + 100 or writers.error)
    wait_until(lambda: not Outbox.objects.exists(), seconds=60, say=worker.read_log_end)
    print(f"{len(writers.accepted)} events, {writers.refusals} times refused")
    assert writers.refusals
    # A row may have been written in the very moment of the refusal: it is applied as well.
    check_invariants(writers.accepted, client=client)
