"""Every operation of the cache that the project uses, on a real cluster and across its slots."""

import os
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from django.core.cache import cache as default_cache

from deploy.local.redis_cluster import NODE_TIMEOUT_MILLISECONDS
from deploy.local.redis_protocol import ask, ask_text

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("redis_cluster")]

cache: Any = default_cache
NAMES = [f"user:{{{user}}}:achievements" for user in range(100)]


@pytest.fixture(autouse=True)
def _patience(redis_cluster, settings, monkeypatch) -> Iterator[None]:
    """A machine that stands still for a second is no server that is away."""
    for node in redis_cluster.nodes:
        ask(node.port, "CONFIG", "SET", "cluster-node-timeout", 15_000)
    settings.CACHES["default"]["OPTIONS"].update(SOCKET_TIMEOUT=2, SOCKET_CONNECT_TIMEOUT=2)
    monkeypatch.setattr("config.redis_cluster.LONGEST_SECONDS", 30)
    monkeypatch.setattr("config.redis_cluster.REST_SECONDS", 30)
    yield
    for node in redis_cluster.nodes:
        if node.is_running:
            ask(node.port, "CONFIG", "SET", "cluster-node-timeout", NODE_TIMEOUT_MILLISECONDS)


@pytest.fixture
def client():
    """The raw client, as scripts and pipelines use it."""
    return cache.client.get_client(write=True)


def test_names_are_exactly_ours_and_lie_on_every_master(redis_cluster) -> None:
    for name in NAMES:
        cache.set(name, b"document", timeout=60)
    counts = [int(ask_text(node.port, "DBSIZE")) for node in redis_cluster.masters]
    assert sum(counts) == len(NAMES)
    assert min(counts) > 0
    master = redis_cluster.find_master(NAMES[0])
    assert ask(master.port, "GET", NAMES[0]) == "document"
    assert 0 < int(ask_text(master.port, "TTL", NAMES[0])) <= 60


@pytest.mark.parametrize("value", [b"document", b"", {"a": [1, None]}, "12", 7, True, None])
def test_a_value_comes_back_as_it_was(value) -> None:
    cache.set("name", value)
    assert cache.get("name", "missing") == value
    assert cache.has_key("name")
    assert cache.get("other") is None
    assert not cache.has_key("other")


def test_many_go_at_once_whatever_their_slots() -> None:
    values = {name: {"name": name} for name in NAMES}
    assert cache.set_many(values, timeout=60) == []
    assert cache.get_many([*NAMES, "missing"]) == values
    assert cache.delete_many(NAMES[:60]) == 60
    assert cache.delete_many(NAMES) == 40
    assert cache.get_many(NAMES) == {}
    assert cache.delete_many([]) == 0
    assert cache.get_many([]) == {}


def test_many_of_one_slot() -> None:
    names = [f"user:{{7}}:achievement:{number}:progress" for number in range(10)]
    cache.set_many(dict.fromkeys(names, b"1a"))
    assert cache.delete_many(names) == 10


def test_only_the_first_adds() -> None:
    assert cache.add("lock", 1, 5) is True
    assert cache.add("lock", 1, 5) is False
    assert cache.delete("lock") is True
    assert cache.delete("lock") is False


def test_a_counter_counts_and_a_missing_one_says_so() -> None:
    with pytest.raises(ValueError, match="count"):
        cache.incr("count")
    cache.add("count", 1, 60)
    assert (cache.incr("count"), cache.incr("count", 5), cache.decr("count")) == (2, 7, 6)
    assert cache.ttl("count") > 50


def test_touch_moves_the_end() -> None:
    cache.set("name", b"document", 10)
    assert cache.touch("name", 100)
    assert cache.ttl("name") > 50
    assert not cache.touch("missing", 100)


def test_clear_empties_every_master(redis_cluster) -> None:
    cache.set_many(dict.fromkeys(NAMES, b"document"))
    cache.clear()
    assert [ask(node.port, "DBSIZE") for node in redis_cluster.masters] == [0, 0, 0]


def test_a_script_runs_where_its_names_are(client) -> None:
    script = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[2])"
    for user in range(20):
        first, second = f"user:{{{user}}}:a", f"user:{{{user}}}:b"
        cache.set(second, b"second")
        assert client.eval(script, 2, first, second, "first") == b"second"
        assert cache.get(first) == b"first"


