"""Baseline: a Celery app with one task an event, checked through the ORM."""

import os
from datetime import UTC, datetime
from functools import lru_cache

from celery import Celery

from achievements.events import decode_event

TASK = "bench.check_event"
QUEUE = "bench-per-event"

# Not the current app: the site sends its own tasks from the same process.
app = Celery("bench", broker=os.environ["CELERY_BROKER_URL"], set_as_current=False)
app.conf.update(
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=4,
    worker_hijack_root_logger=False,
)


@lru_cache
def _get_check():  # type: ignore[no-untyped-def]
    # Not at the top: models can only be imported when Celery has set Django up.
    from bench.orm_per_event import check_event, make_loop

    loop = make_loop()
    return lambda event: check_event(loop, event)


@app.task(name=TASK)
def check(body: str) -> None:
    _get_check()(decode_event(body, now=datetime.now(UTC)))
