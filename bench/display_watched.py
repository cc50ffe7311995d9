"""What it costs to be watched: how soon an event is seen, and what those pay who are not."""

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, Final

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
    client: Any = store.client.get_client(write=True)  # type: ignore[attr-defined]
    each, batches = [], []
    with client.pubsub(ignore_subscribe_messages=True) as subscriber:
        subscriber.subscribe(*map(keys.name_live_channel, users))
        for _ in users:  # each subscription is acknowledged
            subscriber.get_message(timeout=1)
        for _ in range(rounds):
            events = [typist.finish_test() for typist in typists]
            with ThreadPoolExecutor(1) as listener:
                arrived = listener.submit(_await_all, subscriber, users)
                began = time.perf_counter()
                process_events(events)
                delays = [(at - began) * 1000 for at in arrived.result()]
            each += delays
            batches.append(max(delays))
            kept = store.get_many(map(keys.name_progress, users))
            assert len(kept) == len(users)
    hundredths = statistics.quantiles(each, n=100, method="inclusive")
    return {
        "p50_ms": hundredths[49], "p95_ms": hundredths[94], "p99_ms": hundredths[98],
        "batch_p50_ms": statistics.median(batches),
    }  # fmt: skip


def _await_all(subscriber: Any, users: Sequence[int]) -> list[float]:
    """When each user's message arrived."""
    arrived: dict[bytes, float] = {}
    while len(arrived) < len(users):
        message = subscriber.get_message(timeout=5)
        assert message is not None, f"{len(users) - len(arrived)} messages were lost"
        arrived.setdefault(message["channel"], time.perf_counter())
    return list(arrived.values())
