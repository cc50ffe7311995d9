"""Every open stream of this process, and what reaches them; a face.

Unlocks come from the database, where they are numbered; messages of Redis only say when to look.
So a message that is lost delays an unlock until the next look, and loses none.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from resource import RLIMIT_NOFILE, getrlimit
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, Final, TypeVar
from weakref import WeakSet

import orjson
import structlog
from django.conf import settings
from django.db import close_old_connections

from achievements import live, metrics
from achievements.api.problems import ProblemError, refuse_while_unavailable
from achievements.selectors import read_newest_sequences
from profiles.api.event_stream import EventStream
from profiles.api.subscription import Subscription
from profiles.api.watch import Watch

logger = structlog.get_logger(__name__)
T = TypeVar("T")

LOOK_SECONDS: Final = 30.0  # well below the time that a mark lasts
LONGEST_WAIT_SECONDS: Final = 1.0  # for Redis, before the database alone is believed
GATHER_SECONDS: Final = 0.1  # in which all channels are heard again, to look once for all
READERS: Final = 4
_MOST_AT_ONCE: Final = 500
_SPARE_FILES: Final = 64


class Hub:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        # Weak, because a client can be gone before its stream is written for the first time.
        self.streams: WeakSet[EventStream] = WeakSet()
        self.is_ending = False
        self._loop = asyncio.get_running_loop()
        self._watches: dict[int, Watch] = {}
        self._channels: dict[str, Watch] = {}
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="stream")
        self._subscription = Subscription(on_subscribed=self._check, on_message=self._pass_on)
        self._should_look = asyncio.Event()
        self._looking = asyncio.create_task(self._look_now_and_then())
        metrics.STREAMS.set_function(lambda: len(self.streams))

    async def read(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call what reads the database or the cache, in a thread that keeps its connection."""
        return await self._loop.run_in_executor(self._readers, _call, function, *arguments)

    def admit(self, user_id: int, *, abort: Callable[[], object] | None = None) -> EventStream:
        """Return a stream that counts from now on. Raises ProblemError (429, 503)."""
        if self.is_ending:
            raise refuse_while_unavailable("This server is being stopped.")
        if len(self.streams) >= _find_limit():
            raise refuse_while_unavailable("This server has all the open streams that it can hold.")
        watch = self._watches.get(user_id)
        most = settings.STREAMS_PER_USER
        if watch is not None and len(watch.admitted) >= most:
            detail = f"{most} streams of this user are open already."
            raise ProblemError(429, detail, headers={"Retry-After": "30"})
        if watch is None:
            watch = Watch(user_id, self.read)
            self._watches[user_id] = self._channels[watch.channel] = watch
        stream = EventStream(user_id, abort=abort)
        self.streams.add(stream)
        watch.admitted.add(stream)
        self._subscription.add(watch.channel)
        return stream

    async def write(
        self, stream: EventStream, *, expires_at: float | None
    ) -> AsyncGenerator[bytes, None]:
        """Yield what the stream's client is sent, from what it missed on."""
        watch = self._watches[stream.user_id]
        self._join(watch, stream)
        lines = stream.write(expires_at=expires_at)
        try:
            async for line in lines:
                yield line
        finally:
            await lines.aclose()
            self.streams.discard(stream)
            watch.discard(stream)
            self._tidy(watch)

    def end(self) -> None:
        """Finish every stream, and take no new one."""
        self.is_ending = True
        for stream in list(self.streams):
            stream.end()

    async def close(self) -> None:
        self.end()
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)
        await self._subscription.close()
        self._readers.shutdown(wait=False)

    def _join(self, watch: Watch, stream: EventStream) -> None:
        watch.streams.add(stream)
        # Only what is read after the channel is heard leaves no gap before the first message.
        if self._subscription.hears(watch.channel):
            watch.look()
        else:
            self._loop.call_later(LONGEST_WAIT_SECONDS, watch.look)
        if self.is_ending:
            stream.end()

    def _tidy(self, watch: Watch) -> None:
        if not watch.admitted and self._watches.get(watch.user_id) is watch:
            self._subscription.remove(watch.channel)
            del self._watches[watch.user_id], self._channels[watch.channel]

    def _check(self, channel: str) -> None:
        watch = self._channels.get(channel)
        if watch is not None and watch.doubt():
            self._should_look.set()  # the marks may be gone too

    def _pass_on(self, channel: str, data: bytes) -> None:
        if watch := self._channels.get(channel):
            try:
                watch.hear(data)
            except (orjson.JSONDecodeError, KeyError, TypeError):
                logger.warning("stream_message_unreadable", channel=channel)

    async def _look_now_and_then(self) -> None:
        """Keep the marks, and find what no message has told: whoever sent it may have died."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._should_look.wait()
                await asyncio.sleep(GATHER_SECONDS)
            self._should_look.clear()
            for one in list(self._watches.values()):
                self._tidy(one)
            users = list(self._watches)
            for start in range(0, len(users), _MOST_AT_ONCE):
                part = users[start : start + _MOST_AT_ONCE]
                try:
                    unmarked, newest = await self.read(_renew_marks, part)
                except Exception:
                    logger.exception("stream_look_failed", users=len(part))
                    continue
                for user_id in part:
                    if watch := self._watches.get(user_id):
                        watch.check(newest[user_id], has_gap=unmarked > 0)


def _renew_marks(user_ids: Sequence[int]) -> tuple[int, dict[int, int]]:
    """Return how many were marked no longer, as after Redis was emptied, and what is newest."""
    unmarked = live.mark_watched(user_ids) or 0
    return unmarked, read_newest_sequences(user_ids)


def prepare(user_id: int) -> int:
    """Say that the user is looked at; return the sequence of the newest notification."""
    live.mark_watched([user_id])
    return read_newest_sequences([user_id])[user_id]


def _call(function: Callable[..., T], *arguments: Any) -> T:
    close_old_connections()
    try:
        return function(*arguments)
    finally:
        close_old_connections()


def _find_limit() -> int:
    """Every stream is an open file; some are left for everything else."""
    files = getrlimit(RLIMIT_NOFILE)[0]
    return min(int(settings.STREAMS_PER_PROCESS), max(1, files - _SPARE_FILES))


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def get_hub() -> Hub:
    """Return the one of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


async def close_hub() -> None:
    if hub := _hubs.pop(asyncio.get_running_loop(), None):
        await hub.close()


def end_streams_with(number: signal.Signals) -> None:
    """Finish the streams of the running event loop when this signal tells the server to stop.

    The server itself waits for open answers to end, and these would not.
    """
    if current_thread() is not main_thread():
        return
    loop = asyncio.get_running_loop()
    handler = signal.getsignal(number)
    if not callable(handler):
        return

    def stop(received: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(_end, loop)
        handler(received, frame)

    signal.signal(number, stop)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    if hub := _hubs.get(loop):
        hub.end()
