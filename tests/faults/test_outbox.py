"""Processes that drain the outbox are killed at every moment, dozens of times in a run."""

import random
import time

import pytest

from achievements.models import Outbox
from achievements.outbox import accept_events
from tests.factories import make_broad_catalogue
from tests.faults.hammer import make_pool, make_stream, start_process
from tests.invariants import check_invariants

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
KILLS = 50


def test_fifty_kills_before_and_after_the_commit(settings, client, monkeypatch, tmp_path) -> None:
    """Two drainers beside each other; each event is applied once, whatever dies when."""
    settings.EVENT_TRANSPORT = "celery"
    monkeypatch.setattr("achievements.outbox.wake_worker", lambda: None)
    seed = random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    print(f"seed {seed}")
    make_broad_catalogue(is_ordered=False)
    pool = make_pool(40, tests=60)
    log = tmp_path / "killed"
    log.touch()
    drainers = [
        start_process(
            log,
            module="tests.faults.drainer",
            FAILPOINT="before_commit:kill 0.3,after_commit:kill 0.3,apply_user:kill 0.002",
        )
        for _ in range(2)
    ]
    for batch in make_stream(seed, pool, batches=110, size=60):
        accept_events(batch)
        time.sleep(chance.random() / 50)
    deadline = time.monotonic() + 120
    while len(log.read_text().split()) < KILLS:
        assert time.monotonic() < deadline
        if Outbox.objects.count() < 500:
            accept_events(chance.sample(pool, 60))  # more of the same: each a duplicate
        time.sleep(0.01)
    for drainer in drainers:
        output = drainer.communicate("stop", timeout=120)[0]
        assert drainer.returncode == 0, output
    print(f"{len(log.read_text().split())} processes were killed")
    assert not Outbox.objects.exists()
    check_invariants(pool, client=client)
