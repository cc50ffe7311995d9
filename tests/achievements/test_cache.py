"""The cache itself: many changes in one trip, and one that is slow."""

import time
from typing import Any

import pytest
from django.core.cache import cache as store

from achievements import cache
from achievements.cache import Change


def test_what_is_expected_decides_each_change_by_itself() -> None:
    store.set("kept", b"old:1", 60)
    store.set("others", b"new:1", 60)
    store.set("dropped", b"old:2", 60)
    changes = (
        Change("kept", b"old:", b"new:2", 60),
        Change("others", b"old:", b"new:3", 60),
        Change("absent", b"old:", b"new:4", 60),
        Change("dropped", b"old:2"),
        Change("free", b"", b"lease", 60),
        Change("kept", b"", b"lease", 60),
    )
    assert cache.change(changes) == [True, False, False, True, True, False]
    names = ("kept", "others", "absent", "dropped", "free")
    assert store.get_many(names) == {"kept": b"new:2", "others": b"new:1", "free": b"lease"}


@pytest.mark.real
def test_one_change_that_fails_leaves_the_others() -> None:
    client: Any = store.client.get_client(write=True)  # type: ignore[attr-defined]
    client.lpush("a-list", 1)  # what GETRANGE refuses
    try:
        store.set("one", b"old", 60)
        changes = (
            Change("a-list", b"old", b"new", 60),
            Change("one", b"old", b"new", 60),
            Change("free", b"", b"lease", 60),
        )
        assert cache.change(changes) == [None, True, True]
    finally:
        client.delete("a-list")


@pytest.mark.usefixtures("impatient_with_the_cache")
def test_a_slow_cache_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer_slowly() -> str:
        asked.append(1)
        time.sleep(0.21)
        return "value"

    monkeypatch.setattr(cache._Breaker, "rest_seconds", 60.0)
    answers = [cache.call(answer_slowly) for _ in range(4)]
    assert answers == ["value", "value", None, None]
    assert len(asked) == 2


def test_the_published_rulebook_is_kept_by_version() -> None:
    cache.write_rulebook(3, {"definitions": [1]})
    assert cache.read_rulebook(3) == {"definitions": [1]}
    assert cache.read_rulebook(4) is None
