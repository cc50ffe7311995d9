"""Cached documents: layout, one filler, no older document after a newer commit, a cache away."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache as store

from achievements import cache
from achievements.documents import (
    Stamp,
    build_document,
    decode_document,
    encode_document,
    fetch_document,
)

NAME = cache.name_achievements(12345)


class Source:
    """What the database would hold, and how often it was asked."""

    def __init__(self) -> None:
        self.stamp = Stamp(1)
        self.builds = 0

    def read_stamp(self) -> Stamp:
        return self.stamp

    def build(self) -> bytes:
        self.builds += 1
        return b'{"revision":%d}' % self.stamp.revision

    def fetch(self, **options: Any) -> bytes:
        options = {"edition": 1, "build": self.build, "ttl_seconds": 60, **options}
        return fetch_document(NAME, read_stamp=self.read_stamp, **options).body


@pytest.fixture
def source() -> Source:
    return Source()


def test_the_names_are_the_documented_ones() -> None:
    assert cache.name_achievements(12345) == "user:{12345}:achievements"
    assert cache.name_progress(12345) == "user:{12345}:achievement_progress"
    assert cache.name_live_progress(12345, 7) == "user:{12345}:achievement:7:progress"
    assert cache.name_recommended(12345) == "user:{12345}:recommended_achievements"
    assert cache.name_personal(12345) == "user:{12345}:personal_achievements"
    assert cache.name_definition("quick") == "achievement:quick"
    assert (cache.CATALOGUE, cache.RULEBOOK) == ("achievements:all", "achievements:rulebook")


@pytest.mark.parametrize("is_private", [True, False])
@pytest.mark.parametrize("revision", [0, 1, 2**62])
def test_the_layout_is_fixed_ascii_before_the_body(is_private: bool, revision: int) -> None:
    body = '{"name":"Löwe"}'.encode()
    document = build_document(body, stamp=Stamp(revision, is_private), edition=7)
    encoded = encode_document(document)
    assert len(encoded) == 52 + len(body)
    assert encoded[:3] == (b"L1p" if is_private else b"L1o")
    assert encoded[51:] == b"\n" + body
    assert decode_document(encoded) == document


@pytest.mark.parametrize(
    "value", [None, b"", b"L1", b"L2" + b"0" * 60, b"L1o" + b"z" * 60, "text", 7, {}]
)
def test_anything_else_is_a_miss(value: Any, source: Source) -> None:
    assert decode_document(value) is None
    if value is not None:
        store.set(NAME, value)
    assert source.fetch() == b'{"revision":1}'


def test_a_hit_builds_nothing(source: Source) -> None:
    assert source.fetch() == source.fetch()
    assert source.builds == 1


def test_another_edition_or_age_is_a_miss(source: Source) -> None:
    source.fetch()
    source.fetch(edition=2)
    assert source.builds == 2
    source.fetch(edition=2, fresh_seconds=300)
    assert source.builds == 2
    source.fetch(edition=2, fresh_seconds=-1)
    assert source.builds == 3


def test_an_older_document_never_outlives_a_newer_commit(source: Source) -> None:
    def build_while_another_commits() -> bytes:
        body = source.build()
        source.stamp = Stamp(2)
        cache.forget_achievements([12345])  # after the commit, before the document is set
        return body

    assert source.fetch(build=build_while_another_commits) == b'{"revision":1}'
    assert store.get(NAME) is None
    assert source.fetch() == b'{"revision":2}'


def test_closing_a_profile_while_it_is_filled_leaves_nothing(source: Source) -> None:
    def build_while_the_owner_closes_it() -> bytes:
        body = source.build()
        source.stamp = Stamp(1, is_private=True)
        return body

    source.fetch(build=build_while_the_owner_closes_it)
    assert store.get(NAME) is None


def test_a_failed_build_leaves_no_lock(source: Source) -> None:
    def fail() -> bytes:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            source.fetch(build=fail)
    assert source.fetch() == b'{"revision":1}'


def test_a_cold_name_is_filled_once(source: Source) -> None:
    barrier = threading.Barrier(8)
    bodies: list[bytes] = []

    def build_slowly() -> bytes:
        time.sleep(0.05)
        return source.build()

    def read() -> None:
        barrier.wait()
        bodies.append(source.fetch(build=build_slowly))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [b'{"revision":1}'] * 8
    assert source.builds <= 2


@pytest.fixture
def switch_cache_off(settings: Any) -> Iterator[Any]:
    working = settings.CACHES

    def switch(is_off: bool) -> None:
        settings.CACHES = (
            {
                "default": {
                    **working["default"],
                    "BACKEND": "django_redis.cache.RedisCache",
                    "LOCATION": "redis://127.0.0.1:9/0",
                    "OPTIONS": {
                        "SERIALIZER": "config.redis_serializer.DocumentSerializer",
                        "IGNORE_EXCEPTIONS": True,
                    },
                }
            }
            if is_off
            else working
        )

    yield switch
    switch(False)
    cache.forget(())


def test_a_cache_that_is_away_is_a_miss_and_no_wait(source: Source, switch_cache_off: Any) -> None:
    switch_cache_off(True)
    started = time.monotonic()
    for _ in range(3):
        assert source.fetch() == b'{"revision":1}'
    assert time.monotonic() - started < 1
    assert source.builds == 3


def test_what_an_absent_cache_missed_is_deleted_later(
    source: Source, switch_cache_off: Any
) -> None:
    source.fetch()
    switch_cache_off(True)
    source.stamp = Stamp(2)
    cache.forget_achievements([12345])
    switch_cache_off(False)
    assert source.fetch() == b'{"revision":2}'


def test_a_slow_cache_is_left_alone_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer_slowly() -> str:
        asked.append(1)
        time.sleep(0.21)
        return "value"

    monkeypatch.setattr(cache._Breaker, "slow_in_a_row", 0)
    monkeypatch.setattr(cache._Breaker, "closed_until", 0.0)
    answers = [cache.call(answer_slowly) for _ in range(4)]
    assert answers == ["value", "value", None, None]
    assert len(asked) == 2


def test_the_published_rulebook_is_kept_by_version() -> None:
    cache.write_rulebook(3, {"definitions": [1]})
    assert cache.read_rulebook(3) == {"definitions": [1]}
    assert cache.read_rulebook(4) is None
