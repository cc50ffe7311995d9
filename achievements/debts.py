"""Names that could not be deleted from the cache while it was away (storage floor)."""

import itertools
import time
from collections.abc import Callable, Mapping
from threading import Lock, Thread
from typing import Final

import structlog

logger = structlog.get_logger(__name__)

MOST_NAMES: Final = 50_000
PAY_SECONDS: Final = 1.0


class Debts:
    """What this process owes; a thread calls `pay` until nothing is owed.

    A thread, because this process may have nothing else to delete for long while others read what
    stands there. Beyond the bound, and when the process ends first, such a document lives until
    its TTL.
    """

    def __init__(self, *, pay: Callable[[], object]) -> None:
        self._pay = pay
        self._lock = Lock()
        self._tickets = itertools.count()
        self._names: dict[str, int] = {}
        self._thread: Thread | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def copy(self) -> dict[str, int]:
        """Return what is owed, to be settled when it was deleted."""
        if not self._names:
            return {}
        with self._lock:
            return self._names.copy()

    def owe(self, names: set[str]) -> None:
        ticket = next(self._tickets)
        with self._lock:
            known = names & self._names.keys()
            room = MOST_NAMES - len(self._names)
            self._names.update(dict.fromkeys([*known, *sorted(names - known)[:room]], ticket))
            owed = len(self._names)
            # After a fork the thread of the parent is not alive.
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._run, name="cache-debts", daemon=True)
                self._thread.start()
        logger.warning("cache_not_invalidated", names=len(names), owed=owed)

    def settle(self, paid: Mapping[str, int]) -> None:
        """Strike out what was deleted, except for what was missed once more since it was copied."""
        if not paid:
            return
        with self._lock:
            for name, ticket in paid.items():
                if self._names.get(name) == ticket:
                    del self._names[name]

    def _run(self) -> None:
        while True:
            time.sleep(PAY_SECONDS)
            try:
                self._pay()
            except Exception:
                logger.exception("cache_debts_not_paid")  # the next time may go better
            with self._lock:
                if not self._names:
                    self._thread = None
                    return
