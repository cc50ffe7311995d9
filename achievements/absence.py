"""How long somebody who failed is left alone (storage floor): growing pauses, one trial each."""

import random
import time
from threading import Lock
from typing import Final

TRIAL_SECONDS: Final = 5.0  # longer than any trial takes
_JITTER: Final = 0.25


class Absence:
    """Belongs to one process, and to all of its threads."""

    def __init__(self, *, first_seconds: float, longest_seconds: float) -> None:
        self._first, self._longest = first_seconds, longest_seconds
        self._lock = Lock()
        self._failures = 0
        self._failed_at = self._until = float("-inf")

    def __bool__(self) -> bool:
        return self._failures > 0

    def may_ask(self) -> bool:
        """Whether to ask now. After a pause that is one caller; the others hear what it found."""
        if not self._failures:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._until:
                return False
            self._until = now + TRIAL_SECONDS
            return True

    def begin(self, *, asked_at: float) -> bool:
        """It failed; return whether nobody knew. Who asked before that was known adds nothing."""
        with self._lock:
            if asked_at < self._failed_at:
                return False
            pause = min(self._longest, self._first * 2.0 ** min(self._failures, 20))
            self._failures += 1
            self._failed_at = time.monotonic()
            self._until = self._failed_at + pause * (1 - _JITTER * random.random())
            return self._failures == 1

    def end(self, *, asked_at: float) -> bool:
        """It answered; return whether that is news."""
        if not self._failures:
            return False
        with self._lock:
            if asked_at < self._failed_at:
                return False
            self._failures = 0
            return True
