import pytest
from django.core.cache import cache

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    "value",
    [
        b'{"userId":12345}',
        b"",
        b"\x00j looks marked",
        b"\xff\xfe not text",
        {"a": [1, 2.5, None, "ü"]},
        [],
        "text",
        "12",
        7,
        True,
        None,
    ],
    ids=repr,
)
def test_a_value_comes_back_as_it_was(value) -> None:
    cache.set("name", value)
    back = cache.get("name", "missing")
    assert back == value
    assert type(back) is type(value)


def test_the_name_and_the_bytes_in_redis_are_exactly_ours() -> None:
    from django_redis import get_redis_connection

    cache.set("user:{12345}:achievements", b'{"userId":12345}', timeout=60)
    redis = get_redis_connection()
    assert redis.get("user:{12345}:achievements") == b'{"userId":12345}'
    assert 0 < redis.ttl("user:{12345}:achievements") <= 60


def test_many_values_go_at_once() -> None:
    cache.set_many({"a": b"1a", "b": {"x": 1}})
    assert cache.get_many(["a", "b", "c"]) == {"a": b"1a", "b": {"x": 1}}


def test_a_counter_counts() -> None:
    cache.set("count", 1)
    assert cache.incr("count", 2) == 3
