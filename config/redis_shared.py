"""What one process keeps once for all its threads: a client of a cluster, a watch over a master.

Django makes a cache object per thread. A process that forks starts again with nothing: threads
do not survive a fork, and a lock that another thread held would never be given back.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar, cast

from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

# A server that cannot be reached at all is not tried by every request.
REST_SECONDS: Final = 1.0
WAIT_SECONDS: Final = 0.5


class Away(ConnectionInterrupted, RedisConnectionError):  # type: ignore[misc]
    """There is nothing to ask yet; an error of django-redis and of redis alike. Has a cause."""

    def __init__(self) -> None:
        RedisConnectionError.__init__(self, "Redis cannot be reached.")
        self.connection = None


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)

_shared: dict[str, Any] = {}
_failures: dict[str, tuple[float, Exception]] = {}
_lock = threading.Lock()
_of_the_parent: list[Any] = []


def share(key: str, build: Callable[[], T]) -> T:
    """Return what is kept under the key, built once; raises Away while it cannot be built."""
    if key in _shared:
        return cast(T, _shared[key])
    # Whoever came first may be waiting for servers that hang: the others do not wait for long.
    if not _lock.acquire(timeout=WAIT_SECONDS):
        raise Away from TimeoutError("Another thread is still connecting.")
    try:
        if key in _shared:
            return cast(T, _shared[key])
        failed_at, error = _failures.get(key, (-REST_SECONDS, None))
        if time.monotonic() - failed_at < REST_SECONDS:
            raise Away from error
        try:
            built = build()
        except (RedisError, RedisClusterException, OSError) as caught:
            _failures[key] = time.monotonic(), caught
            raise Away from caught
        _shared[key] = built
        return built
    finally:
        _lock.release()


def close_shared() -> None:
    """For tests, and for a process that changes its settings."""
    with _lock:
        kept = list(_shared.values())
        _shared.clear()
        _failures.clear()
    for item in kept:
        item.close()


def _start_again() -> None:
    global _lock
    # Not collected either: that would close what the parent still uses.
    _of_the_parent.extend(_shared.values())
    _shared.clear()
    _failures.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_start_again)
