"""A Redis that answers late, or not to the end: afterwards nothing is old, and no lease is left."""

import os
import time
from collections.abc import Iterator, Sequence
from statistics import quantiles
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache as store

from achievements import keys
from achievements.documents import Stamp
from achievements.filling import Built, Recipe, fetch_documents, refresh_documents
from config.redis_cache import build_cache
from deploy.local.redis_cluster import wait_until
from tests.faults.cache_load import Load
from tests.slow_proxy import SlowProxy

pytestmark = pytest.mark.real


@pytest.fixture
def proxy(
    settings, monkeypatch: pytest.MonkeyPatch, impatient_with_the_cache: None
) -> Iterator[SlowProxy]:
    """In front of the real Redis of these tests."""
    monkeypatch.setattr("achievements.outage.KEPT_SECONDS", 0)
    url = urlsplit(os.environ["REDIS_URL"])
    assert url.port is not None
    with SlowProxy(port=url.port) as proxy:
        through = url._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()
        settings.CACHES = {"default": build_cache(through, name="REDIS_URL")}
        yield proxy


@pytest.mark.django_db
def test_it_is_left_alone_and_comes_back(proxy: SlowProxy, client) -> None:
    load = Load(readers=4)
    load.warm()
    with load:
        time.sleep(0.3)
        load.seconds.clear()
        proxy.seconds = 0.5
        time.sleep(3)
        slow = list(load.seconds)
        response = client.get("/readyz")
        proxy.seconds = 0
        load.stop_writing()
        time.sleep(2.5)  # what was missed meanwhile is deleted
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert len(slow) > 200
    # The timeout is 0.25 s: one answer in a second shows that it is still slow.
    assert quantiles(slow, n=20)[-1] < 0.2
    load.check()
    wait_until(load.is_cached)


def test_an_answer_that_breaks_off_leaves_no_lease(proxy: SlowProxy) -> None:
    """All leases were put, and nobody was told."""
    names = [keys.name_achievements(user) for user in range(1, 51)]
    built: list[str] = []

    def build(asked: Sequence[str]) -> dict[str, Built]:
        built.extend(asked)
        return {name: Built(b"{}", Stamp(1)) for name in asked}

    recipe = Recipe(kind="test", edition=1, ttl_seconds=lambda _: 60, build=build)
    assert store.get("a-connection-is-open") is None
    proxy.break_off(after=30)  # of the leases' answers
    assert refresh_documents(names, recipe).keys() == set(names)
    assert proxy.answer_bytes is None
    assert store.get_many(names) == {}
    fetch_documents(names, recipe)
    assert len(built) == 100
    assert store.get_many(names).keys() == set(names)
