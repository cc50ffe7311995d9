"""One open stream: what its client still has to be sent, as Server-Sent Events; a face."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Final, NamedTuple

from achievements import metrics
from achievements.documents import encode_json

MOST_WAITING: Final = 256
HEARTBEAT_SECONDS: Final = 15.0
_HEARTBEAT: Final = b": \n\n"
# After how long a client comes back; apart from each other, when a process ends.
_RETRY_MS: Final = (1000, 5000)

NOTIFICATIONS: Final = "notifications"
PROGRESS: Final = "progress"


class Unlock(NamedTuple):
    """A notification, ready to be sent."""

    sequence: int
    event: bytes


class EventStream:
    """Belongs to one event loop. `abort` ends the connection of a client that does not read."""

    def __init__(self, user_id: int, *, abort: Callable[[], object] | None) -> None:
        self.user_id = user_id
        self.last = 0  # the newest sequence that it was given
        self.is_told = False  # whether it was given what came before it
        self._abort = abort
        self._missed: set[str] = set()
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_WAITING)
        self._is_over = False

    def begin(self, *, asked: int | None, newest: int) -> None:
        """Go on behind the sequence `asked` for; without one the client knows nothing yet."""
        self.last = newest if asked is None else min(asked, newest)
        self._missed = {PROGRESS} if asked is not None else {NOTIFICATIONS, PROGRESS}

    def doubt(self) -> bool:
        """Messages may have been missed since it was told what came before it, if it was."""
        if self.is_told:
            self._missed.add(PROGRESS)
        return self.is_told

    def skip_to(self, newest: int) -> None:
        """There is more than is replayed: its client has to read it."""
        self.last = newest
        self._missed.add(NOTIFICATIONS)

    def tell(self, unlocks: Iterable[Unlock]) -> None:
        """Give it what it has not been given, and what to read because it was missed."""
        for unlock in unlocks:
            if unlock.sequence > self.last:
                self.last = unlock.sequence
                self.put(unlock.event, name="unlock")
        if self._missed:
            self.put(write_resync(sorted(self._missed), sequence=self.last), name="resync")
            self._missed.clear()
        self.is_told = True

    def put(self, event: bytes, *, name: str) -> None:
        if self._is_over:
            return
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            metrics.STREAMS_DROPPED.inc()
            self._drop()
        else:
            metrics.STREAM_EVENTS.labels(name).inc()

    def end(self) -> None:
        """Finish after what waits; the client comes back."""
        if self._is_over:
            return
        self._is_over = True
        try:
            self._waiting.put_nowait(None)
        except asyncio.QueueFull:
            self._drop()

    async def write(self, *, expires_at: float | None) -> AsyncGenerator[bytes, None]:
        """Yield until it is over: at the latest when the token has expired."""
        yield f"retry: {random.randint(*_RETRY_MS)}\nid: {self.last}\n\n".encode()
        while True:
            seconds = HEARTBEAT_SECONDS
            if expires_at is not None:
                seconds = min(seconds, expires_at - time.time())
            if seconds <= 0:
                return
            try:
                async with asyncio.timeout(seconds):
                    event = await self._waiting.get()
            except TimeoutError:
                yield _HEARTBEAT
                continue
            if event is None:
                return
            yield event

    def _drop(self) -> None:
        """Its client does not read: what waits is not sent any more, and read again by and by."""
        self._is_over = True
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put_nowait(None)
        if self._abort is not None:
            self._abort()


def write_unlock(notification: dict[str, object]) -> Unlock:
    sequence = notification["sequence"]
    assert isinstance(sequence, int)
    return Unlock(sequence, _write("unlock", encode_json(notification), sequence=sequence))


def write_progress(message: bytes) -> bytes:
    return _write("progress", message)


def write_resync(names: Sequence[str], *, sequence: int) -> bytes:
    return _write("resync", encode_json({"read": names}), sequence=sequence)


def _write(name: str, data: bytes, *, sequence: int | None = None) -> bytes:
    """`data` is JSON in one line."""
    number = b"" if sequence is None else b"id: %d\n" % sequence
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), number, data)
