"""Deletions that a failover could undo, and the thread that does them again.

Redis answers a command before its replicas have it. When a master dies in between, its replica
takes over without that command: a document that was deleted is back, and the next reader would
be shown what is no longer true. So each process remembers the names that it deleted lately with
the server that did it, looks once a second which server is responsible now, and deletes a name
again where that is another one. Deleting too much costs one database read; nothing else.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog

logger = structlog.get_logger("config.cache")

# Far longer than any replica lags that may still be made a master (see docs/runbook.md).
KEEP_SECONDS: Final = 60.0
MOST_NAMES: Final = 100_000
LOOK_SECONDS: Final = 1.0
# While a server does not answer: the next look may find its successor.
HURRIED_SECONDS: Final = 0.2


class Deletions:
    """What this process deleted, and what it could not delete. Shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # In the order of time, so that old ones are found at the front.
        self._done: dict[str, tuple[float, str]] = {}
        self._missed: dict[str, None] = {}
        self._seen_version = 0
        self._looks_left = 0

    def __len__(self) -> int:
        return len(self._done) + len(self._missed)

    def note_done(self, names: Iterable[str], server: str) -> None:
        now = time.monotonic()
        with self._lock:
            for name in names:
                self._missed.pop(name, None)
                self._done.pop(name, None)
                self._done[name] = (now, server)
            self._drop_old(now)

    def note_missed(self, names: Iterable[str]) -> None:
        with self._lock:
            for name in names:
                self._done.pop(name, None)
                self._missed[name] = None
            while len(self._missed) > MOST_NAMES:
                del self._missed[next(iter(self._missed))]

    def list_doubtful(self, find_server: Callable[[str], str | None], *, version: int) -> list[str]:
        """Names that were missed, and those whose server is not the one that deleted them.

        `version` counts changes of who is responsible: without one only what was missed is said.
        """
        with self._lock:
            self._drop_old(time.monotonic())
            missed = list(self._missed)
            if version != self._seen_version:
                # Twice, for a deletion that is noted while the first look is under way.
                self._seen_version, self._looks_left = version, 2
            done = list(self._done.items()) if self._looks_left else []
            self._looks_left = max(0, self._looks_left - 1)
        moved = []
        for name, (_, server) in done:
            found = find_server(name)
            if found is not None and found != server:
                moved.append(name)
        return [*missed, *moved]

    def _drop_old(self, now: float) -> None:
        while self._done:
            name = next(iter(self._done))
            if now - self._done[name][0] < KEEP_SECONDS and len(self._done) <= MOST_NAMES:
                return
            del self._done[name]


class Watch(threading.Thread):
    """Calls `look` once a second, and soon after `hurry`, until `close`."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__(name="redis-watch", daemon=True)
        self._look = look
        self._woken = threading.Event()
        self._is_over = False

    def hurry(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._is_over = True
        self._woken.set()

    def run(self) -> None:
        while not self._is_over:
            self._woken.wait(LOOK_SECONDS)
            if self._is_over:
                return
            self._woken.clear()
            try:
                self._look()
            except Exception:
                # Whatever it was, the next look may go better; ending would end them all.
                logger.exception("redis_not_watched")
            time.sleep(HURRIED_SECONDS)
