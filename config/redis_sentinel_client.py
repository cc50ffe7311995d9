"""Django's cache in the Redis that Sentinel names as master."""

from collections.abc import Sequence
from typing import Any

from django_redis.pool import SentinelConnectionFactory
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from config.redis_failover import Deleted, Failover, FailoverClient
from config.redis_shared import share


class MasterFactory(SentinelConnectionFactory):  # type: ignore[misc]
    """Asks each Sentinel once: the library's retries would outlast any request."""

    def __init__(self, options: dict[str, Any]) -> None:
        timeouts = {
            "socket_timeout": options["SOCKET_TIMEOUT"],
            "socket_connect_timeout": options["SOCKET_CONNECT_TIMEOUT"],
        }
        is_encrypted = bool(options.get("CONNECTION_POOL_KWARGS", {}).get("ssl"))
        super().__init__(
            {
                **options,
                "SENTINEL_KWARGS": {
                    **timeouts,
                    "ssl": is_encrypted,
                    "retry": Retry(NoBackoff(), 0),
                },
            }
        )

    def get_or_create_connection_pool(self, params: dict[str, Any]) -> Any:
        # The library's own key is the URL, which does not name the Sentinels.
        key = f"{params['url']} {self.options['SENTINELS']}"
        if key not in self._pools:
            self._pools[key] = self.get_connection_pool(params)
        return self._pools[key]


class MasterFailover(Failover):
    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self._redis = redis
        self._pool: Any = redis.connection_pool
        self._address: str | None = None
        self._version = 0
        self.thread.start()

    def refresh(self) -> int:
        # Idle connections to another than the present master are closed by this: a master that
        # hung and comes back would otherwise be read until Sentinel has made it a replica.
        self._pool.get_master_address()
        address = self._find_address()
        if address != self._address:
            self._address, self._version = address, self._version + 1
        return self._version

    def find_server(self, name: str) -> str | None:
        return self._find_address()

    def delete(self, names: Sequence[str]) -> Deleted:
        before = self._find_address()
        try:
            count = int(self._redis.delete(*names)) if names else 0
        except RedisError:
            return Deleted(0, [None] * len(names))
        after = self._find_address()
        # Of two that were master meanwhile nobody can say which it was.
        return Deleted(count, [after if before in (None, after) else None] * len(names))

    def _find_address(self) -> str | None:
        address = self._pool.master_address
        return f"{address[0]}:{address[1]}" if address else None

    def close(self) -> None:
        super().close()
        self._pool.disconnect()


class MasterClient(FailoverClient):
    """Reads come from the master too: a replica may not have a deletion yet."""

    def follow(self) -> MasterFailover:
        return share(f"{self._server[0]} {self._options['SENTINELS']}", self._build)

    def _build(self) -> MasterFailover:
        return MasterFailover(self.get_client())
