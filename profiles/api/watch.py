"""One user's open streams in this process: reads once for all of them; a face."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final
from weakref import WeakSet

import orjson
import structlog

from achievements import keys
from achievements.selectors import list_notifications_after, read_newest_sequences
from profiles.api.event_stream import EventStream, Unlock, write_progress, write_unlock

logger = structlog.get_logger(__name__)

MOST_REPLAYED: Final = 100
RETRY_SECONDS: Final = 2.0


class Watch:
    """Belongs to one event loop; `read` calls what asks the database, elsewhere."""

    def __init__(self, user_id: int, read: Callable[..., Awaitable[Any]]) -> None:
        self.user_id = user_id
        self.channel = keys.name_live_channel(user_id)
        # Weak, because a client can be gone before its stream is written for the first time.
        self.admitted: WeakSet[EventStream] = WeakSet()
        self.streams: WeakSet[EventStream] = WeakSet()  # those that are written
        self._read = read
        self._revision = 0
        self._should_look = False
        self._looking: asyncio.Task[None] | None = None

    def discard(self, stream: EventStream) -> None:
        self.admitted.discard(stream)
        self.streams.discard(stream)

    def hear(self, data: bytes) -> None:
        """Pass a message on, unless a newer one came before it. Raises what orjson raises."""
        message = orjson.loads(data)
        if message["revision"] >= self._revision:
            self._revision = message["revision"]
            if message["achievements"]:
                event = write_progress(data)
                for stream in list(self.streams):
                    stream.put(event, name="progress")
        self.check(message["notified"])

    def check(self, newest: int, *, has_gap: bool = False) -> None:
        """Look for what a stream has not been given, if there is any."""
        if has_gap:
            self.doubt()
        elif any(stream.last < newest for stream in self.streams):
            self.look()

    def doubt(self) -> bool:
        """Messages may have been missed before now; return whether anybody waited for one."""
        self._revision = 0
        was_told = [stream.doubt() for stream in self.streams]
        self.look()
        return any(was_told)

    def look(self) -> None:
        self._should_look = True
        if self._looking is None and self.streams:
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        try:
            while self._should_look and self.streams:
                self._should_look = False
                try:
                    # One number nearly always: only who has just come may be behind the others.
                    for last in {stream.last for stream in self.streams}:
                        await self._tell(last)
                except Exception as error:  # noqa: BLE001 - unlocks are late, and never lost
                    logger.warning("stream_look_failed", error=f"{type(error).__name__}: {error}")
                    self._should_look = True
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._looking = None

    async def _tell(self, last: int) -> None:
        unlocks, newest = await self._read(read_unlocks, self.user_id, last)
        for stream in list(self.streams):
            # One that came meanwhile is told by the look that it asked for.
            if stream.last == last:
                if newest is not None:
                    stream.skip_to(newest)
                stream.tell(unlocks)


def read_unlocks(user_id: int, after: int) -> tuple[list[Unlock], int | None]:
    """Return what follows; if that is too much to replay, nothing but the newest sequence."""
    found = list_notifications_after(user_id=user_id, after=after, limit=MOST_REPLAYED + 1)
    if len(found) > MOST_REPLAYED:
        return [], read_newest_sequences([user_id])[user_id]
    return [write_unlock(notification) for notification in found], None
