"""Documents while the cache is away (storage floor): each is built once, not by every reader.

Without it a cache that is gone for a moment would send every reader of a popular profile to the
database at once. What was built is given again for five seconds, by this process alone; that is
the most that a reader can be behind, and only while nobody could tell us better. (A Redis that
empties a million documents is away for two or three.)
"""

import time
from collections.abc import Callable
from threading import Lock
from typing import Final, Generic, TypeVar

KEPT_SECONDS: Final = 5.0
MOST_NAMES: Final = 2_000

T = TypeVar("T")


class Shelter(Generic[T]):
    """What was built lately, by name; of several who ask at once one builds."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._building: dict[str, Lock] = {}
        self._kept: dict[str, tuple[float, T]] = {}

    def get(self, name: str, build: Callable[[], T]) -> T:
        """Return what is kept under the name, or what `build` returns. Raises what it raises."""
        with self._lock:
            turn = self._building.setdefault(name, Lock())
        try:
            with turn:
                kept = self._kept.get(name)
                if kept is not None and time.monotonic() < kept[0]:
                    return kept[1]
                value = build()
                self._keep(name, value)
                return value
        finally:
            with self._lock:
                self._building.pop(name, None)

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()

    def _keep(self, name: str, value: T) -> None:
        now = time.monotonic()
        with self._lock:
            while len(self._kept) >= MOST_NAMES:
                self._kept.pop(next(iter(self._kept)))  # the oldest
            self._kept[name] = now + KEPT_SECONDS, value
