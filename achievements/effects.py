"""What others see of a batch, after its commit (services floor).

Every effect is repeatable, and none of them can undo or fail an unlock: a failure is
logged and counted. Documents that were not dropped end with their time to live.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from achievements import cache, keys, metrics
from achievements.documents import encode_json
from achievements.events import TEST_COMPLETED, Event, read_metrics
from achievements.rulebooks import get_rulebook
from achievements.selectors import Standing
from achievements.shown import refresh_progress
from achievements.standing import write_time
from achievements.store import BatchResult

logger = structlog.get_logger(__name__)


def run_effects(result: BatchResult) -> None:
    """Count the batch, drop the documents of its users, renew those that are looked at."""
    metrics.EVENTS.labels("applied").inc(result.applied)
    metrics.EVENTS.labels("duplicate").inc(result.duplicates)
    metrics.UNLOCKS.inc(result.unlocks)
    metrics.REVOCATIONS.inc(result.revocations)
    if not result.moved_users:
        return
    try:
        cache.forget(
            [
                *map(keys.name_progress, result.moved_users),
                *map(keys.name_achievements, result.unlocking_users),
            ]
        )
        watched = cache.find_watched(result.moved_users)
        if watched:
            _renew(watched, result.events)
    except Exception:
        # Whatever the cache's client raises, the unlock is committed and stands.
        metrics.EFFECT_FAILURES.labels("cache").inc()
        logger.exception("cache_not_invalidated", users=len(result.moved_users))


def _renew(watched: Sequence[int], events: Mapping[int, Sequence[Event]]) -> None:
    """Write what moved for those who look: their document, each achievement, and a message."""
    now = write_time(datetime.now(UTC))
    values: dict[str, bytes] = {}
    messages: dict[str, bytes] = {}
    for user_id, standing in refresh_progress(watched).items():
        moved = [
            (achievement_id, {**standing.entries[achievement_id], "asOf": now})
            for achievement_id in _find_moved(standing, events.get(user_id, ()))
        ]
        for achievement_id, entry in moved:
            values[keys.name_live_progress(user_id, achievement_id)] = encode_json(entry)
        message: dict[str, Any] = {"asOf": now, "achievements": [entry for _, entry in moved]}
        messages[keys.name_live_channel(user_id)] = encode_json(message)
    cache.keep_live_progress(values)
    cache.publish(messages)
    metrics.WATCHED_UPDATES.inc(len(watched))


def _find_moved(standing: Standing, events: Sequence[Event]) -> Iterable[int]:
    """Return the achievements that these events count for; without events, all of them."""
    rulebook = get_rulebook()
    moved: set[int] = set()
    for event in events:
        if event.event_type != TEST_COMPLETED or event.occurred_at is None:
            return standing.entries
        moved |= set(
            rulebook.find_moved(read_metrics(event.metrics), event.occurred_at.timestamp())
        )
    return [a for a in standing.entries if a in moved] if events else standing.entries
