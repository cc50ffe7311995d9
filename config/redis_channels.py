"""A connection that hears what is published in the Redis of the cache; for an event loop.

Any server of a cluster hears what is published at any other.
"""

import random
from typing import Any, Final, cast

from django.conf import settings
from redis.asyncio import Redis, sentinel
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# Nobody waits for it: longer than for the cache itself.
CONNECT_SECONDS: Final = 2.0


async def connect() -> Any:
    """Return a new connection, in the second version of the protocol.

    Raises RedisError or OSError; whoever asks tries again. Its reads have no timeout of their own.
    """
    cache = settings.CACHES["default"]
    options: dict[str, Any] = cache["OPTIONS"]
    shared: dict[str, Any] = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": CONNECT_SECONDS,
    }
    access = {name.lower(): options[name] for name in ("USERNAME", "PASSWORD") if options.get(name)}
    if "SEEDS" in options:
        kind = SSLConnection if options.get("IS_ENCRYPTED") else Connection
        return await _connect_to_any(kind, options["SEEDS"], shared | access)
    if "SENTINELS" in options:
        return await _connect_to_master(cache["LOCATION"][0], options, shared, access)
    pool = Redis.from_url(cache["LOCATION"], **shared).connection_pool
    return await _open(cast(Any, pool).make_connection())


async def _connect_to_any(
    kind: type[Connection], addresses: list[tuple[str, int]], options: dict[str, Any]
) -> Any:
    failure: Exception | None = None
    for host, port in random.sample(addresses, len(addresses)):
        try:
            return await _open(kind(host=host, port=port, **options))
        except (RedisError, OSError) as error:
            failure = error
    raise failure or ConnectionError("No server is named.")


async def _connect_to_master(
    location: str, options: dict[str, Any], shared: dict[str, Any], access: dict[str, Any]
) -> Any:
    service, _, number = location.partition("://")[2].partition("/")
    is_encrypted = bool(options.get("CONNECTION_POOL_KWARGS", {}).get("ssl"))
    own = {**shared, "ssl": is_encrypted}
    asked = cast(Any, sentinel).Sentinel(options["SENTINELS"], sentinel_kwargs=own)
    try:
        host, port = await asked.discover_master(service)
    finally:
        for one in asked.sentinels:
            await one.aclose()
    kind = SSLConnection if is_encrypted else Connection
    return await _open(kind(host=host, port=port, db=int(number or 0), **shared, **access))


async def _open(connection: Any) -> Any:
    try:
        await connection.connect()
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    return connection
