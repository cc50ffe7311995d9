"""The edge never shows what an earlier master holds, whatever wakes up and whoever says what."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event, Thread

import pytest

from achievements import keys
from deploy.local.process import HOST
from deploy.local.redis_cluster import RedisCluster, wait_until
from deploy.local.redis_protocol import ask_info
from deploy.local.redis_sentinel import RedisSentinel
from deploy.local.servers import Redis
from tests.deploy.edges import Asked, put_document, start_edge
from tests.deploy.fake_redis import FakeSentinel

pytestmark = pytest.mark.real

USER = 5


def is_replica(server: Redis) -> bool:
    return ask_info(server.port, "INFO", "replication")["role"] == "slave"


def watch(edge: Asked, user: int, is_over: Callable[[], bool]) -> set[int | None]:
    """Every version that was shown until then."""
    seen = set()
    deadline = time.monotonic() + 90
    while not is_over():
        assert time.monotonic() < deadline
        seen.add(edge.read_version(user))
        time.sleep(0.01)
    return seen


def test_a_master_that_wakes_is_not_read_again(redis_sentinel: RedisSentinel) -> None:
    old = redis_sentinel.master
    put_document(old.port, USER, 1)
    with start_edge(redis_sentinel.url) as edge:
        wait_until(lambda: edge.read_version(USER) == 1)
        old.pause()
        redis_sentinel.wait_for_another_master(old)
        put_document(redis_sentinel.master.port, USER, 2)
        old.resume()  # believes for some seconds that it is master still
        seen = watch(edge, USER, lambda: is_replica(old))
        assert seen <= {2, None}
        wait_until(lambda: edge.read_version(USER) == 2)


def test_the_word_of_the_latest_failover_counts() -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(Redis()) for _ in range(2))
        put_document(first.port, USER, 1)
        put_document(second.port, USER, 2)
        sentinels = [stack.enter_context(FakeSentinel(first.port, 3)) for _ in range(3)]
        places = ",".join(f"{HOST}:{sentinel.port}" for sentinel in sentinels)
        edge = stack.enter_context(start_edge(f"redis-sentinel://{places}/laurel/0"))

        def settle(version: int | None) -> None:
            wait_until(lambda: edge.read_version(USER) == version)

        def stay_at_two() -> None:
            end = time.monotonic() + 3
            assert watch(edge, USER, lambda: time.monotonic() > end) <= {2, None}
            settle(2)

        settle(1)
        # The first to hear of it, then cut off with what it knows: the others are behind.
        sentinels[1].master_port, sentinels[1].epoch = second.port, 4
        settle(2)
        sentinels[1].is_away = True
        stay_at_two()
        for sentinel in sentinels:
            sentinel.is_away = True
        stay_at_two()
        # All of them were set up anew.
        for sentinel in sentinels:
            sentinel.master_port, sentinel.epoch, sentinel.is_away = first.port, 0, False
        settle(1)
        first.pause()
        assert edge.read_version(USER) is None
        first.resume()
        settle(1)


def test_a_master_of_a_cluster_that_wakes_is_not_read_again(redis_cluster: RedisCluster) -> None:
    old = redis_cluster.find_master(keys.name_achievements(USER))
    replica = redis_cluster.find_replica(old)
    of_rulebook = redis_cluster.find_master(keys.RULEBOOK)
    put_document(old.port, USER, 1, rulebook_port=of_rulebook.port)
    with start_edge(redis_cluster.url) as edge:
        wait_until(lambda: edge.read_version(USER) == 1)
        old.pause()
        wait_until(replica.is_master)
        place = replica if of_rulebook is old else of_rulebook
        put_document(replica.port, USER, 2, rulebook_port=place.port)
        old.resume()
        seen = watch(edge, USER, lambda: not old.is_master())
        assert seen <= {2, None}
        wait_until(lambda: edge.read_version(USER) == 2)


def test_a_slot_moves_and_what_it_held_before_is_not_shown(redis_cluster: RedisCluster) -> None:
    name = keys.name_achievements(USER)
    source = redis_cluster.find_master(name)
    target = next(node for node in redis_cluster.masters if node is not source)
    place = redis_cluster.find_master(keys.RULEBOOK)
    put_document(source.port, USER, 1, rulebook_port=place.port)
    with start_edge(redis_cluster.url) as edge:
        wait_until(lambda: edge.read_version(USER) == 1)
        is_over = Event()
        seen: set[int | None] = set()
        failures: list[BaseException] = []

        def read() -> None:
            try:
                seen.update(watch(edge, USER, is_over.is_set))
            except BaseException as error:
                failures.append(error)

        reader = Thread(target=read)
        reader.start()
        redis_cluster.migrate(source, target, [redis_cluster.find_slot(name)])
        is_over.set()
        reader.join()
        assert failures == []
        assert 1 in seen
        assert seen <= {1, None}
        place = redis_cluster.find_master(keys.RULEBOOK)
        put_document(target.port, USER, 2, rulebook_port=place.port)
        wait_until(lambda: edge.read_version(USER) == 2)
