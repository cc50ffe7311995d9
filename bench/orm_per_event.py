"""Baseline: one transaction an event, through the ORM, with a loop over all rules.

What a plain Django application does: lock and read the user's row, ask which levels are held,
check every rule, create an object for each unlock, save the row.
"""

from datetime import UTC, datetime

from django.db import transaction

from achievements.events import Event
from achievements.models import Notification, UserAchievement, UserProgress
from achievements.progress import decode_progress, encode_progress
from achievements.rulebooks import get_rulebook
from bench.closures import ClosureLoop


def make_loop() -> ClosureLoop:
    return ClosureLoop(get_rulebook())


def check_event(loop: ClosureLoop, event: Event) -> None:
    """Lock the user's row, check every rule, save what changed."""
    with transaction.atomic():
        row = UserProgress.objects.select_for_update().get(user_id=event.user_id)
        progress = decode_progress(bytes(row.state))
        held: dict[int, int] = {}
        unlocked = UserAchievement.objects.filter(user_id=event.user_id, revoked_at=None)
        for achievement_id, level in unlocked.values_list("achievement_id", "level"):
            held[achievement_id] = max(level, held.get(achievement_id, 0))
        progress.set_unlocked(held, progress.points)
        for unlock in loop.apply(progress, event):
            UserAchievement.objects.create(
                user_id=event.user_id,
                achievement_id=unlock.achievement_id,
                level=unlock.level,
                unlocked_at=event.occurred_at or datetime.now(UTC),
                test_result_id=event.test_result_id,
                rulebook_version=1,
            )
            progress.notified += 1
            Notification.objects.create(
                user_id=event.user_id,
                sequence=progress.notified,
                achievement_id=unlock.achievement_id,
                level=unlock.level,
                created_at=datetime.now(UTC),
            )
        row.state = encode_progress(progress)
        row.revision += 1
        row.save()
