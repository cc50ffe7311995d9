"""Celery tasks (transports floor): they name work, the outbox holds it.

A lost task loses nothing: the events are rows, and the sweeper sends a task for them.
"""

import time
from datetime import timedelta
from typing import Final

import structlog
from celery import shared_task
from django.utils import timezone
from kombu.exceptions import OperationalError

from achievements import cache, metrics, outbox
from achievements.models import Outbox

logger = structlog.get_logger(__name__)

MAX_TASK_SECONDS: Final = 20.0
LATE: Final = timedelta(seconds=3)


@shared_task(name="achievements.process_outbox")
def process_outbox() -> None:
    """Drain the outbox, 100 events a transaction; more workers are called to a backlog."""
    # Before looking, so that a row committed from now on sends a task of its own.
    cache.forget_wakeup()
    deadline = time.monotonic() + MAX_TASK_SECONDS
    has_more = outbox.drain_outbox(max_batches=1)
    if has_more:
        wake_worker()
    while has_more and time.monotonic() < deadline:
        has_more = outbox.drain_outbox(max_batches=1)
    if has_more:
        wake_worker()


@shared_task(name="achievements.sweep_outbox")
def sweep_outbox() -> None:
    """Send a task when rows have waited: theirs was lost, or never reached the broker."""
    oldest = Outbox.objects.filter(failed_at=None).order_by("pk").first()
    if oldest and oldest.created_at < timezone.now() - LATE:
        cache.forget_wakeup()
        wake_worker()


def wake_worker() -> None:
    """Send one task, unless one is on its way that nobody has started yet.

    A broker that is away costs a short timeout and no event: the sweeper comes by.
    """
    if not cache.claim_wakeup():
        metrics.WAKEUPS.labels("coalesced").inc()
        return
    try:
        process_outbox.apply_async()
    except OperationalError:
        cache.forget_wakeup()
        metrics.WAKEUPS.labels("failed").inc()
        logger.warning("broker_unreachable", exc_info=True)
    else:
        metrics.WAKEUPS.labels("sent").inc()
