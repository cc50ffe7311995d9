"""A steady stream: so many events a second, and how long each takes until it is committed."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.pipeline_consumers import Consumers, read_cpu_seconds
from bench.pipeline_topic import Topic, make_producer, produce
from bench.pipeline_users import Users
from bench.tap import read_latencies

TICK_SECONDS: Final = 0.01
WARM_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Paced:
    rate: float  # what was really published a second
    latencies_ms: list[float]  # ascending
    batch_count: int
    cores: dict[str, float]  # by process
    highest_lag: int
    last_lag: int

    def find_percentile(self, percent: float) -> float:
        return self.latencies_ms[
            min(len(self.latencies_ms) - 1, int(len(self.latencies_ms) * percent / 100))
        ]


def measure_paced(
    topic: Topic, users: Users, pids: Mapping[str, int], *, rate: int, seconds: float
) -> Paced:
    """Publish at an even pace while two consumers work.

    Latency is per event, from the producer's own time stamp (milliseconds) to the moment
    after the commit of its batch in the consumer. The start of the consumers is left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        tap = {"DJANGO_SETTINGS_MODULE": "bench.tapped_settings", "BENCH_TAP": folder}
        with Consumers(environment=tap) as consumers:
            workers = consumers.wait_for_pids()
            topic.fill(users.take(2_000))
            topic.wait_until(topic.published, timeout_seconds=60)
            time.sleep(3)  # both are in the group now
            _pace(topic, users, rate=rate, seconds=WARM_SECONDS)
            skipped = topic.published
            processes = {
                **pids,
                **{f"consumer {n}": pid for n, pid in enumerate(workers, start=1)},
            }
            before = {name: read_cpu_seconds(pid) for name, pid in processes.items()}
            own = time.process_time()
            started = time.monotonic()
            lags = _pace(topic, users, rate=rate, seconds=seconds)
            passed = time.monotonic() - started
            cores = {
                name: (read_cpu_seconds(pid) - before[name]) / passed
                for name, pid in processes.items()
            }
            cores["producer and observer"] = (time.process_time() - own) / passed
            published = topic.published - skipped
            topic.wait_until(topic.published, timeout_seconds=60)
        latencies = read_latencies(Path(folder), last=published)
    return Paced(published / passed, *latencies, cores, max(lags), lags[-1])


def _pace(topic: Topic, users: Users, *, rate: int, seconds: float) -> list[int]:
    """Publish; return the lag once a second."""
    producer = make_producer()
    lags = []
    started = time.monotonic()
    sent, look_due = 0, 1.0
    total = int(rate * seconds)
    while sent < total:
        passed = time.monotonic() - started
        due = min(total, int(passed * rate))
        for event in users.take(due - sent):
            produce(producer, event)
        topic.published += due - sent
        sent = due
        producer.poll(0)
        if passed >= look_due:
            look_due += 1.0
            lags.append(topic.published - topic.count_committed())
        time.sleep(TICK_SECONDS)
    assert producer.flush(30) == 0
    return lags
