"""What REDIS_URL may be, and what is said when it is something else."""

import pytest

from config.environment import SettingError
from config.redis_cache import build_cache

pytest.importorskip("django_redis")


def test_one_server_is_taken_as_it_is() -> None:
    cache = build_cache("redis://user:secret@cache:6379/2", name="REDIS_URL")
    assert cache["LOCATION"] == "redis://user:secret@cache:6379/2"
    assert "CLIENT_CLASS" not in cache["OPTIONS"]


@pytest.mark.parametrize(
    ("url", "seeds", "is_encrypted"),
    [
        ("redis-cluster://a:7000", [("a", 7000)], False),
        ("redis-cluster://a:7000,10.0.0.2:7001/", [("a", 7000), ("10.0.0.2", 7001)], False),
        ("rediss-cluster://[fd00::1]:7000,b:7001/0", [("fd00::1", 7000), ("b", 7001)], True),
    ],
)
def test_a_cluster_is_reached_by_its_seeds(url, seeds, is_encrypted) -> None:
    options = build_cache(url, name="REDIS_URL")["OPTIONS"]
    assert options["SEEDS"] == seeds
    assert options["IS_ENCRYPTED"] is is_encrypted
    assert "PASSWORD" not in options


def test_sentinel_names_a_service_and_a_database() -> None:
    cache = build_cache("redis-sentinel://a:26379,b:26379/laurel/3", name="REDIS_URL")
    assert cache["LOCATION"] == ["redis://laurel/3"]
    assert cache["OPTIONS"]["SENTINELS"] == [("a", 26379), ("b", 26379)]


@pytest.mark.parametrize("kind", ["redis-cluster", "redis-sentinel"])
def test_the_password_is_apart_from_the_address(kind) -> None:
    cache = build_cache(
        f"{kind}://user:p%40ss%2Fword@a:1,b:2/laurel/0".replace(
            "/laurel/0", "" if kind == "redis-cluster" else "/laurel/0"
        ),
        name="REDIS_URL",
    )
    assert (cache["OPTIONS"]["USERNAME"], cache["OPTIONS"]["PASSWORD"]) == ("user", "p@ss/word")
    assert "word" not in str(cache["LOCATION"])


@pytest.mark.parametrize(
    "url",
    [
        "cache:6379",
        "http://:hidden@cache:6379",
        "redis-cluster://:hidden@",
        "redis-cluster://:hidden@cache",
        "redis-cluster://:hidden@cache:70000",
        "redis-cluster://:hidden@cache:1,,cache:2",
        "redis-cluster://:hidden@cache:1/5",
        "redis-cluster://:hidden@cache:1?timeout=7",
        "redis-sentinel://:hidden@cache:1",
        "redis-sentinel://:hidden@cache:1/laurel/x",
        "redis-sentinel://:hidden@cache:1/laurel/0?timeout=7",
    ],
)
def test_a_wrong_url_is_refused_and_not_repeated(url) -> None:
    with pytest.raises(SettingError, match="REDIS_URL") as caught:
        build_cache(url, name="REDIS_URL")
    assert "hidden" not in str(caught.value)
