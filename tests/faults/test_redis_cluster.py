"""A Redis Cluster that fails over, moves slots, is emptied, hangs or is gone, under load."""

import time
from typing import Any

import pytest
from django.core.cache import cache as default_cache

from achievements import keys
from deploy.local.redis_cluster import RedisCluster, wait_until
from deploy.local.redis_protocol import ask
from tests.faults.cache_load import FIRST_USER, Load

pytestmark = pytest.mark.real

store: Any = default_cache
NAME = keys.name_achievements(FIRST_USER)


@pytest.fixture(autouse=True)
def _keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the cache is away a process gives for five seconds what it built: else nothing old."""
    monkeypatch.setattr("achievements.outage.KEPT_SECONDS", 0)


def test_a_master_dies_under_load(redis_cluster) -> None:
    dead = redis_cluster.find_master(NAME)
    replica = redis_cluster.find_replica(dead)
    load = Load()
    load.warm()
    with load:
        time.sleep(0.5)
        dead.kill()
        wait_until(replica.is_master)
        time.sleep(0.7)
        load.stop_writing()
        time.sleep(1.5)
    load.check()
    wait_until(load.is_cached)


def lose_the_next_deletion(cluster: RedisCluster, load: Load) -> None:
    """A commit whose deletion the master answers and takes to its grave."""
    master = cluster.find_master(NAME)
    replica = cluster.find_replica(master)
    replica.pause()
    ask(master.port, "CLIENT", "KILL", "TYPE", "REPLICA")
    load.commit([FIRST_USER])
    assert not ask(master.port, "EXISTS", NAME)
    master.kill()
    replica.resume()
    wait_until(replica.is_master)


def test_a_failover_brings_back_what_was_deleted(redis_cluster, monkeypatch) -> None:
    """Replication is not waited for: this is what the deletions are remembered for."""
    failover = store.client.follow()
    monkeypatch.setattr(failover, "look", failover.refresh)
    load = Load()
    load.warm()
    new = redis_cluster.find_replica(redis_cluster.find_master(NAME))
    before = failover.find_server(NAME)
    lose_the_next_deletion(redis_cluster, load)
    wait_until(lambda: bool(ask(new.port, "EXISTS", NAME)))
    wait_until(lambda: failover.find_server(NAME) not in (None, before))
    assert store.get(NAME) is None  # others may be shown it, this process is not
    assert store.get_many([NAME]) == {}
    assert ask(new.port, "EXISTS", NAME)
    monkeypatch.undo()
    wait_until(lambda: load.read(FIRST_USER) == 2)
    assert load.find_stale() == []


def test_what_a_failover_brought_back_is_deleted_at_once(redis_cluster) -> None:
    load = Load()
    load.warm()
    lose_the_next_deletion(redis_cluster, load)
    wait_until(lambda: load.read(FIRST_USER) == 2)
    assert load.find_stale() == []


def test_slots_move_under_load(redis_cluster) -> None:
    load = Load()
    load.warm()
    source, target, _ = redis_cluster.masters
    slots = {redis_cluster.find_slot(keys.name_achievements(user)) for user in load.users}
    held = redis_cluster.list_slots(source)
    assert len(slots & set(held)) > 20
    with load:
        redis_cluster.migrate(
            source, target, held[::20] + sorted(slots & set(held) - set(held[::20]))
        )
        load.stop_writing()
        time.sleep(1.5)
    load.check()
    wait_until(load.is_cached)


def test_everything_is_flushed_under_load(redis_cluster) -> None:
    load = Load(writers=0, readers=8)
    load.warm()
    with load:
        time.sleep(0.3)
        most = load.count_builds_after(redis_cluster.flush)
    load.check()
    assert most <= 2


def test_a_master_hangs(redis_cluster) -> None:
    load = Load()
    load.warm()
    with load:
        time.sleep(0.3)
        load.seconds.clear()
        hung = redis_cluster.find_master(NAME)
        hung.pause()
        wait_until(redis_cluster.find_replica(hung).is_master)
        time.sleep(0.5)
        hung.resume()
        load.stop_writing()
        time.sleep(1.5)
    load.check()
    wait_until(load.is_cached)


def test_all_of_it_hangs(redis_cluster) -> None:
    load = Load()
    load.warm()
    with load:
        for node in redis_cluster.nodes:
            node.pause()
        time.sleep(1.2)
        for node in redis_cluster.nodes:
            node.resume()
        load.stop_writing()
        time.sleep(1.5)
    load.check()


@pytest.mark.django_db
def test_all_of_it_is_gone_and_comes_back(redis_cluster, client) -> None:
    load = Load()
    load.warm()
    assert client.get("/readyz").json()["status"] == "ok"
    redis_cluster.masters[0].kill()
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["checks"]["cache"] == "partly unreachable"
    redis_cluster.kill()
    with load:
        time.sleep(1)
        response = client.get("/readyz")
        load.stop_writing()
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["checks"]["cache"] == "unreachable"
    load.check()
    redis_cluster.restore()
    wait_until(lambda: client.get("/readyz").json()["status"] == "ok")
    wait_until(load.is_cached)
    assert load.find_stale() == []
