"""The outbox (transports floor): events recorded with their cause, handed on after the commit.

A row is deleted in the very transaction that applies its event, so a crash at any moment
leaves it either pending or done. Who drains it is the setting EVENT_TRANSPORT: this
process at once, Celery workers woken by a task, or the relay to Kafka (relay.py).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction

from achievements import bell, metrics
from achievements.effects import run_effects
from achievements.engine import apply_batch, run_batch
from achievements.events import Event, decode_event, encode_event
from achievements.models import Outbox
from achievements.rulebook import Rulebook
from achievements.store import BatchResult
from achievements.tables import OutboxKey, delete_outbox, lock_outbox
from achievements.transactions import is_fault_of_events
from achievements.wakeup import wake_worker

logger = structlog.get_logger(__name__)

BATCH_EVENTS: Final = 100


def record_events(events: Iterable[Event]) -> None:
    """Record events in the caller's transaction; they are handed on when it commits.

    When it rolls back, nothing was recorded. A failure to hand on is logged and left to
    the sweeper: the caller's request has succeeded.
    """
    rows = [Outbox(user_id=event.user_id, event=encode_event(event)) for event in events]
    if not rows:
        return
    Outbox.objects.bulk_create(rows)
    transaction.on_commit(dispatch, robust=True)


def accept_events(events: Sequence[Event]) -> None:
    """Make events durable and hand them on; returns only then.

    With Kafka they go straight to the topic. Raises django.db errors and NotDurable.
    """
    if settings.EVENT_TRANSPORT == "kafka":
        # Not at the top: the embedded default does without the Kafka client.
        from achievements.producer import publish_events

        publish_events(events)
        return
    with transaction.atomic():
        record_events(events)


def dispatch() -> None:
    """Hand what is recorded to the transport."""
    if settings.EVENT_TRANSPORT == "celery":
        wake_worker()
    elif settings.EVENT_TRANSPORT == "kafka":
        bell.ring()
    else:
        drain_outbox()


def drain_outbox(*, max_batches: int = 1_000) -> bool:
    """Process pending rows, a batch at a time. Returns whether some may be left."""
    return all(process_pending() >= BATCH_EVENTS for _ in range(max_batches))


def process_pending(limit: int = BATCH_EVENTS) -> int:
    """Apply up to `limit` of the oldest pending events; returns how many rows were settled.

    An event that the engine cannot apply is found by halving the batch, and set aside
    with its error. Raises django.db errors, with nothing applied.
    """
    size = limit
    while True:
        claimed: list[OutboxKey] = []
        try:
            result = run_batch(partial(_claim_and_apply, limit=size, claimed=claimed))
        except Exception as error:
            if not claimed or not is_fault_of_events(error):
                raise  # all of them stay pending
            if size > 1:
                size //= 2
                continue
            logger.exception("outbox_row_set_aside", row_id=claimed[0].id)
            _set_aside(claimed[0], error)
            return limit  # there may be more
        run_effects(result)
        # A full answer to a halved batch: the rest is still there.
        return limit if len(claimed) == size else len(claimed)


def _claim_and_apply(rulebook: Rulebook, *, limit: int, claimed: list[OutboxKey]) -> BatchResult:
    """Lock the oldest rows that nobody else holds, apply their events, delete them."""
    rows = lock_outbox(limit)
    claimed[:] = [OutboxKey(row_id, user_id) for row_id, user_id, _ in rows]
    if not rows:
        return BatchResult()
    now = datetime.now(UTC)
    result = apply_batch(rulebook, [decode_event(bytes(event), now=now) for _, _, event in rows])
    delete_outbox(claimed)
    return result


def _set_aside(row: OutboxKey, error: Exception) -> None:
    metrics.SET_ASIDE.inc()
    Outbox.objects.filter(pk=row.id, user_id=row.user_id).update(
        failed_at=datetime.now(UTC), error=f"{type(error).__name__}: {error}"[:500]
    )
