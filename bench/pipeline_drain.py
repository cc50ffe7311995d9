"""Draining backlogs: ours, one task an event, the burst's lag curve, memory over a long run."""

import os
import sys
import time
from collections.abc import Iterable
from itertools import islice, pairwise
from typing import Final, NamedTuple

from achievements.models import UserProgress
from bench.celery_drain import ROOT, PerEventWorker, measure_rate
from bench.celery_per_event import app as per_event_app
from bench.celery_per_event import check
from bench.pipeline_consumers import Consumers, read_cpu_seconds, read_memory_mib
from bench.pipeline_topic import Topic
from bench.pipeline_users import Taken, Users

FIRST_EVENTS: Final = 1_000  # while the second consumer is still starting
TIMEOUT_SECONDS: Final = 600.0


class Drained(NamedTuple):
    rate: float  # events a second, from the first commits to the last
    whole_seconds: float  # with the start of the processes
    curve: list[tuple[float, int]]  # seconds since the first commits, events left
    cpu_microseconds: dict[str, float]  # an event, by process


def drain(
    topic: Topic,
    events: Iterable[Taken],
    pids: dict[str, int],
    *,
    environment: dict[str, str] | None = None,
) -> Drained:
    """Publish a backlog, then start two consumers on it and watch until all is committed."""
    base = topic.published
    topic.fill(events)
    started = time.monotonic()
    with Consumers(environment=environment) as consumers:
        workers = consumers.wait_for_pids()
        topic.wait_until(base + FIRST_EVENTS, timeout_seconds=TIMEOUT_SECONDS)
        processes = {**pids, **{f"consumer {n}": pid for n, pid in enumerate(workers, start=1)}}
        before = {name: read_cpu_seconds(pid) for name, pid in processes.items()}
        looks = topic.wait_until(topic.published, timeout_seconds=TIMEOUT_SECONDS)
        after = {name: read_cpu_seconds(pid) for name, pid in processes.items()}
    (first_at, first), (last_at, last) = looks[0], looks[-1]
    return Drained(
        rate=(last - first) / (last_at - first_at),
        whole_seconds=last_at - started,
        curve=[(at - first_at, topic.published - committed) for at, committed in looks],
        cpu_microseconds={
            name: (after[name] - before[name]) * 1e6 / (last - first) for name in processes
        },
    )


def drain_tasks(users: Users, count: int) -> float:
    """The baseline: a Celery worker of two slots, a task an event; returns events a second."""
    events = list(users.take_next(count))
    with per_event_app.connection_for_write() as connection:
        for event in events:
            check.apply_async((event.body.decode(),), connection=connection)
    user_ids = [event.user_id for event in events]
    unchecked = UserProgress.objects.filter(user_id__in=user_ids, revision=1)
    worker = PerEventWorker(python=sys.executable, root=ROOT, environment=os.environ, slots=2)
    with worker:
        return measure_rate(unchecked.count)


def take_burst(topic: Topic, events: Iterable[Taken]) -> list[tuple[float, int]]:
    """Let two idle consumers meet a burst; return (seconds since it began, events that wait)."""
    with Consumers() as consumers:
        consumers.wait_for_pids()
        events = iter(events)
        topic.fill(islice(events, FIRST_EVENTS))
        topic.wait_until(topic.published, timeout_seconds=TIMEOUT_SECONDS)
        time.sleep(3)  # both are in the group now
        base = topic.published
        started = time.monotonic()
        topic.fill(events)
        curve = [(0.0, 0), (time.monotonic() - started, topic.published - base)]
        looks = topic.wait_until(topic.published, timeout_seconds=TIMEOUT_SECONDS)
        curve[-1] = (looks[0][0] - started, topic.published - looks[0][1])
        curve += [(at - started, topic.published - committed) for at, committed in looks[1:]]
    return curve


def is_falling(curve: list[tuple[float, int]]) -> bool:
    """Whether the lag never grows again after its peak."""
    lags = [lag for _, lag in curve]
    ending = lags[lags.index(max(lags)) :]
    return all(later <= earlier for earlier, later in pairwise(ending))


def watch_memory(topic: Topic, events: Iterable[Taken], *, looks: int) -> list[tuple[int, float]]:
    """Let one consumer apply all of it; return (events applied, MiB that it holds)."""
    base = topic.published
    topic.fill(events)
    count = topic.published - base
    found = []
    with Consumers(1) as consumers:
        (pid,) = consumers.wait_for_pids()
        for number in range(1, looks + 1):
            seen = topic.wait_until(base + count * number // looks, timeout_seconds=TIMEOUT_SECONDS)
            found.append((seen[-1][1] - base, read_memory_mib(pid)))
    return found
