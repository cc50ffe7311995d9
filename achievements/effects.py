"""What others see of a batch, after its commit (services floor).

Every effect is repeatable, and none of them can undo or fail an unlock: a failure is
logged and counted. Documents that were not dropped end with their time to live.
"""

from dataclasses import dataclass, field

import structlog

from achievements import cache, metrics

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a committed batch did, and whose documents it made old."""

    applied: int = 0
    duplicates: int = 0
    unlocks: int = 0
    revocations: int = 0
    moved_users: list[int] = field(default_factory=list)
    unlocking_users: list[int] = field(default_factory=list)


def run_effects(result: BatchResult) -> None:
    """Count the batch and drop the documents of its users, in one command."""
    metrics.EVENTS.labels("applied").inc(result.applied)
    metrics.EVENTS.labels("duplicate").inc(result.duplicates)
    metrics.UNLOCKS.inc(result.unlocks)
    metrics.REVOCATIONS.inc(result.revocations)
    if not result.moved_users:
        return
    try:
        cache.forget(
            [
                *map(cache.name_progress, result.moved_users),
                *map(cache.name_achievements, result.unlocking_users),
            ]
        )
    except Exception:
        # Whatever the cache's client raises, the unlock is committed and stands.
        metrics.EFFECT_FAILURES.labels("cache").inc()
        logger.exception("cache_not_invalidated", users=len(result.moved_users))
