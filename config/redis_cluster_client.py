"""Django's cache in a Redis Cluster."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.client.default import DefaultClient
from django_redis.exceptions import ConnectionInterrupted
from django_redis.pool import ConnectionFactory
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from config.redis_cluster import BoundedCluster
from config.redis_shared import share


class ClusterFactory(ConnectionFactory):  # type: ignore[misc]
    """One client of the cluster for all threads of a process."""

    def connect(self, url: str) -> BoundedCluster:
        return share(url, self._build)

    def disconnect(self, connection: BoundedCluster) -> None:
        """It is shared: other threads go on with it."""

    def _build(self) -> BoundedCluster:
        options = self.options
        return BoundedCluster(
            options["SEEDS"],
            timeout_seconds=options["SOCKET_TIMEOUT"],
            username=options.get("USERNAME"),
            password=options.get("PASSWORD"),
            ssl=options.get("IS_ENCRYPTED", False),
        )


class ClusterClient(DefaultClient):  # type: ignore[misc]
    """Many names go to each master at once. What one master does not answer is a miss; what it
    was not seen to delete raises, so that the deletion can be made up for.
    """

    def get_client(self, write: bool = True, tried: list[int] | None = None) -> BoundedCluster:
        connected: BoundedCluster = self.connection_factory.connect(self._server[0])
        return connected

    def get_client_with_index(
        self, write: bool = True, tried: list[int] | None = None
    ) -> tuple[BoundedCluster, int]:
        return self.get_client(), 0

    def get_many(
        self, keys: Iterable[str], version: int | None = None, client: Any = None
    ) -> dict[str, Any]:
        names = list(keys)
        batch = (client or self.get_client()).pipeline()
        for name in names:
            batch.get(self.make_key(name, version=version))
        values = self._execute(batch, client)
        return {
            name: self.decode(value)
            for name, value in zip(names, values, strict=True)
            if value is not None and not isinstance(value, Exception)
        }

    def set_many(
        self,
        data: Mapping[str, Any],
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        client: Any = None,
    ) -> list[str]:
        """Returns the names that could not be set, as Django says."""
        batch = (client or self.get_client()).pipeline()
        for name, value in data.items():
            self.set(name, value, timeout, version=version, client=batch)
        values = self._execute(batch, client)
        return [
            name for name, value in zip(data, values, strict=True) if isinstance(value, Exception)
        ]

    def delete_many(
        self, keys: Iterable[str], version: int | None = None, client: Any = None
    ) -> int:
        """Returns how many there were; raises when any may still be there, and deletes it later."""
        names = [self.make_key(key, version=version) for key in keys]
        deleted, missed = (client or self.get_client()).invalidate(names)
        if missed:
            text = f"{len(missed)} of {len(names)} names were not deleted."
            raise ConnectionInterrupted(connection=client) from RedisConnectionError(text)
        return int(deleted)

    def remember(self, keys: Iterable[str]) -> None:
        """Treat names that a script replaced or deleted like those of `delete_many`."""
        self.get_client().remember([self.make_key(key) for key in keys])

    def clear(self, client: Any = None) -> None:
        try:
            (client or self.get_client()).flush()
        except RedisError as error:
            raise ConnectionInterrupted(connection=client) from error

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

    def _execute(self, batch: Any, client: Any) -> list[Any]:
        """Raises when nothing at all was answered."""
        values: list[Any] = batch.execute(raise_on_error=False)
        if values and all(isinstance(value, Exception) for value in values):
            raise ConnectionInterrupted(connection=client) from values[0]
        return values
