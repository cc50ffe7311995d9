"""What the edge tells Redis of calls: of whom it is worth it, in spite of servers that are away."""

import time

import pytest
from redis import Redis as Client
from redis.crc import key_slot

from deploy.local.process import HOST
from deploy.local.redis_cluster import wait_until
from deploy.local.servers import Redis
from tests.api import stay_within
from tests.deploy.edges import RULEBOOK, Asked, put_document, start_edge, write_document
from tests.deploy.fake_redis import FakeClusterNode, SilentServer

pytestmark = pytest.mark.real

USER = 5
ADDRESS = "203.0.113.7"


def name_calls(address: str, window_seconds: int) -> str:
    stay_within(window_seconds, seconds=120)
    return f"calls:public:address:{address}:{int(time.time()) // window_seconds}"


def answered(edge: Asked, address: str) -> None:
    """Call until it is answered: a machine that stalls makes misses, which nobody counts."""
    wait_until(lambda: edge.ask(USER, address).status_code == 200)


def test_calls_of_less_than_a_hundredth_are_not_told() -> None:
    name = name_calls(ADDRESS, 86_400)
    with Redis() as redis, start_edge(redis.url, THROTTLE_PUBLIC="1000/day") as edge:
        put_document(redis.port, USER, 1)
        client = Client(host=HOST, port=redis.port)
        wait_until(lambda: edge.ask(USER, "203.0.113.9").status_code == 200)
        for _ in range(9):
            answered(edge, ADDRESS)
        time.sleep(2.5)
        assert client.get(name) is None
        answered(edge, ADDRESS)
        wait_until(lambda: client.get(name) == b"10")
        assert 0 < client.ttl(name) <= 86_401
        client.incrby(name, 900)
        for _ in range(10):
            answered(edge, ADDRESS)
        wait_until(lambda: client.get(name) == b"920")
        wait_until(lambda: int(edge.ask(USER, ADDRESS).headers["RateLimit-Remaining"]) < 80)
        client.close()


def test_a_count_that_may_have_arrived_is_not_told_again() -> None:
    name = name_calls(ADDRESS, 86_400)
    with Redis() as redis, start_edge(redis.url, THROTTLE_PUBLIC="20/day") as edge:
        put_document(redis.port, USER, 1)
        client = Client(host=HOST, port=redis.port)
        wait_until(lambda: edge.ask(USER, "203.0.113.9").status_code == 200)
        for _ in range(5):
            answered(edge, ADDRESS)
        redis.pause()  # what is sent to it now is executed when it wakes
        time.sleep(3)
        redis.resume()
        wait_until(lambda: edge.ask(USER, ADDRESS).status_code == 200)
        time.sleep(2.5)
        assert int(client.get(name) or 0) <= 6
        client.close()


def test_a_node_that_is_away_holds_up_its_own_names_alone() -> None:
    class Node(FakeClusterNode):
        def read(self, name: str) -> bytes:
            value = RULEBOOK[:32] if name == "achievements:rulebook" else write_document(1)
            return b"$%d\r\n%s\r\n" % (len(value), value)

    # Its own: what is read here, and half of the addresses.
    last_slot = max(key_slot(b"achievements:rulebook"), key_slot(b"user:{5}:achievements"), 8192)
    addresses = [f"203.0.113.{number}" for number in range(200)]
    with SilentServer() as silent:
        node = Node(last_slot=last_slot, other_port=silent.port)
        url = f"redis-cluster://{HOST}:{node.port}"
        with node, start_edge(url, THROTTLE_PUBLIC="20/day") as edge:
            names = {name_calls(address, 86_400) for address in addresses}
            own = {name for name in names if key_slot(name.encode()) <= last_slot}
            assert 0 < len(own) < len(names)
            for address in addresses:
                answered(edge, address)
            wait_until(lambda: node.counts.keys() == own)
            wait_until(silent.was_asked.is_set)
            assert set(node.counts.values()) == {1}
