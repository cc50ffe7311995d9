"""Threads that commit and forget, and threads that read documents, while Redis is being hurt."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from statistics import quantiles
from typing import Self

from django.core.cache import cache as store

from achievements import cache, keys, metrics
from achievements.documents import Document, Stamp, decode_document
from achievements.filling import Built, Recipe, fetch_document
from deploy.local.redis_cluster import wait_until

FIRST_USER = 7_000_001
STALL_SECONDS = 0.1  # of this process; a server is given 0.25


class Load:
    """A dictionary of revisions stands for the database: a commit raises one by one.

    What a reader got counts as stale when it is older than what was committed, and forgotten,
    before it began to read.
    """

    def __init__(self, *, users: int = 200, writers: int = 2, readers: int = 4) -> None:
        self.users = range(FIRST_USER, FIRST_USER + users)
        self.revisions = dict.fromkeys(self.users, 1)
        self.forgotten = dict.fromkeys(self.users, 1)
        self.builds: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.stale_reads: list[tuple[float, int]] = []
        self.errors: list[BaseException] = []
        self.commits = 0
        self.longest_stall = 0.0
        self.stalls = 0
        self._locks = {user: threading.Lock() for user in self.users}
        self._counting = threading.Lock()
        self._are_writing = threading.Event()
        self._are_reading = threading.Event()
        self._threads = [
            *(threading.Thread(target=self._repeat, args=(self._are_writing, self._commit, 0.004))
              for _ in range(writers)),
            *(threading.Thread(target=self._repeat, args=(self._are_reading, self.read, 0.001))
              for _ in range(readers)),
            threading.Thread(target=self._watch_stalls),
        ]  # fmt: skip

    def _repeat(self, may_go_on: threading.Event, step, pause_seconds: float) -> None:
        chance = random.Random()
        while may_go_on.is_set():
            try:
                step(chance.choice(self.users))
            except BaseException as error:
                self.errors.append(error)
            time.sleep(pause_seconds)

    def _commit(self, user: int) -> None:
        self.commit([user])

    def commit(self, users: list[int]) -> None:
        for user in users:
            with self._locks[user]:
                self.revisions[user] += 1
        seen = {user: self.revisions[user] for user in users}
        cache.forget(map(keys.name_achievements, users))
        for user in users:
            with self._locks[user]:
                self.forgotten[user] = max(self.forgotten[user], seen[user])
        self.commits += 1

    def read(self, user: int) -> int:
        """The revision that a visitor is shown."""
        forgotten = self.forgotten[user]
        began = time.monotonic()
        document = self.fetch(user)
        ended = time.monotonic()
        self.seconds.append(ended - began)
        if document.revision < forgotten:
            self.stale_reads.append((ended, user))
        return document.revision

    def fetch(self, user: int) -> Document:
        recipe = Recipe(
            kind="test",
            edition=1,
            ttl_seconds=lambda stamp: 600,
            build=lambda names: {name: self._build(user) for name in names},
        )
        return fetch_document(keys.name_achievements(user), recipe)

    def _build(self, user: int) -> Built:
        with self._counting:
            self.builds[user] += 1
        revision = self.revisions[user]
        return Built(b'{"revision":%d}' % revision + b" " * 2000, Stamp(revision))

    def find_stale(self) -> list[int]:
        """Users whose document in the cache is older than the database."""
        names = {keys.name_achievements(user): user for user in self.users}
        found = {name: decode_document(store.get(name)) for name in names}
        return [
            names[name]
            for name, document in found.items()
            if document is not None and document.revision < self.revisions[names[name]]
        ]

    def count_cached(self) -> int:
        return sum(store.get(keys.name_achievements(user)) is not None for user in self.users)

    def warm(self) -> None:
        for user in self.users:
            self.read(user)

    def stop_writing(self) -> None:
        self._are_writing.clear()

    def count_builds_after(self, flush: Callable[[], None]) -> int:
        """How often the most built document was, once all were built again.

        A server that is late makes its readers build for themselves, and so may a machine that
        stood still for as long as servers are given: then once more.
        """
        for _ in range(5):
            before = self._count_disturbances()
            self.builds.clear()
            flush()
            wait_until(lambda: len(self.builds) == len(self.users))
            most = max(self.builds.values())
            if self._count_disturbances() == before:
                break
            time.sleep(2)
            wait_until(self.is_cached)
        return most

    def _count_disturbances(self) -> tuple[float, int]:
        return float(metrics.DOCUMENTS.labels("test", "away")._value.get()), self.stalls

    def check(self) -> None:
        """Every read was answered in a bounded time, and nothing was or stays too old.

        One timeout takes 0.25 s: what does not answer is soon left alone.
        """
        assert self.errors == []
        assert self.stale_reads == []
        assert len(self.seconds) > 200
        assert quantiles(self.seconds, n=20)[-1] < 0.2
        # After three seconds a reader is refused. What this process itself stood still is its own.
        assert max(self.seconds) < 2.9 + self.longest_stall
        wait_until(lambda: self.find_stale() == [], timeout_seconds=10)

    def is_cached(self) -> bool:
        """Whether the cache has every document again, after everyone looked."""
        self.warm()
        return self.count_cached() == len(self.users)

    def _watch_stalls(self) -> None:
        while self._are_reading.is_set():
            before = time.monotonic()
            time.sleep(0.01)
            stall = time.monotonic() - before - 0.01
            self.longest_stall = max(self.longest_stall, stall)
            self.stalls += stall > STALL_SECONDS

    def __enter__(self) -> Self:
        self._are_writing.set()
        self._are_reading.set()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._are_writing.clear()
        self._are_reading.clear()
        for thread in self._threads:
            thread.join()
