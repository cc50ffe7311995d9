"""Redis under Sentinel that fails over, is emptied, hangs or is gone, under load."""

import time
from typing import Any

import pytest
from django.core.cache import cache as default_cache

from achievements import keys
from deploy.local.redis_cluster import wait_until
from deploy.local.redis_protocol import ask
from deploy.local.redis_sentinel import RedisSentinel
from tests.faults.cache_load import FIRST_USER, Load

pytestmark = pytest.mark.real

store: Any = default_cache
NAME = keys.name_achievements(FIRST_USER)


@pytest.fixture(autouse=True)
def _keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the cache is away a process gives for five seconds what it built: else nothing old."""
    monkeypatch.setattr("achievements.outage.KEPT_SECONDS", 0)


def test_the_operations_of_the_project(redis_sentinel) -> None:
    names = [f"user:{{{user}}}:achievements" for user in range(100)]
    store.set_many(dict.fromkeys(names, b"document"), timeout=60)
    assert store.get_many(names) == dict.fromkeys(names, b"document")
    assert store.delete_many(names[:60]) == 60
    assert store.delete_many(names) == 40
    assert store.add("count", 1, 60)
    assert store.incr("count") == 2
    assert store.touch("count", 100)
    raw = store.client.get_client(write=True)
    assert raw.eval("return redis.call('GET', KEYS[1])", 1, "count") == b"2"
    assert raw.pipeline(transaction=False).zadd("z", {"a": 1}).zmscore("z", ["a"]).execute() == [
        1,
        [1.0],
    ]
    assert ask(redis_sentinel.master.port, "GET", "count") == "2"


def test_the_master_dies_under_load(redis_sentinel) -> None:
    dead = redis_sentinel.master
    load = Load()
    load.warm()
    with load:
        time.sleep(0.5)
        dead.kill()
        redis_sentinel.wait_for_another_master(dead)
        time.sleep(0.7)
        load.stop_writing()
        time.sleep(1.5)
    load.check()
    wait_until(load.is_cached)


def lose_the_next_deletion(servers: RedisSentinel, load: Load) -> None:
    """A commit whose deletion the master answers and takes to its grave."""
    master = servers.master
    replicas = servers.replicas
    for replica in replicas:
        replica.pause()
    ask(master.port, "CLIENT", "KILL", "TYPE", "REPLICA")
    load.commit([FIRST_USER])
    assert not ask(master.port, "EXISTS", NAME)
    master.kill()
    for replica in replicas:
        replica.resume()
    servers.wait_for_another_master(master)


def test_a_failover_brings_back_what_was_deleted(redis_sentinel, monkeypatch) -> None:
    """Replication is not waited for: this is what the deletions are remembered for."""
    failover = store.client.follow()
    monkeypatch.setattr(failover, "look", failover.refresh)
    load = Load()
    load.warm()
    before = failover.find_server(NAME)
    lose_the_next_deletion(redis_sentinel, load)
    wait_until(lambda: bool(ask(redis_sentinel.master.port, "EXISTS", NAME)))
    wait_until(lambda: failover.find_server(NAME) not in (None, before))
    assert store.get(NAME) is None  # others may be shown it, this process is not
    assert store.get_many([NAME]) == {}
    assert ask(redis_sentinel.master.port, "EXISTS", NAME)
    monkeypatch.undo()
    wait_until(lambda: load.read(FIRST_USER) == 2)
    assert load.find_stale() == []


def test_everything_is_flushed_under_load(redis_sentinel) -> None:
    load = Load(writers=0, readers=8)
    load.warm()
    with load:
        time.sleep(0.3)
        most = load.count_builds_after(redis_sentinel.flush)
    load.check()
    assert most <= 2


def test_the_master_hangs(redis_sentinel) -> None:
    load = Load()
    load.warm()
    hung = redis_sentinel.master
    with load:
        time.sleep(0.3)
        load.seconds.clear()
        hung.pause()
        redis_sentinel.wait_for_another_master(hung)
        time.sleep(0.5)
        hung.resume()
        load.stop_writing()
        time.sleep(1.5)
    load.check()
    wait_until(load.is_cached)


@pytest.mark.django_db
def test_all_of_it_is_gone_and_comes_back(redis_sentinel, client) -> None:
    load = Load()
    load.warm()
    assert client.get("/readyz").json()["status"] == "ok"
    redis_sentinel.kill()
    with load:
        time.sleep(1)
        response = client.get("/readyz")
        load.stop_writing()
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    load.check()
    redis_sentinel.restore()
    wait_until(lambda: client.get("/readyz").json()["status"] == "ok")
    wait_until(load.is_cached)
    assert load.find_stale() == []
