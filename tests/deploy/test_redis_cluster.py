import os
import re
import subprocess
import sys
import time

import pytest

from deploy.local.redis_cluster import MASTERS, SLOTS, wait_until
from deploy.local.redis_protocol import ReplyError, ask, ask_info
from deploy.local.redis_sentinel import REPLICAS, SENTINELS
from deploy.local.servers import Redis
from tests.deploy.test_servers import ROOT, can_connect

pytestmark = pytest.mark.real


@pytest.mark.parametrize("name", ["redis-cluster", "redis-sentinel"])
def test_the_command_line_starts_it_and_leaves_nothing(name) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local", name, "--", "sh", "-c", "echo $REDIS_URL"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{name}://")
    ports = [int(port) for port in re.findall(r":(\d+)", done.stdout)]
    assert len(ports) == (2 * MASTERS if name == "redis-cluster" else SENTINELS)
    assert not any(map(can_connect, ports))


def test_every_slot_has_one_master(redis_cluster) -> None:
    assert len(redis_cluster.masters) == MASTERS
    slots = [slot for master in redis_cluster.masters for slot in redis_cluster.list_slots(master)]
    assert sorted(slots) == list(range(SLOTS))


def test_slots_move_with_their_keys(redis_cluster) -> None:
    name = "user:{12345}:achievements"
    source = redis_cluster.find_master(name)
    target = next(node for node in redis_cluster.masters if node is not source)
    slot = redis_cluster.find_slot(name)
    ask(source.port, "SET", name, "document")
    redis_cluster.migrate(source, target, [slot])
    assert redis_cluster.find_master(name) is target
    assert ask(target.port, "GET", name) == "document"
    with pytest.raises(ReplyError, match="MOVED"):
        ask(source.port, "GET", name)


def test_a_replica_takes_over_and_the_old_master_follows_it(redis_cluster) -> None:
    old = redis_cluster.masters[0]
    replica = redis_cluster.find_replica(old)
    old.kill()
    wait_until(replica.is_master)
    redis_cluster.restore()
    assert redis_cluster.find_replica(replica) is old


def test_sentinels_name_another_master(redis_sentinel) -> None:
    old = redis_sentinel.master
    assert len(redis_sentinel.replicas) == REPLICAS
    old.kill()
    redis_sentinel.wait_for_another_master(old)
    redis_sentinel.restore()
    assert redis_sentinel.master is not old


def test_a_master_that_dies_while_the_sentinels_stand_idle_has_a_successor(redis_sentinel) -> None:
    """A clock that jumps keeps them idle for half a minute; the replicas are eligible after it."""
    for sentinel in redis_sentinel.sentinels:
        sentinel.pause()
    time.sleep(2.5)
    for sentinel in redis_sentinel.sentinels:
        sentinel.resume()
    wait_until(lambda: all(map(is_idle, redis_sentinel.sentinels)))
    old = redis_sentinel.master
    old.kill()
    redis_sentinel.wait_for_another_master(old)


def is_idle(sentinel: Redis) -> bool:
    return ask_info(sentinel.port, "INFO", "sentinel")["sentinel_tilt"] == "1"
