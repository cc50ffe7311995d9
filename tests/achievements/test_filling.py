"""Filling: one filler, no older document after a newer commit, a cache away."""

import threading
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import cache as store

from achievements import cache, filling, keys
from achievements.debts import Debts
from achievements.documents import (
    Stamp,
    build_document,
    decode_document,
)
from achievements.errors import StillFilled
from achievements.filling import Built, Recipe, fetch_document, fetch_documents, is_due

NAME = keys.name_achievements(12345)


class Source:
    """What the database would hold, and how often it was asked."""

    def __init__(self) -> None:
        self.stamp = Stamp(1)
        self.builds = 0

    def build(self, names: Sequence[str]) -> dict[str, Built]:
        self.builds += 1
        return {n: Built(b'{"revision":%d}' % self.stamp.revision, self.stamp) for n in names}

    def commit(self, stamp: Stamp) -> None:
        self.stamp = stamp
        cache.forget([NAME])

    def fetch(self, **options: Any) -> bytes:
        given = {"kind": "test", "edition": 1, "build": self.build, "ttl_seconds": lambda _: 60}
        return fetch_document(NAME, Recipe(**{**given, **options})).body


@pytest.fixture
def source() -> Source:
    return Source()


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


def test_a_commit_while_a_document_is_made_wins(source: Source) -> None:
    """Barriers hold the filler between its reading and its writing, where the race is lost."""
    has_read, has_committed = threading.Barrier(2), threading.Barrier(2)

    def build_slowly(names: Sequence[str]) -> dict[str, Built]:
        built = source.build(names)
        has_read.wait(30)
        has_committed.wait(30)
        return built

    bodies: list[bytes] = []
    filler = threading.Thread(target=lambda: bodies.append(source.fetch(build=build_slowly)))
    filler.start()
    has_read.wait(30)
    source.commit(Stamp(2))
    has_committed.wait(30)
    filler.join()
    assert bodies == [b'{"revision":1}']  # what this reader asked for was true when it asked
    assert decode_document(store.get(NAME)) is None
    assert source.fetch() == b'{"revision":2}'


def test_a_filler_that_lost_its_lease_covers_nothing_up(source: Source) -> None:
    def build_while_another_commits_and_fills(names: Sequence[str]) -> dict[str, Built]:
        built = source.build(names)
        source.commit(Stamp(2))
        assert source.fetch() == b'{"revision":2}'
        return built

    assert source.fetch(build=build_while_another_commits_and_fills) == b'{"revision":1}'
    kept = decode_document(store.get(NAME))
    assert kept is not None
    assert kept.revision == 2


def test_an_early_refresh_covers_nothing_up_either(source: Source) -> None:
    source.fetch()

    def build_while_another_commits(names: Sequence[str]) -> dict[str, Built]:
        built = source.build(names)
        source.commit(Stamp(2))
        return built

    source.fetch(build=build_while_another_commits, fresh_seconds=-1)
    assert store.get(NAME) is None


def test_closing_a_profile_while_it_is_filled_leaves_nothing(source: Source) -> None:
    def build_while_the_owner_closes_it(names: Sequence[str]) -> dict[str, Built]:
        built = source.build(names)
        source.commit(Stamp(1, is_private=True))
        return built

    source.fetch(build=build_while_the_owner_closes_it)
    assert store.get(NAME) is None


