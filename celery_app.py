"""The Celery app: the queue of achievement events, its safety settings and the beat schedule."""

import os
from typing import Any

from celery import Celery
from celery.app.utils import Settings
from celery.signals import celeryd_init
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

EVENTS_QUEUE = "achievement-events"
SWEEP_INTERVAL_SECONDS = 5.0

# No task may run longer than this. The broker hands an unacknowledged message to another worker
# after the visibility timeout: below the longest task, a healthy one would run twice.
TASK_TIME_LIMIT_SECONDS = 600
VISIBILITY_TIMEOUT_SECONDS = 3 * TASK_TIME_LIMIT_SECONDS

# The site's request waits at most this long for a broker that does not answer. A worker waits
# longer: its blocking read lasts a second by itself.
PUBLISHER_TIMEOUT_SECONDS = 1.0
WORKER_TIMEOUT_SECONDS = 5.0

events_exchange = Exchange(EVENTS_QUEUE, type="direct", durable=True)

app = Celery("laurel")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    # One durable queue. A worker started without -Q consumes every queue declared here.
    task_queues=[Queue(EVENTS_QUEUE, events_exchange, routing_key=EVENTS_QUEUE, durable=True)],
    task_default_queue=EVENTS_QUEUE,
    task_default_exchange=EVENTS_QUEUE,
    task_default_routing_key=EVENTS_QUEUE,
    task_create_missing_queues=False,
    # Delivery at least once: a message is acknowledged when its work is committed.
    task_acks_late=True,
    task_acks_on_failure_or_timeout=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_soft_shutdown_timeout=20.0,
    worker_enable_soft_shutdown_on_idle=False,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    task_ignore_result=True,
    task_time_limit=TASK_TIME_LIMIT_SECONDS,
    task_soft_time_limit=TASK_TIME_LIMIT_SECONDS - 30,
    accept_content=["json"],
    task_serializer="json",
    timezone="UTC",
    # A dead broker must not hang the site's request: short timeouts and one quick retry.
    # What could not be sent stays in the outbox, where the sweeper finds it.
    broker_connection_timeout=PUBLISHER_TIMEOUT_SECONDS,
    broker_connection_retry_on_startup=True,
    task_publish_retry=True,
    task_publish_retry_policy={
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.1,
    },
    broker_transport_options={
        "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
        "socket_connect_timeout": PUBLISHER_TIMEOUT_SECONDS,
        "socket_timeout": PUBLISHER_TIMEOUT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 30,
    },
    worker_hijack_root_logger=False,
    beat_schedule_filename="var/celerybeat-schedule",
    beat_schedule={
        "sweep-outbox": {
            "task": "achievements.sweep_outbox",
            "schedule": SWEEP_INTERVAL_SECONDS,
            # Sweeps do not pile up behind a worker that was away.
            "options": {"expires": 2 * SWEEP_INTERVAL_SECONDS},
        },
    },
)
app.autodiscover_tasks()


@celeryd_init.connect
def wait_longer_in_workers(conf: Settings, **kwargs: Any) -> None:
    conf.broker_transport_options = {
        **conf.broker_transport_options,
        "socket_timeout": WORKER_TIMEOUT_SECONDS,
    }
