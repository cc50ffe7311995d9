"""Names that this process deleted lately, or could not delete: see config/redis_failover.py."""

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

# Far longer than any replica lags that may still be made a master (see docs/runbook.md).
KEEP_SECONDS: Final = 60.0
MOST_NAMES: Final = 100_000


class Deletions:
    """What this process deleted, and what it could not delete. Shared by threads.

    A deletion takes a ticket before it is sent: one that succeeds makes up for those of the same
    name that were begun before it and failed, and for none that was begun after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tickets = itertools.count(1)
        # In the order of time, so that old ones are found at the front.
        self._done: dict[str, tuple[float, str]] = {}
        self._missed: dict[str, int] = {}
        self._seen_version = 0
        self._looks_left = 0

    def __len__(self) -> int:
        return len(self._done) + len(self._missed)

    def take_ticket(self) -> int:
        return next(self._tickets)

    def note_done(self, names: Iterable[str], server: str, *, ticket: int = 0) -> None:
        """Without a ticket: the names were changed by other means, which make up for nothing."""
        now = time.monotonic()
        with self._lock:
            for name in names:
                if self._missed.get(name, ticket) < ticket:
                    del self._missed[name]
                self._done.pop(name, None)
                self._done[name] = (now, server)
            self._drop_old(now)

    def note_missed(self, names: Iterable[str], *, ticket: int) -> None:
        with self._lock:
            for name in names:
                self._missed[name] = max(ticket, self._missed.get(name, 0))
            while len(self._missed) > MOST_NAMES:
                del self._missed[next(iter(self._missed))]

    def reconsider(self, find_server: Callable[[str], str | None], *, version: int) -> None:
        """Count as missed what another server than the responsible one deleted.

        `version` counts changes of who is responsible: without one there is nothing to do.
        """
        with self._lock:
            self._drop_old(time.monotonic())
            if version != self._seen_version:
                # Twice, for a deletion that is noted while the first look is under way.
                self._seen_version, self._looks_left = version, 2
            if not self._looks_left:
                return
            self._looks_left -= 1
            done = list(self._done.items())
        moved = []
        for name, (_, server) in done:
            found = find_server(name)
            if found is not None and found != server:
                moved.append(name)
        with self._lock:
            for name in moved:
                self._done.pop(name, None)
        self.note_missed(moved, ticket=0)

    def find_server(self, name: str) -> str | None:
        """Who deleted the name lately; None for nobody."""
        done = self._done.get(name)
        return done[1] if done else None

    def is_missed(self, name: str) -> bool:
        """Whether what is found under this name may have to be deleted yet."""
        return name in self._missed

    def has_missed(self) -> bool:
        return bool(self._missed)

    def list_missed(self) -> list[str]:
        with self._lock:
            return list(self._missed)

    def _drop_old(self, now: float) -> None:
        while self._done:
            name = next(iter(self._done))
            if now - self._done[name][0] < KEEP_SECONDS and len(self._done) <= MOST_NAMES:
                return
            del self._done[name]
