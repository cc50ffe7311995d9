"""Celery tasks (transports floor): they name work, the outbox holds it.

A lost task loses nothing: the events are rows, and the sweeper sends a task for them.
"""

import time
from datetime import timedelta
from typing import Final

from celery import shared_task
from django.utils import timezone

from achievements import cache
from achievements.models import Outbox
from achievements.outbox import drain_outbox
from achievements.wakeup import PROCESS_OUTBOX, wake_worker

MAX_TASK_SECONDS: Final = 20.0
LATE: Final = timedelta(seconds=3)


@shared_task(name=PROCESS_OUTBOX)
def process_outbox() -> None:
    """Drain the outbox, 100 events a transaction; another worker is called to a backlog."""
    # Before looking, so that a row committed from now on sends a task of its own.
    cache.forget_wakeup()
    deadline = time.monotonic() + MAX_TASK_SECONDS
    if not drain_outbox(max_batches=1):
        return
    wake_worker()
    while time.monotonic() < deadline:
        if not drain_outbox(max_batches=1):
            return
    wake_worker()


@shared_task(name="achievements.sweep_outbox")
def sweep_outbox() -> None:
    """Send a task when rows have waited: theirs was lost, or never reached the broker."""
    oldest = Outbox.objects.filter(failed_at=None).order_by("pk").first()
    if oldest and oldest.created_at < timezone.now() - LATE:
        cache.forget_wakeup()
        wake_worker()
