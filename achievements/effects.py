"""What others see of a batch, after its commit (services floor).

Every effect is repeatable, and none of them can undo or fail an unlock: a failure is
logged and counted. Documents that were not dropped end with their time to live.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

import structlog

from achievements import cache, keys, live, metrics
from achievements.documents import encode_json
from achievements.events import TEST_COMPLETED, Event, read_metrics
from achievements.rulebooks import get_rulebook
from achievements.selectors import Standing
from achievements.shown import refresh_progress
from achievements.standing import write_time
from achievements.statements import split_keys
from achievements.store import BatchResult

logger = structlog.get_logger(__name__)

_USERS_AT_ONCE: Final = 100


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
        watched = live.find_watched(result.moved_users)
        if watched:
            _renew(watched, result)
    except Exception:
        # Whatever the cache's client raises, the unlock is committed and stands.
        metrics.EFFECT_FAILURES.labels("cache").inc()
        logger.exception("cache_not_invalidated", users=len(result.moved_users))


def _renew(watched: Mapping[int, float], result: BatchResult) -> None:
    """Write what moved for those who look: their document, each achievement, and a message."""
    # In parts, so that the first of them do not wait for the last; the cache takes one of them
    # in while the next is made.
    with ThreadPoolExecutor(max_workers=1) as sender:
        told = [
            sender.submit(live.tell, _find_news(part, watched, result))
            for part in split_keys(list(watched), _USERS_AT_ONCE)
        ]
    for one in told:
        one.result()
    metrics.WATCHED_UPDATES.inc(len(watched))


def _find_news(
    user_ids: Sequence[int], watched: Mapping[int, float], result: BatchResult
) -> dict[int, live.News]:
    now = write_time(datetime.now(UTC)).encode()
    unlocking = set(result.unlocking_users)
    news: dict[int, live.News] = {}
    for user_id, standing in refresh_progress(user_ids).items():
        changed = _find_changed(standing, result.events.get(user_id, ()))
        if user_id in unlocking:
            changed |= get_rulebook().find_dependent()
        # Each entry is encoded once, for its own key and for the message.
        head = b'{"revision":%d,"asOf":"%s",' % (standing.revision, now)
        progress, shown = {}, []
        for achievement_id in sorted(changed):
            if entry := standing.entries.get(achievement_id):
                shown.append(encode_json(entry))
                progress[achievement_id] = head + shown[-1][1:]
            elif achievement_id in standing.completed:
                progress[achievement_id] = head + b'"percent":100}'
        message = b'%s"notified":%d,"achievements":[%s]}' % (
            head, standing.notified, b",".join(shown),
        )  # fmt: skip
        news[user_id] = live.News(watched[user_id], standing.revision, progress, message)
    return news


def _find_changed(standing: Standing, events: Sequence[Event]) -> set[int]:
    """Return the achievements that these events may have changed."""
    every = standing.completed.union(standing.entries)
    # A rebuild has no events, and the first event of a user brings their whole history along.
    if not events or standing.revision <= 1:
        return every
    rulebook = get_rulebook()
    changed: set[int] = set()
    for event in events:
        if event.event_type != TEST_COMPLETED or event.occurred_at is None:
            return every
        at = event.occurred_at.timestamp()
        changed |= set(rulebook.find_changed(read_metrics(event.metrics), at))
    return changed
