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
def _silence(settings, monkeypatch) -> None:
    from redis import Redis as Client

    Client.from_url(settings.REDIS_URL).delete(bell.NAME)
    bell._connect.cache_clear()
    monkeypatch.setattr(bell, "_TIMEOUT_SECONDS", 5)  # the shared one is well


def wait_for_a_ring() -> float:
    def ring_and_wait() -> None:
        Timer(0.2, bell.ring).start()
        bell.wait(30)

    return measure(ring_and_wait)


def test_a_ring_ends_the_wait() -> None:
    assert 0.1 < wait_for_a_ring() < 20


def test_a_ring_before_the_wait_is_heard_once() -> None:
    for _ in range(5):
        bell.ring()
    assert measure(lambda: bell.wait(30)) < 20
    assert measure(lambda: bell.wait(1)) > 0.9


def test_without_redis_the_relay_looks_by_itself(settings) -> None:
    settings.REDIS_URL = ""
    bell.ring()
    assert 0.05 < measure(lambda: bell.wait(30)) < 20


def test_redis_away_costs_neither_side_much(settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{find_free_port()}/0"
    assert measure(bell.ring) < 4
    # Not at once either: that would be a busy loop.
    assert 0.05 < measure(lambda: bell.wait(30)) < 20


def test_redis_that_hangs_holds_nobody_up(settings, monkeypatch) -> None:
    monkeypatch.setattr(bell, "_TIMEOUT_SECONDS", 0.25)
    with Redis() as server:
        settings.REDIS_URL = server.url
        bell.ring()
        server.pause()
        try:  # without limits both would last until it goes on
            assert measure(bell.ring) < 10
            assert measure(lambda: bell.wait(1)) < 20
        finally:
            server.resume()


@pytest.mark.parametrize("servers", ["redis_cluster", "redis_sentinel"])
def test_a_bell_in_several_servers(servers, request) -> None:
    started = request.getfixturevalue(servers)
    # An answer that is late ends a wait or loses a ring: here, too, the machine may stall.
    assert any(0.1 < wait_for_a_ring() < 20 for _ in range(5))
    assert any(measure(lambda: bell.wait(0.5)) > 0.4 for _ in range(5))
    started.kill()
    assert measure(bell.ring) < 10
    assert 0.05 < measure(lambda: bell.wait(30)) < 20
