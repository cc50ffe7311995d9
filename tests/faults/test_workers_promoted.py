"""The primary hands over to a replica, or dies, while a consumer or a Celery worker has work."""

import random
import time
from pathlib import Path

import pytest
from django.db import connection

from achievements.models import Outbox, UserProgress
from tests.factories import make_broad_catalogue
from tests.faults.fleet import (
    check_offsets,
    make_consumer,
    new_group,
    read_committed,
    read_dead_letters,
    wait_for_drain,
    wait_until,
)
from tests.faults.steady import SteadyCalls, SteadyRecords
from tests.invariants import check_invariants
from tests.replication import Replicated

pytestmark = [pytest.mark.real]

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


@pytest.mark.kafka
@pytest.mark.parametrize("way", WAYS)
def test_a_consumer_follows_the_new_primary(
    kafka, replicated: Replicated, client, tmp_path: Path, way: str
) -> None:
    make_broad_catalogue()
    replicated.wait_for_replicas()
    replicated.acknowledge()
    group = new_group()
    consumer = make_consumer(
        group,
        "one",
        *("--batch=20", "--max-batch=40", f"--heartbeat-file={tmp_path / 'alive'}"),
        DATABASE_TIMEOUT_SECONDS=TIMEOUT_SECONDS,
        FAILPOINT="before_commit:sleep 0.04",  # half of the time it is inside a transaction
    )
    with consumer:
        with SteadyRecords(USERS) as load:
            wait_until(UserProgress.objects.exists)
            time.sleep(random.random())
            promote(replicated, way)
            before = sum(read_committed(group).values())
            wait_until(
                lambda: sum(read_committed(group).values()) > before + 200,
                say=consumer.read_log_end,
            )
        wait_for_drain(group, seconds=90)
        log = consumer.read_log()
        assert "batch_failed" in log
        assert log.count("partitions_assigned") == 1, consumer.read_log_end()
        consumer.stop()
        assert consumer.wait() == 0, consumer.read_log_end()
    print(f"{len(load.accepted)} events, {log.count('batch_failed')} failures of a batch")
    check_invariants(load.accepted, client=client)
    check_offsets(group)
    assert read_dead_letters() == []


@pytest.mark.parametrize("way", WAYS)
def test_a_celery_worker_follows_the_new_primary(
    replicated: Replicated, settings, start_celery_worker, client, way: str
) -> None:
    """By itself: with beat, which looks for rows whose task failed."""
    settings.EVENT_TRANSPORT = "celery"
    make_broad_catalogue()
    replicated.wait_for_replicas()
    replicated.acknowledge()
    worker = start_celery_worker(with_beat=True, DATABASE_TIMEOUT_SECONDS=TIMEOUT_SECONDS)
    with SteadyCalls(USERS) as load:
        wait_until(UserProgress.objects.exists)
        time.sleep(random.random())
        promote(replicated, way)
        before = len(load.accepted)
        wait_until(lambda: len(load.accepted) > before + 100 or load.error)
    wait_until(lambda: not Outbox.objects.exists(), seconds=60, say=worker.read_log_end)
    print(f"{len(load.accepted)} events, {load.refusals} times refused")
    assert load.refusals
    # A row may have been written in the very moment of the refusal: it is applied as well.
    check_invariants(load.accepted, client=client)
