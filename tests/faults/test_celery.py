"""Celery with a real worker: bursts, lost tasks, and a worker killed again and again."""

import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import transaction
from django.utils import timezone

from achievements.events import Event
from achievements.models import Outbox
from achievements.outbox import accept_events
from achievements.tasks import LATE, sweep_outbox
from deploy.local.process import find_free_port
from deploy.local.worker import CeleryWorker
from tests.factories import TestResultFactory, make_broad_catalogue, make_event, new_user
from tests.faults.hammer import make_pool, make_stream
from tests.invariants import check_invariants

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True, serialized_rollback=False)]
KILLS = 5


@pytest.fixture(autouse=True)
def _celery_transport(settings) -> None:
    settings.EVENT_TRANSPORT = "celery"


def wait_until(is_done: Callable[[], bool], *, seconds: float, meanwhile=lambda: None) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, f"{Outbox.objects.count()} rows are left"
        meanwhile()
        time.sleep(0.05)


def is_drained() -> bool:
    return not Outbox.objects.exists()


def sweep() -> None:
    """What beat asks a worker to do every five seconds, in a hurry."""
    Outbox.objects.update(created_at=timezone.now() - 2 * LATE)
    sweep_outbox()


def count_kills(workers: list[CeleryWorker]) -> int:
    """How many processes of the pools died by SIGKILL, by the workers' own logs."""
    return sum(len(re.findall(r"exited with 'signal 9", w.log_file.read_text())) for w in workers)


def test_a_burst_of_results_is_applied_in_batches(start_celery_worker, client) -> None:
    make_broad_catalogue()
    worker = start_celery_worker()
    users = [new_user() for _ in range(40)]
    for number in range(1, 6):
        with transaction.atomic():
            for user in users:
                TestResultFactory.create(
                    user_id=user, id=number * 1000 + user % 1000, wpm=58.0 + number
                )
    wait_until(is_drained, seconds=60, meanwhile=sweep_outbox)  # a bell may be lost
    events = [
        make_event(user, number * 1000 + user % 1000, wpm=58.0 + number, accuracy=97.0,
                   durationSeconds=30.0)
        for user in users
        for number in range(1, 6)
    ]  # fmt: skip
    check_invariants(events, client=client)
    tasks = worker.log_file.read_text().count("achievements.process_outbox[")
    assert tasks < 100  # far fewer than results


def test_a_worker_whose_processes_die_again_and_again(start_celery_worker, client) -> None:
    """At both failpoints and by the test's own hand; nothing is lost or doubled."""
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    print(f"seed {seed}")
    make_broad_catalogue(is_ordered=False)
    pool = make_pool(30, tests=20)
    # A pool looks after its dead about once a second, so several die in the meantime.
    workers = [
        start_celery_worker(FAILPOINT="before_commit:kill 0.4,after_commit:kill 0.4")
        for _ in range(2)
    ]
    killed = 0

    def kill_and_sweep() -> None:
        nonlocal killed
        if chance.random() < 0.2 and (child := find_child(chance.choice(workers))):
            killed += kill_child(child)
        sweep()

    for batch in make_stream(seed, pool, batches=10, size=80):
        accept_events(batch)
    while count_kills(workers) < KILLS:
        # More of the same: every one of these is a duplicate.
        if is_drained():
            accept_events(chance.sample(pool, 100))
        kill_and_sweep()
        time.sleep(0.1)
    wait_until(is_drained, seconds=60, meanwhile=kill_and_sweep)
    print(f"{count_kills(workers)} processes died, {killed} of them by hand")
    check_invariants(pool, client=client)


def find_child(worker: CeleryWorker) -> int | None:
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    return int(children[0]) if children else None


def kill_child(pid: int) -> bool:
    import os

    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def test_a_whole_worker_is_killed_in_the_middle_of_a_batch(start_celery_worker) -> None:
    make_broad_catalogue(is_ordered=False)
    worker = start_celery_worker(FAILPOINT="before_commit:sleep 30")
    events = make_pool(20, tests=5)
    accept_events(events)
    wait_until(
        lambda: "process_outbox[" in worker.log_file.read_text(), seconds=60, meanwhile=sweep_outbox
    )
    time.sleep(0.3)
    worker.kill()
    assert Outbox.objects.count() == len(events)
    start_celery_worker()
    wait_until(is_drained, seconds=30, meanwhile=sweep)
    check_invariants(events)


def test_a_flushed_broker_loses_tasks_and_no_event(start_celery_worker, settings) -> None:
    from redis import Redis

    make_broad_catalogue(is_ordered=False)
    events = make_pool(10, tests=5)
    accept_events(events)
    broker = Redis.from_url(settings.CELERY_BROKER_URL)
    assert broker.llen("achievement-events") >= 1
    broker.flushall()
    start_celery_worker()
    accept_events(events[:3])  # its bell is held back: one seems to be ringing
    wait_until(is_drained, seconds=30, meanwhile=sweep)
    check_invariants(events)


def test_a_broker_that_is_down_fails_no_request(settings, monkeypatch) -> None:
    from celery import current_app

    make_broad_catalogue(is_ordered=False)
    dead = f"redis://127.0.0.1:{find_free_port()}/0"
    with current_app.connection_for_write(dead) as connection:
        connection.transport_options = dict(current_app.conf.broker_transport_options)
        real = current_app.send_task
        monkeypatch.setattr(
            "achievements.wakeup.current_app.send_task",
            lambda name: real(name, connection=connection),
        )
        event: Event = make_event(new_user(), 1)
        began = time.monotonic()
        accept_events([event])
        assert time.monotonic() - began < 10
    assert Outbox.objects.count() == 1
    settings.EVENT_TRANSPORT = "inline"
    accept_events([event])
    check_invariants([event])
