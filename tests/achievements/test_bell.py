"""The bell shortens a wait, and never makes one."""

import time
from threading import Timer

import pytest

from achievements import bell
from deploy.local.process import find_free_port
from deploy.local.servers import Redis

pytestmark = pytest.mark.real


def measure(action) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


@pytest.fixture(autouse=True)
def _silence(settings) -> None:
    from redis import Redis as Client

    Client.from_url(settings.REDIS_URL).delete(bell.NAME)
    bell._connect.cache_clear()


def test_a_ring_ends_the_wait() -> None:
    Timer(0.2, bell.ring).start()
    assert 0.1 < measure(lambda: bell.wait(3)) < 1


def test_a_ring_before_the_wait_is_heard_once() -> None:
    for _ in range(5):
        bell.ring()
    assert measure(lambda: bell.wait(2)) < 0.5
    assert measure(lambda: bell.wait(1)) > 0.9


def test_without_redis_the_relay_looks_by_itself(settings) -> None:
    settings.REDIS_URL = ""
    bell.ring()
    assert 0.05 < measure(lambda: bell.wait(1)) < 0.5


def test_redis_away_costs_neither_side_much(settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{find_free_port()}/0"
    assert measure(bell.ring) < 0.5
    # Not at once either: that would be a busy loop.
    assert 0.05 < measure(lambda: bell.wait(1)) < 1


def test_redis_that_hangs_holds_nobody_up(settings) -> None:
    with Redis() as server:
        settings.REDIS_URL = server.url
        bell.ring()
        server.pause()
        try:
            assert measure(bell.ring) < 1
            assert measure(lambda: bell.wait(1)) < 4
        finally:
            server.resume()


@pytest.mark.parametrize("servers", ["redis_cluster", "redis_sentinel"])
def test_a_bell_in_several_servers(servers, request) -> None:
    started = request.getfixturevalue(servers)
    Timer(0.2, bell.ring).start()
    assert 0.1 < measure(lambda: bell.wait(3)) < 1
    assert measure(lambda: bell.wait(0.5)) > 0.4
    started.kill()
    assert measure(bell.ring) < 1
    assert 0.05 < measure(lambda: bell.wait(1)) < 2
