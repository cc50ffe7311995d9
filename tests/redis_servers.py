"""Fixtures of a real Redis Cluster and of Redis under Sentinel, started once for all tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from deploy.local.redis_cluster import RedisCluster
from deploy.local.redis_sentinel import RedisSentinel


@pytest.fixture
def impatient_with_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As outside of tests: what is slow twice in a row is left alone."""
    monkeypatch.setattr("achievements.cache.SLOW_SECONDS", 0.2)


@pytest.fixture(scope="session")
def _cluster_servers() -> Iterator[RedisCluster]:
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _sentinel_servers() -> Iterator[RedisSentinel]:
    with RedisSentinel() as servers:
        yield servers


@contextmanager
def _as_cache(url: str, settings: Any) -> Iterator[None]:
    from config.redis_cache import build_cache
    from config.redis_shared import close_shared

    settings.REDIS_URL = url
    settings.CACHES = {"default": build_cache(url, name="REDIS_URL")}
    yield
    close_shared()


@pytest.fixture
def redis_cluster(
    _cluster_servers: RedisCluster, settings: Any, impatient_with_the_cache: None
) -> Iterator[RedisCluster]:
    """A whole and empty cluster that is the cache; the test may kill what it likes."""
    _cluster_servers.restore()
    with _as_cache(_cluster_servers.url, settings):
        yield _cluster_servers


@pytest.fixture
def redis_sentinel(
    _sentinel_servers: RedisSentinel, settings: Any, impatient_with_the_cache: None
) -> Iterator[RedisSentinel]:
    """A whole and empty set of servers that is the cache; the test may kill what it likes."""
    _sentinel_servers.restore()
    with _as_cache(_sentinel_servers.url, settings):
        yield _sentinel_servers
