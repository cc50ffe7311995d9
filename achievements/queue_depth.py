"""What waits on the way by Celery (transports floor): outbox rows, and tasks in the broker."""

from datetime import UTC, datetime
from typing import Any, Final

from celery import current_app
from django.db.models import Count, Min
from kombu.exceptions import OperationalError

from achievements.models import Outbox

QUEUE: Final = "achievement-events"


def read_queue_depth() -> dict[str, Any]:
    """Return the rows that wait, the age of the oldest, those set aside, and the tasks sent.

    The rows are the work; one task is a call to look at them, whatever their number. So a
    pool is scaled by the rows and their age. `tasks` is None where there is no broker, or none
    that answers.
    """
    waiting = Outbox.objects.filter(failed_at=None).aggregate(
        count=Count("pk"), oldest=Min("created_at")
    )
    oldest = waiting["oldest"]
    return {
        "outboxRows": waiting["count"],
        "outboxSeconds": 0.0
        if oldest is None
        else round(max(0.0, (datetime.now(UTC) - oldest).total_seconds()), 3),
        "setAside": Outbox.objects.exclude(failed_at=None).count(),
        "tasks": _count_tasks(),
    }


def _count_tasks() -> int | None:
    if not current_app.conf.broker_url:
        return None
    with current_app.connection_for_read() as connection:
        empty: Any = tuple(connection.channel_errors)
        away: Any = (OSError, OperationalError, *connection.connection_errors)
        channel: Any
        try:
            channel = connection.default_channel
            return int(channel.queue_declare(QUEUE, passive=True).message_count)
        except empty:
            return 0  # Redis keeps no queue that is empty
        except away:
            return None
