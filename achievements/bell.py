"""The bell between a commit and the relay (storage floor): a Redis list of at most one item.

It only shortens the wait. Without Redis, and while it is away, the relay looks by itself
ten times a second.
"""

import time
from functools import lru_cache
from typing import Any, Final, cast

import structlog
from django.conf import settings
from django.core.cache import cache

NAME: Final = "outbox:bell"
POLL_SECONDS: Final = 0.1
_TIMEOUT_SECONDS: Final = 0.25
# One server is asked over connections of our own, which may wait longer than a cache's. For a
# cluster or Sentinel the cache's client knows where to go: it is asked for short waits in a row.
_ONE_SERVER: Final = ("redis:", "rediss:", "unix:")

logger = structlog.get_logger(__name__)


def ring() -> None:
    """Wake one relay. Never raises: whoever rings has committed already."""
    if not settings.REDIS_URL:
        return
    from redis.exceptions import RedisError

    try:
        redis = _connect(_TIMEOUT_SECONDS) if _is_one_server() else _share()
        redis.pipeline(transaction=False).lpush(NAME, 1).ltrim(NAME, 0, 0).execute()
    except RedisError:
        logger.warning("bell_not_rung", exc_info=True)


def wait(seconds: float) -> None:
    """Return when the bell rings, at the latest after `seconds` (whole seconds)."""
    if not settings.REDIS_URL:
        time.sleep(POLL_SECONDS)
        return
    from redis.exceptions import RedisError

    try:
        if _is_one_server():
            _connect(seconds + 1).blpop([NAME], timeout=int(seconds))
        else:
            _wait_in_steps(seconds)
    except RedisError:
        time.sleep(POLL_SECONDS)


def _is_one_server() -> bool:
    return str(settings.REDIS_URL).startswith(_ONE_SERVER)


def _share() -> Any:
    return cast(Any, cache).client.get_client(write=True)


def _wait_in_steps(seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if _share().blpop([NAME], timeout=POLL_SECONDS):
            return


@lru_cache(maxsize=4)
def _connect(timeout_seconds: float) -> Any:
    import redis

    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=_TIMEOUT_SECONDS,
    )
