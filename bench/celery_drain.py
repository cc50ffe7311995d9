"""The Celery stage: a worker drains pending results, beside one task an event through the ORM."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import celery_app  # noqa: F401 - the app that wake_worker speaks to
from achievements.events import encode_event
from achievements.models import Outbox, UserProgress
from achievements.wakeup import wake_worker
from bench.celery_per_event import app as per_event_app
from bench.celery_per_event import check
from bench.population import Population, Template, insert_population
from bench.report import Report
from bench.timing import Rates, alternate, compare
from deploy.local.worker import CeleryWorker

PENDING: Final = 20_000
PER_EVENT: Final = 1_000
ROUNDS: Final = 3
TIMEOUT_SECONDS: Final = 60
ROOT: Final = Path(__file__).parent.parent


class PerEventWorker(CeleryWorker):
    def build_command(self) -> list[str]:
        command = super().build_command()
        command[command.index("celery_app")] = "bench.celery_per_event"
        return command


def measure_celery(report: Report, templates: Sequence[Template]) -> None:
    ours = insert_population(templates, number=4, size=(ROUNDS + 1) * PENDING)
    theirs = insert_population(templates, number=5, size=ROUNDS * PER_EVENT, with_unlocks=True)
    rates = alternate(
        {
            "outbox": lambda: drain_outbox(ours, slots=1),
            "per event": lambda: drain_tasks(theirs),
        },
        rounds=ROUNDS,
        title="Celery",
    )
    report.add_rate("celery_drain", rates["outbox"], unit="events/s, --concurrency 1")
    report.add_rate("celery_task_per_event", rates["per event"], unit="events/s, --concurrency 1")
    two = Rates((drain_outbox(ours, slots=2),))
    report.add_rate("celery_drain_two", two, unit="events/s, --concurrency 2")
    report.add_ratio(
        "celery_vs_task_per_event", compare(rates["outbox"], rates["per event"]), at_least=20
    )


def drain_outbox(population: Population, *, slots: int) -> float:
    """Let a new worker find PENDING recorded events; return events a second."""
    events = population.take_events(PENDING)
    Outbox.objects.bulk_create(
        (Outbox(user_id=event.user_id, event=encode_event(event)) for event in events),
        batch_size=2_000,
    )
    wake_worker()
    with make_worker(CeleryWorker, slots=slots):
        return measure_rate(Outbox.objects.filter(failed_at=None).count)


def drain_tasks(population: Population) -> float:
    """Let a new worker find a task for each of PER_EVENT events; return events a second."""
    events = population.take_events(PER_EVENT)
    with per_event_app.connection_for_write() as connection:
        for event in events:
            check.apply_async((encode_event(event).decode(),), connection=connection)  # type: ignore[call-arg]
    user_ids = [event.user_id for event in events]
    unchecked = UserProgress.objects.filter(user_id__in=user_ids, revision=1)
    with make_worker(PerEventWorker, slots=1):
        return measure_rate(unchecked.count)


def make_worker(kind: type[CeleryWorker], *, slots: int) -> CeleryWorker:
    return kind(python=sys.executable, root=ROOT, environment=os.environ, slots=slots)


def measure_rate(count_left: Callable[[], int]) -> float:
    """Return the rate from the first progress seen to the last: how a worker starts is left out."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    first, left = _wait_for_change(count_left, deadline, before=count_left())
    measured, last = left, first
    while left:
        last, left = _wait_for_change(count_left, deadline, before=left)
    return measured / (last - first)


def _wait_for_change(
    count_left: Callable[[], int], deadline: float, *, before: int
) -> tuple[float, int]:
    while time.monotonic() < deadline:
        left = count_left()
        if left != before:
            return time.monotonic(), left
        time.sleep(0.02)
    raise TimeoutError(f"{before} events were still pending after {TIMEOUT_SECONDS} s.")
