"""Telling Celery's workers that the outbox holds something (transports floor)."""

from typing import Final

import structlog
from celery import current_app

from achievements import cache, metrics

PROCESS_OUTBOX: Final = "achievements.process_outbox"

logger = structlog.get_logger(__name__)


def wake_worker() -> None:
    """Send one task, unless one is on its way that nobody has started yet.

    A broker that is away costs a short timeout and no event: the sweeper comes by.
    """
    if not cache.claim_wakeup():
        metrics.WAKEUPS.labels("coalesced").inc()
        return
    try:
        current_app.send_task(PROCESS_OUTBOX)
    except Exception:
        # Whatever the broker's client raises: nobody must wait for a task that was not sent.
        cache.forget_wakeup()
        metrics.WAKEUPS.labels("failed").inc()
        logger.exception("broker_unreachable")
    else:
        metrics.WAKEUPS.labels("sent").inc()
