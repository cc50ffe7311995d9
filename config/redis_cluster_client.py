"""Django's cache in a Redis Cluster."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from config.redis_cluster import BoundedCluster
from config.redis_failover import Deleted, Failover, FailoverClient
from config.redis_shared import share


class ClusterFailover(Failover):
    def __init__(self, cluster: BoundedCluster) -> None:
        super().__init__()
        self.cluster = cluster
        cluster.on_trouble = self.hurry
        self.thread.start()

    def refresh(self) -> int:
        return self.cluster.refresh_map()

    def find_server(self, name: str) -> str | None:
        try:
            return str(self.cluster.find_node(name).name)
        except RedisConnectionError:
            return None

    def is_reachable(self, name: str) -> bool:
        server = self.find_server(name)
        return server is not None and not self.cluster.is_resting(server)

    def delete(self, names: Sequence[str]) -> Deleted:
        answers = self.cluster.send([(("DEL", name), {}) for name in names])
        counts = [answer.value if isinstance(answer.value, int) else None for answer in answers]
        return Deleted(
            sum(count or 0 for count in counts),
            [
                None if count is None else answer.server
                for count, answer in zip(counts, answers, strict=True)
            ],
        )

    def close(self) -> None:
        super().close()
        self.cluster.close()


class ClusterClient(FailoverClient):
    """Many names go to each master at once. What one master does not answer is a miss; what it
    was not seen to delete raises, so that the deletion can be made up for.
    """

    def follow(self) -> ClusterFailover:
        return share(self._server[0], self._build)

    def _build(self) -> ClusterFailover:
        options = self._options
        cluster = BoundedCluster(
            options["SEEDS"],
            timeout_seconds=options["SOCKET_TIMEOUT"],
            username=options.get("USERNAME"),
            password=options.get("PASSWORD"),
            ssl=options.get("IS_ENCRYPTED", False),
        )
        return ClusterFailover(cluster)

    def get_client(self, write: bool = True, tried: list[int] | None = None) -> BoundedCluster:
        return self.follow().cluster

    def get_client_with_index(
        self, write: bool = True, tried: list[int] | None = None
    ) -> tuple[BoundedCluster, int]:
        return self.get_client(), 0

    def read_many(
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

    def clear(self, client: Any = None) -> None:
        try:
            (client or self.get_client()).flush()
        except RedisError as error:
            raise ConnectionInterrupted(connection=client) from error

    def _execute(self, batch: Any, client: Any) -> list[Any]:
        """Raises when nothing at all was answered."""
        values: list[Any] = batch.execute(raise_on_error=False)
        if values and all(isinstance(value, Exception) for value in values):
            raise ConnectionInterrupted(connection=client) from values[0]
        return values
