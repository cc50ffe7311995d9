"""The stream on a real ASGI server, Redis and MariaDB: how soon, and what it survives."""

import os
import re
import socket
import time
from typing import Any

import orjson
import pytest
from redis import Redis as RedisClient

from achievements import keys
from achievements.engine import process_events
from achievements.models import Notification
from achievements.rulebooks import publish_rulebook
from deploy.local.process import HOST
from deploy.local.program import SiteProcess
from deploy.local.servers import Redis
from profiles.tokens import issue_token
from tests.factories import make_achievement, make_event
from tests.streams import StartStream, StreamClient

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]

USER, OTHER = 12345, 777
LEVELS = 1000


@pytest.fixture
def catalogue(transactional_db: None) -> None:
    """Every test unlocks a level, so every test is a notification."""
    make_achievement("typist", {"count": "tests"}, *range(1, LEVELS + 1))
    make_achievement("fast", {"best": "wpm", "atLeast": 400})
    publish_rulebook()


@pytest.fixture
def stream(catalogue: None, start_stream: StartStream) -> SiteProcess:
    return start_stream()


def open_stream(stream: SiteProcess, user_id: int = USER, **options: Any) -> StreamClient:
    client = StreamClient(stream.port, user_id, **options)
    assert client.status == 200
    client.wait("resync")
    return client


def wait_until(is_so: Any, *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count_open(stream: SiteProcess) -> int:
    import httpx

    text = httpx.get(f"http://{HOST}:{stream.port}/metrics").text
    found = re.search(r"^achievements_streams (\S+)", text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def count_dropped(stream: SiteProcess) -> int:
    import httpx

    text = httpx.get(f"http://{HOST}:{stream.port}/metrics").text
    found = re.search(r"^achievements_streams_dropped_total (\S+)", text, re.MULTILINE)
    assert found
    return int(float(found[1]))


def test_what_moves_is_there_at_once(stream: SiteProcess) -> None:
    with open_stream(stream) as client:
        seconds: list[float] = []
        for test_id in range(1, 31):
            process_events([make_event(USER, test_id)])
            committed = time.monotonic()
            progress = client.wait("progress")
            seconds += [progress.at - committed, client.wait("unlock").at - committed]
            assert progress.data["notified"] == test_id
            assert {entry["slug"] for entry in progress.data["achievements"]} >= {"typist"}
        seconds.sort()
        print(
            f"\nafter the commit: p50 {seconds[30] * 1000:.1f} ms,"
            f" p95 {seconds[56] * 1000:.1f} ms, max {seconds[-1] * 1000:.1f} ms"
        )
        assert seconds[-1] < 1
        assert client.unlocks == list(range(1, 31))