def test_an_unknown_script_says_so(client) -> None:
    from redis.exceptions import NoScriptError

    with pytest.raises(NoScriptError):
        client.evalsha("0" * 40, 1, "user:{1}:a")


def test_a_pipeline_takes_any_commands(client) -> None:
    pipeline = client.pipeline(transaction=False)
    for user in range(20):
        pipeline.zadd(f"watch:{user}", {"member": user})
        pipeline.zmscore(f"watch:{user}", ["member", "other"])
        pipeline.eval("return KEYS[1]", 1, f"watch:{user}")
    values = pipeline.execute()
    assert values == [
        value for user in range(20) for value in (1, [float(user), None], b"watch:%d" % user)
    ]
    assert pipeline.execute() == []


def test_a_transaction_in_one_slot(client) -> None:
    with client.pipeline(transaction=True) as pipeline:
        assert pipeline.lpush("{a}1", 1).incr("{a}2").execute() == [1, 1]


def test_all_threads_share_one_client_and_a_child_has_its_own(client) -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(cache.client.get_client()))
    thread.start()
    thread.join()
    assert found == [client]
    cache.set("name", b"document")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:  # nothing of the child may go on with the tests
            assert cache.client.get_client() is not client
            assert cache.get("name") == b"document"
            assert cache.delete_many(["name"]) == 1
            assert cache.client.follow().thread.is_alive()
            os.write(writing, b"right")
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    assert os.read(reading, 5) == b"right"
    os.close(reading)
    assert cache.get("name") is None


def test_what_one_master_does_not_answer_is_a_miss_and_its_deletions_are_told(
    redis_cluster, client
) -> None:
    cache.set_many(dict.fromkeys(NAMES, b"document"))
    dead = redis_cluster.masters[0]
    gone = {name for name in NAMES if redis_cluster.find_master(name) is dead}
    dead.pause()
    began = time.monotonic()
    assert set(cache.get_many(NAMES)) == set(NAMES) - gone
    assert time.monotonic() - began < 15  # one time-out of 2 s, not one a name
    began = time.monotonic()
    assert set(cache.set_many(dict.fromkeys(NAMES, b"document"))) == gone
    assert cache.delete_many(NAMES) is None  # not a number: something may be left
    assert time.monotonic() - began < 15
    from redis.exceptions import ConnectionError as RedisConnectionError

    with pytest.raises(RedisConnectionError):
        client.eval("return 1", 1, sorted(gone)[0])
    dead.resume()
    client._resting.clear()
    deadline = time.monotonic() + 30
    while any(cache.has_key(name) is not False for name in NAMES):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_moved_slot_is_followed(redis_cluster, client) -> None:
    name = NAMES[0]
    cache.set(name, b"document")
    source = redis_cluster.find_master(name)
    target = next(node for node in redis_cluster.masters if node is not source)
    slot = redis_cluster.find_slot(name)
    redis_cluster.open_slot(source, target, slot)
    assert cache.get(name) == b"document"  # still there
    assert cache.set(f"{name}:other", b"other")  # asked of the target
    assert cache.get_many([name, f"{name}:other"]) == {name: b"document", f"{name}:other": b"other"}
    redis_cluster.move_keys(source, target, slot)
    assert cache.get(name) == b"document"  # asked of the target
    assert cache.delete_many([name, f"{name}:other"]) == 2
    # Not under a name that was deleted: after a move such a one may be deleted once more.
    cache.set(f"{name}:newer", b"newer")
    redis_cluster.migrate(source, target, [slot])
    assert cache.get(f"{name}:newer") == b"newer"
    assert client.nodes_manager.get_node_from_slot(slot).port == target.port


def test_nothing_reachable_is_a_miss_and_costs_little(redis_cluster, monkeypatch) -> None:
    """Connecting is not tried by every call."""
    from config import redis_shared
    from config.redis_cluster import BoundedCluster

    tries = []

    def connect(*arguments: Any, **options: Any) -> Any:
        tries.append(time.monotonic())
        return BoundedCluster(*arguments, **options)

    monkeypatch.setattr("config.redis_cluster_client.BoundedCluster", connect)
    redis_shared.close_shared()
    redis_cluster.kill()
    for _ in range(50):
        assert cache.get("name") is None
        assert cache.add("name", 1) is None
        assert cache.delete_many(["name"]) is None
    pauses = [after - before for before, after in pairwise(tries)]
    assert tries
    assert all(pause >= redis_shared.REST_SECONDS for pause in pauses)
