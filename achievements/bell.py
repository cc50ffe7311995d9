"""The bell between a commit and the relay (storage floor): a Redis list of at most one item.

It only shortens the wait. Without Redis, and while it is away, the relay looks by itself
ten times a second.
"""

import time
from functools import lru_cache
from typing import Any, Final

import structlog
from django.conf import settings

NAME: Final = "outbox:bell"
POLL_SECONDS: Final = 0.1
_TIMEOUT_SECONDS: Final = 0.25

logger = structlog.get_logger(__name__)


def ring() -> None:
    """Wake one relay. Never raises: whoever rings has committed already."""
    if not settings.REDIS_URL:
        return
    from redis.exceptions import RedisError

    try:
        pipeline = _connect(_TIMEOUT_SECONDS).pipeline(transaction=False)
        pipeline.lpush(NAME, 1).ltrim(NAME, 0, 0).execute()
    except RedisError:
        logger.warning("bell_not_rung", exc_info=True)


def wait(seconds: float) -> None:
    """Return when the bell rings, at the latest after `seconds` (whole seconds)."""
    if not settings.REDIS_URL:
        time.sleep(POLL_SECONDS)
        return
    from redis.exceptions import RedisError

    try:
        _connect(seconds + 1).blpop([NAME], timeout=int(seconds))
    except RedisError:
        time.sleep(POLL_SECONDS)


@lru_cache(maxsize=4)
def _connect(timeout_seconds: float) -> Any:
    import redis

    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=_TIMEOUT_SECONDS,
    )
