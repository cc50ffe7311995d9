"""What this process hears from Redis: one connection for all open streams; a face."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
from django.conf import settings
from django.utils.module_loading import import_string

logger = structlog.get_logger(__name__)

PING_SECONDS: Final = 5.0
# A server that hangs keeps its connections open: only its silence tells.
LONGEST_SILENCE_SECONDS: Final = 12.0
SHORTEST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 3.0
MOST_CHANNELS_A_COMMAND: Final = 500


class Subscription:
    """Keeps the wanted channels subscribed, over whatever becomes of the connection.

    `on_subscribed(channel)` is called each time that a channel is heard from now on: what was
    published before may have been missed. `on_message(channel, data)` must not raise or wait.
    Belongs to one event loop.
    """

    def __init__(
        self,
        *,
        on_subscribed: Callable[[str], None],
        on_message: Callable[[str, bytes], None],
    ) -> None:
        self._on_subscribed = on_subscribed
        self._on_message = on_message
        self._connect = import_string(settings.STREAM_CHANNELS)
        self._wanted: set[str] = set()
        self._asked: set[str] = set()
        self._heard: set[str] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, channel: str) -> None:
        self._wanted.add(channel)
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def remove(self, channel: str) -> None:
        self._wanted.discard(channel)
        self._changed.set()

    def hears(self, channel: str) -> bool:
        return channel in self._heard

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        pause = SHORTEST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 - whatever the client raises, it is tried again
                logger.warning("stream_channels_lost", error=_describe(error))
            finally:
                self._asked.clear()
                self._heard.clear()
            lasted = time.monotonic() - began
            pause = SHORTEST_PAUSE_SECONDS if lasted > LONGEST_PAUSE_SECONDS else pause * 2
            pause = min(pause, LONGEST_PAUSE_SECONDS)
            # Not all processes at once, when a server is back.
            await asyncio.sleep(pause * random.uniform(0.5, 1))

    async def _listen(self) -> None:
        """Return never; raises when the connection is lost."""
        connection = await self._connect()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._ask(connection))
                tasks.create_task(self._hear(connection))
        finally:
            await connection.disconnect(nowait=True)

    async def _ask(self, connection: Any) -> None:
        """Subscribe to what is wanted and from nothing else, and keep the server talking."""
        while True:
            self._changed.clear()
            gone, new = self._asked - self._wanted, self._wanted - self._asked
            self._asked = set(self._wanted)
            self._heard -= gone
            for command, channels in (("UNSUBSCRIBE", gone), ("SUBSCRIBE", new)):
                for part in _cut(channels):
                    await connection.send_command(command, *part, check_health=False)
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                await connection.send_command("PING", check_health=False)

    async def _hear(self, connection: Any) -> None:
        while True:
            answer = await connection.read_response(timeout=LONGEST_SILENCE_SECONDS)
            if answer is None:
                raise ConnectionError("Redis says nothing.")
            match answer:
                case [b"message", channel, data]:
                    self._on_message(channel.decode(), data)
                case [b"subscribe", name, _]:
                    channel = name.decode()
                    if channel in self._asked:
                        self._heard.add(channel)
                        self._on_subscribed(channel)


def _cut(channels: Iterable[str]) -> list[list[str]]:
    every = list(channels)
    starts = range(0, len(every), MOST_CHANNELS_A_COMMAND)
    return [every[start : start + MOST_CHANNELS_A_COMMAND] for start in starts]


def _describe(error: Exception) -> str:
    """The first cause within a group; an address of Redis holds no password in these texts."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
