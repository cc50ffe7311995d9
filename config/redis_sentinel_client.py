"""Django's cache in the Redis that Sentinel names as master."""

from collections.abc import Iterable
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.client.default import DefaultClient
from django_redis.exceptions import ConnectionInterrupted
from django_redis.pool import SentinelConnectionFactory
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from config.redis_deletions import Deletions, Watch
from config.redis_shared import share

MOST_NAMES_A_LOOK = 5000


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


class MasterWatch:
    """Follows the master's address, and does deletions again that a failover could undo."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._pool: Any = redis.connection_pool
        self._address: str | None = None
        self._version = 0
        self.deletions = Deletions()
        self._watch = Watch(self._look)
        self._watch.start()

    def invalidate(self, names: list[str]) -> int:
        """Delete the names, remembering them; raises what redis raises when they were missed."""
        before = self._find_address()
        try:
            deleted = int(self._redis.delete(*names)) if names else 0
        except RedisError:
            self.deletions.note_missed(names)
            self._watch.hurry()
            raise
        self.remember(names, before)
        return deleted

    def remember(self, names: Iterable[str], before: str | None = None) -> None:
        server = self._find_address()
        if server is None or (before is not None and before != server):
            self.deletions.note_missed(names)
        else:
            self.deletions.note_done(names, server)

    def _find_address(self) -> str | None:
        address = self._pool.master_address
        return f"{address[0]}:{address[1]}" if address else None

    def _look(self) -> None:
        # Idle connections to another than the present master are closed by this: a master that
        # hung and comes back would otherwise be read until Sentinel has made it a replica.
        self._pool.get_master_address()
        address = self._find_address()
        if address != self._address:
            self._address, self._version = address, self._version + 1
        doubtful = self.deletions.list_doubtful(lambda name: address, version=self._version)
        for start in range(0, min(len(doubtful), MOST_NAMES_A_LOOK), 1000):
            self.invalidate(doubtful[start : start + 1000])

    def close(self) -> None:
        self._watch.close()
        self._pool.disconnect()


class MasterClient(DefaultClient):  # type: ignore[misc]
    """Reads come from the master too: a replica may not have a deletion yet."""

    def watch(self) -> MasterWatch:
        return share(f"{self._server[0]} {self._options['SENTINELS']}", self._build_watch)

    def _build_watch(self) -> MasterWatch:
        return MasterWatch(self.get_client())

    def delete_many(
        self, keys: Iterable[str], version: int | None = None, client: Any = None
    ) -> int:
        """Returns how many there were; raises when any may still be there, and deletes it later."""
        names = [self.make_key(key, version=version) for key in keys]
        try:
            return self.watch().invalidate(names)
        except RedisError as error:
            raise ConnectionInterrupted(connection=client) from error

    def remember(self, keys: Iterable[str]) -> None:
        """Treat names that a script replaced or deleted like those of `delete_many`."""
        self.watch().remember([self.make_key(key) for key in keys])

    def touch(
        self,
        key: str,
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        client: Any = None,
    ) -> bool:
        try:
            return bool(super().touch(key, timeout, version, client))
        except RedisError as error:
            raise ConnectionInterrupted(connection=client) from error