def test_a_failed_build_leaves_no_lease(source: Source) -> None:
    def fail(names: Sequence[str]) -> dict[str, Built]:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            source.fetch(build=fail)
    assert store.get(NAME) is None
    assert source.fetch() == b'{"revision":1}'


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits takes the filler for alive, however long this machine stalls."""
    monkeypatch.setattr(filling, "_HELP_AFTER_SECONDS", 60.0)
    monkeypatch.setattr(filling, "MOST_WAIT_SECONDS", 60.0)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("state", ["cold", "of an older edition", "about to end"])
def test_of_many_readers_one_fills(source: Source, state: str) -> None:
    if state != "cold":
        source.fetch(edition=0 if state == "of an older edition" else 1)
    before = source.builds
    barrier = threading.Barrier(24)
    bodies: list[bytes] = []

    def build_slowly(names: Sequence[str]) -> dict[str, Built]:
        time.sleep(0.3)
        return source.build(names)

    def read() -> None:
        barrier.wait()
        fresh_seconds = -1 if state == "about to end" else None
        bodies.append(source.fetch(build=build_slowly, fresh_seconds=fresh_seconds))

    threads = [threading.Thread(target=read) for _ in range(24)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [b'{"revision":1}'] * 24
    assert source.builds - before <= 2
    assert time.monotonic() - started < 6  # one after the other would take 7.2


def test_a_lease_of_somebody_who_died_is_waited_for_a_second(source: Source) -> None:
    store.set(NAME, b"lease:dead", 600)
    started = time.monotonic()
    assert source.fetch() == b'{"revision":1}'
    assert time.monotonic() - started > 0.9
    assert decode_document(store.get(NAME)) is not None


class SlowReaders:
    """Many who read one name at once while the database does not answer until `answer` is set."""

    def __init__(self, source: Source, number: int = 12) -> None:
        self.source = source
        self.answer = threading.Event()
        self.bodies: list[bytes] = []
        self.refused: list[StillFilled] = []
        self.threads = [threading.Thread(target=self._read) for _ in range(number)]
        for thread in self.threads:
            thread.start()

    def _build(self, names: Sequence[str]) -> dict[str, Built]:
        built = self.source.build(names)
        assert self.answer.wait(10)
        return built

    def _read(self) -> None:
        try:
            self.bodies.append(self.source.fetch(build=self._build))
        except StillFilled as error:
            self.refused.append(error)

    def join(self) -> None:
        self.answer.set()
        for thread in self.threads:
            thread.join(10)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_HELP_AFTER_SECONDS", 0.1)
    monkeypatch.setattr(filling, "MOST_WAIT_SECONDS", 0.5)


@pytest.mark.usefixtures("hurried")
def test_beside_a_slow_filler_one_more_fills_and_nobody_waits_for_long(source: Source) -> None:
    readers = SlowReaders(source)
    for thread in readers.threads:
        thread.join(0.1)
    deadline = time.monotonic() + 10
    while len(readers.refused) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(readers.refused) == 10
    assert source.builds == 2
    readers.join()
    assert readers.bodies == [b'{"revision":1}'] * 2
    assert decode_document(store.get(NAME)) is not None


@pytest.mark.usefixtures("hurried")
def test_who_helps_covers_no_commit_up(source: Source) -> None:
    readers = SlowReaders(source)
    deadline = time.monotonic() + 10
    while source.builds < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    source.commit(Stamp(2))
    readers.join()
    kept = decode_document(store.get(NAME))
    assert kept is None or kept.revision == 2
    assert source.fetch() == b'{"revision":2}'


@pytest.mark.usefixtures("hurried")
def test_of_many_names_those_that_others_fill_are_waited_for_together(source: Source) -> None:
    names = [keys.name_achievements(user) for user in range(1, 21)]
    for name in names:
        store.set(name, b"lease:slow", 60)
        store.set(f"{name}:help", 1, 60)
    recipe = Recipe(kind="test", edition=1, ttl_seconds=lambda _: 60, build=source.build)
    started = time.monotonic()
    with pytest.raises(StillFilled):
        fetch_documents(names, recipe)
    assert time.monotonic() - started < 5  # one wait of half a second, not twenty


def test_a_document_is_refreshed_before_it_ends_the_likelier_the_nearer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = Recipe(kind="t", edition=1, ttl_seconds=lambda _: 60, build=lambda names: {})
    document = build_document(b"{}", stamp=Stamp(1), edition=1, ttl_seconds=3600)

    def count_due(seconds_left: float) -> int:
        now = document.expires_at - seconds_left
        monkeypatch.setattr("achievements.filling.time.time", lambda: now)
        return sum(is_due(document, recipe) for _ in range(2_000))

    counts = [count_due(seconds) for seconds in (60, 3, 1, 0.1)]
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert 0.3 < counts[2] / 2_000 < 0.45  # exp(-1)
    assert counts[3] > 1_700


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


def never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(seconds: float) -> None:
        pytest.fail("waits")

    # For this module alone: other threads may sleep.
    clock = SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=fail)
    monkeypatch.setattr(filling, "time", clock)


def test_a_cache_that_is_away_is_a_miss_and_no_wait(
    source: Source, switch_cache_off: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_cache_off(True)
    never_waits(monkeypatch)
    for _ in range(3):
        assert source.fetch() == b'{"revision":1}'
    # Kept by this process for a moment: not every reader may go to the database.
    assert source.builds == 1


def test_what_an_absent_cache_missed_is_deleted_later(
    source: Source, switch_cache_off: Any
) -> None:
    source.fetch()
    switch_cache_off(True)
    source.commit(Stamp(2))
    switch_cache_off(False)
    assert source.fetch() == b'{"revision":2}'


def test_what_an_absent_cache_missed_is_deleted_also_when_this_process_asks_nothing(
    source: Source, switch_cache_off: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others read it: the edge, other web processes."""
    monkeypatch.setattr("achievements.debts.PAY_SECONDS", 0.05)
    source.fetch()
    switch_cache_off(True)
    source.commit(Stamp(2))
    switch_cache_off(False)
    deadline = time.monotonic() + 10
    while store.get(NAME) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert store.get(NAME) is None


def test_a_lease_that_an_absent_cache_kept_is_not_waited_for(
    source: Source, switch_cache_off: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(names: Sequence[str]) -> dict[str, Built]:
        switch_cache_off(True)
        return source.build(names)

    monkeypatch.setattr(cache, "_debts", Debts(pay=lambda: None))  # not paid before we look
    source.fetch(build=build)
    switch_cache_off(False)
    assert store.get(NAME).startswith(b"lease:")
    never_waits(monkeypatch)
    source.fetch()
    assert decode_document(store.get(NAME)) is not None


def test_what_another_release_wrote_is_replaced_at_once(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.set(NAME, b"L1o" + b"0" * 60, 60)
    never_waits(monkeypatch)
    assert source.fetch() == b'{"revision":1}'
    assert decode_document(store.get(NAME)) is not None


def test_a_newer_edition_than_ours_is_left_alone(source: Source) -> None:
    source.fetch(edition=2)
    source.fetch(edition=1)
    assert source.builds == 1


def test_a_refresh_that_fails_leaves_the_reader_what_there_is(source: Source) -> None:
    source.fetch()

    def fail(names: Sequence[str]) -> dict[str, Built]:
        raise LookupError

    assert source.fetch(build=fail, fresh_seconds=-1) == b'{"revision":1}'


@pytest.mark.usefixtures("patient")
def test_of_many_who_read_many_one_fills_each() -> None:
    names = [keys.name_achievements(user) for user in range(1, 9)]
    built: list[str] = []

    def build(asked: Sequence[str]) -> dict[str, Built]:
        built.extend(asked)
        time.sleep(0.1)
        return {name: Built(b"{}", Stamp(1)) for name in asked}

    recipe = Recipe(kind="test", edition=1, ttl_seconds=lambda _: 60, build=build)
    barrier = threading.Barrier(8)

    def read() -> None:
        barrier.wait()
        assert fetch_documents(names, recipe).keys() == set(names)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(built) == sorted(names)
