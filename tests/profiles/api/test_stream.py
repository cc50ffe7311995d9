"""The stream's endpoint: who may open it, what is replayed, limits; what it says without Redis."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson
import pytest
from django.conf import settings as site_settings
from django.db import connection
from django.test import AsyncClient

from achievements.engine import process_events
from achievements.rulebooks import publish_rulebook
from deploy.local.process import HOST
from deploy.local.program import SiteProcess
from profiles.api.shapes import Notification, ProgressMoved, Resync
from profiles.api.watch import MOST_REPLAYED
from profiles.tokens import issue_token
from tests.api import OTHER, USER, Api, create_key, read_problem
from tests.factories import make_achievement, make_event
from tests.streams import StartStream, StreamClient

PATH = f"/api/v1/users/{USER}/stream"


@pytest.mark.usefixtures("catalogue")
def test_a_server_that_cannot_stream_says_so_at_once(api: Api) -> None:
    began = time.monotonic()
    problem = read_problem(api.get(PATH, user=USER), 501)
    assert time.monotonic() - began < 10
    assert "ASGI" in problem["detail"]
    assert "Redis" in problem["detail"]
    for options, status in (({}, 401), ({"user": OTHER}, 404)):
        read_problem(api.get(PATH, **options), status)
    assert read_problem(api.get(PATH, headers={"Authorization": "Bearer x"}), 401)
    read_problem(api.post(PATH, user=USER), 405)
    read_problem(api.get(PATH, user=USER, headers={"Accept": "application/json"}), 406)
    assert api.get(PATH, user=USER).has_header("RateLimit-Remaining")


@pytest.mark.usefixtures("transactional_db")
def test_without_redis_asgi_does_not_help(settings: Any) -> None:
    settings.REDIS_URL = ""

    async def ask() -> Any:
        headers = {"Authorization": f"Bearer {issue_token(user_id=USER)}"}
        return await AsyncClient().get(PATH, headers=headers)

    read_problem(asyncio.run(ask()), 501)


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "9" * 30, str(2**63), "٣"])
def test_a_last_event_id_that_is_none(api: Api, text: str) -> None:
    headers = {"Last-Event-ID": text.encode().decode("latin-1")}
    problem = read_problem(api.get(PATH, user=USER, headers=headers), 400)
    assert problem["errors"][0]["pointer"] == "/Last-Event-ID"


@pytest.fixture
def stream(transactional_db: None, start_stream: StartStream) -> SiteProcess:
    make_achievement("typist", {"count": "tests"}, *range(1, 301))
    make_achievement("fast", {"best": "wpm", "atLeast": 200})
    publish_rulebook()
    return start_stream(
        STREAMS_PER_PROCESS="50", STREAMS_PER_USER="2", CORS_ALLOWED_ORIGINS="https://example.org"
    )


def unlock(count: int, *, first: int = 1) -> None:
    process_events([make_event(USER, first + n) for n in range(count)])


@pytest.mark.real
def test_who_may_open_it(stream: SiteProcess) -> None:
    own, other = (f"Bearer {issue_token(user_id=user)}" for user in (USER, OTHER))
    key = f"Api-Key {create_key('events:write')}"
    for credential, status in (("", 401), ("Bearer x", 401), (other, 404), (key, 404)):
        headers = {"Authorization": credential} if credential else {}
        answer = httpx.get(f"http://{HOST}:{stream.port}{PATH}", headers=headers, timeout=30)
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"
    headers = {"Authorization": own, "Origin": "https://example.org"}
    with httpx.stream("GET", f"http://{HOST}:{stream.port}{PATH}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["Access-Control-Allow-Origin"] == "https://example.org"
        assert "Content-Encoding" not in answer.headers
    asked = {
        "Origin": "https://example.org",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,last-event-id",
    }
    answer = httpx.options(f"http://{HOST}:{stream.port}{PATH}", headers=asked)
    assert "last-event-id" in answer.headers["Access-Control-Allow-Headers"]


@pytest.mark.real
def test_what_was_missed_comes_first_and_has_the_described_shape(stream: SiteProcess) -> None:
    unlock(5)
    with StreamClient(stream.port, USER) as client:
        assert client.wait("resync").data == {"read": ["notifications", "progress"]}
        assert client.last_event_id == "5"
        assert client.unlocks == []
    with StreamClient(stream.port, USER, last_event_id="2") as client:
        assert client.wait("resync").data == {"read": ["progress"]}
        assert client.unlocks == [3, 4, 5]
        assert [e.id for e in client.received if e.name == "unlock"] == ["3", "4", "5"]
        unlock(1, first=6)
        progress, found = client.wait("progress"), client.wait("unlock")
        assert found.id == "6"
        assert progress.id is None
        msgspec.convert(progress.data, ProgressMoved, strict=True)
        for event in client.received:
            shape: Any = {"progress": ProgressMoved, "unlock": Notification, "resync": Resync}
            msgspec.json.decode(orjson.dumps(event.data), type=shape[event.name])
        headers = {"Authorization": f"Bearer {issue_token(user_id=USER)}"}
        notifications = f"http://{HOST}:{stream.port}/api/v1/users/{USER}/notifications"
        listed = httpx.get(notifications, headers=headers).json()["notifications"][0]
        assert listed == found.data


@pytest.mark.real
def test_too_much_to_replay_is_to_be_read(stream: SiteProcess) -> None:
    unlock(MOST_REPLAYED + 1)
    with StreamClient(stream.port, USER, last_event_id="1") as client:
        client.wait("resync")
        assert client.unlocks == list(range(2, MOST_REPLAYED + 2))
    with StreamClient(stream.port, USER, last_event_id="0") as client:
        resync = client.wait("resync")
        assert resync.data == {"read": ["notifications", "progress"]}
        assert resync.id == str(MOST_REPLAYED + 1)
        assert client.unlocks == []
        unlock(1, first=500)
        assert client.wait("unlock").data["sequence"] == MOST_REPLAYED + 2


@pytest.mark.real
def test_streams_of_one_user_and_of_one_process_are_counted(stream: SiteProcess) -> None:
    def open_stream(user_id: int) -> StreamClient:
        client = StreamClient(stream.port, user_id)
        if client.status == 200:
            client.wait("resync")
        return client

    before = count_threads(stream)
    own = [open_stream(USER), open_stream(USER)]
    third = StreamClient(stream.port, USER)
    assert third.status == 429
    assert int(third.headers["Retry-After"]) > 0
    assert "2 streams" in third.read_problem()["detail"]

    others = [open_stream(user_id) for user_id in range(1000, 1048)]
    assert {client.status for client in others} == {200}
    # No stream holds a thread, nor its connection to the database.
    assert count_threads(stream) - before <= 6
    assert count_database_connections() <= 8
    last = StreamClient(stream.port, 1048)
    assert last.status == 503
    assert int(last.headers["Retry-After"]) > 0
    last.read_problem()

    own.pop().drop()
    deadline = time.monotonic() + 5
    while (client := StreamClient(stream.port, USER)).status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for one in (client, *own, *others):
        one.drop()


def count_threads(stream: SiteProcess) -> int:
    status = Path(f"/proc/{stream.pid}/status").read_text()
    return int(status.split("Threads:")[1].split()[0])


def count_database_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s",
            [connection.settings_dict["NAME"]],
        )
        return int(cursor.fetchone()[0])


@pytest.mark.real
@pytest.mark.usefixtures("transactional_db")
def test_a_message_that_nobody_sent_delays_an_unlock_and_no_more(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a flush, or when the worker died behind its commit: the marks are renewed and
    the database is looked at now and then."""
    from profiles.api import hub as hubs

    monkeypatch.setattr(hubs, "LOOK_SECONDS", 0.3)
    make_achievement("typist", {"count": "tests"}, 1, 2, 3)
    publish_rulebook()
    monkeypatch.setattr("achievements.effects.live.find_watched", lambda user_ids: {})

    async def watch() -> list[bytes]:
        hub = hubs.get_hub()
        stream = hub.admit(USER)
        stream.begin(asked=None, newest=await hub.read(hubs.prepare, USER))
        lines: list[bytes] = []
        async with asyncio.timeout(10):
            async for line in hub.write(stream, expires_at=None):
                lines.append(line)
                if b"resync" in line and len(lines) == 2:
                    await hub.read(unlock, 1)
                if b"unlock" in line:
                    break
        await hubs.close_hub()
        return lines

    assert site_settings.REDIS_URL
    lines = asyncio.run(watch())
    assert lines[-1].startswith(b"event: unlock\nid: 1\n")
