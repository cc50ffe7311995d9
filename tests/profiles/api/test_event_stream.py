"""What one client of the stream is sent, without a server."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from profiles.api import event_stream
from profiles.api.event_stream import MOST_WAITING, EventStream, Unlock
from tests.api import USER


def collect(
    stream: EventStream,
    seconds: float = 0.3,
    until: Callable[[bytes], bool] | None = None,
    **options: Any,
) -> bytes:
    """What is sent within so many seconds; or until something is there, within ten."""

    async def read() -> bytes:
        found = []
        with suppress(TimeoutError):
            async with asyncio.timeout(10 if until else seconds):
                async for line in stream.write(**{"expires_at": None, **options}):
                    found.append(line)
                    if until and until(b"".join(found)):
                        break
        return b"".join(found)

    return asyncio.run(read())


def test_a_client_is_told_where_it_begins_and_that_the_stream_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.1)
    stream = EventStream(USER, abort=None)
    stream.begin(asked=None, newest=7)
    text = collect(stream, until=lambda text: text.count(b": \n\n") >= 2)
    assert text.startswith(b"retry: ")
    assert b"\nid: 7\n\n" in text
    assert text.count(b"\n\n: \n") == 1
    assert text.count(b": \n\n") == 2


def test_nothing_is_given_twice_and_what_was_missed_is_named_once() -> None:
    stream = EventStream(USER, abort=None)
    stream.begin(asked=3, newest=9)
    stream.tell([Unlock(n, b"<%d>" % n) for n in (2, 3, 4, 5)])
    stream.tell([Unlock(n, b"<%d>" % n) for n in (4, 5, 6)])
    stream.doubt()
    stream.tell([])
    stream.tell([])
    resync = b'event: resync\nid: %d\ndata: {"read":["progress"]}\n\n'
    assert collect(stream).endswith(b"<4><5>" + resync % 5 + b"<6>" + resync % 6)


@pytest.mark.parametrize(("asked", "last"), [(None, 9), (3, 3), (9, 9), (99, 9)])
def test_where_a_stream_begins(asked: int | None, last: int) -> None:
    """A sequence beyond the newest is one that a restored database has forgotten."""
    stream = EventStream(USER, abort=None)
    stream.begin(asked=asked, newest=9)
    assert stream.last == last


def test_too_much_that_waits_ends_the_connection() -> None:
    aborted: list[bool] = []
    stream = EventStream(USER, abort=lambda: aborted.append(True))
    for number in range(MOST_WAITING + 5):
        assert bool(aborted) is (number > MOST_WAITING)
        stream.put(b"x", name="progress")
    assert aborted == [True]

    async def read() -> list[bytes]:
        return [line async for line in stream.write(expires_at=None)]

    assert b"x" not in b"".join(asyncio.run(read()))
