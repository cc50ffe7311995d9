"""What it costs to be watched: how soon an event is seen, and what those pay who are not."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import IO, Final

from django.conf import settings
from django.core.cache import cache as store

from achievements import cache, keys, live
from achievements.engine import process_events
from achievements.shown import fetch_progress
from bench.workload import Typist

BATCH: Final = 500
FIRST_USER: Final = 600_000_001


def measure_unwatched(*, rounds: int = 200) -> dict[str, float]:
    """Microseconds an event: what a batch's effects cost with and without asking who is watched."""
    users = list(range(FIRST_USER, FIRST_USER + BATCH))
    names = [keys.name_progress(user) for user in users]
    spent: dict[str, list[float]] = {"dropping_documents": [], "asking_who_is_watched": []}
    for _ in range(rounds):
        began = time.process_time()
        cache.forget(names)
        middle = time.process_time()
        assert live.find_watched(users) == {}
        spent["dropping_documents"].append(middle - began)
        spent["asking_who_is_watched"].append(time.process_time() - middle)
    return {name: statistics.median(taken) * 1e6 / BATCH for name, taken in spent.items()}


def measure_followed(*, watched: int, rounds: int = 40) -> dict[str, float]:
    """Milliseconds from when a batch of 500 events is given to the engine until each is seen.

    That is when its user's message arrives at a subscriber: the document is renewed by then, and
    what moved is written. `batch` is when the last of a batch is seen.
    """
    typists = [Typist(FIRST_USER + BATCH + n, Random(n)) for n in range(BATCH)]
    process_events([typist.finish_test() for typist in typists])
    users = [typist.user_id for typist in typists[:watched]]
    for user in users:
        fetch_progress(user)
    channels = set(map(keys.name_live_channel, users))
    each, batches = [], []
    with listen(channels) as arrivals:
        for _ in range(rounds):
            events = [typist.finish_test() for typist in typists]
            began = time.perf_counter()
            process_events(events)
            seen: dict[str, float] = {}
            while len(seen) < len(users):
                line = arrivals.readline()
                assert line, f"{len(users) - len(seen)} messages were lost"
                channel, at = line.split()
                seen.setdefault(channel, (float(at) - began) * 1000)
            assert seen.keys() == channels
            each += seen.values()
            batches.append(max(seen.values()))
            kept = store.get_many(map(keys.name_progress, users))
            assert len(kept) == len(users)
    hundredths = statistics.quantiles(each, n=100, method="inclusive")
    return {
        "p50_ms": hundredths[49], "p95_ms": hundredths[94], "p99_ms": hundredths[98],
        "batch_p50_ms": statistics.median(batches),
    }  # fmt: skip


@contextmanager
def listen(channels: Iterable[str]) -> Iterator[IO[str]]:
    """Yield the lines of a listener in a process of its own, once it hears the channels."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.listener", settings.REDIS_URL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(*channels, file=process.stdin, flush=True)
            assert process.stdout.readline() == "ready\n"
            yield process.stdout
        finally:
            process.kill()
