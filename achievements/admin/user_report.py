"""Everything that support may ask about one user (face); every query names user_id."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from achievements.admin.icons import find_icon_url
from achievements.admin.user_standings import Standing, read_standings
from achievements.events import TEST_INVALIDATED, Event, order_of
from achievements.history import get_history
from achievements.models import (
    Achievement,
    Notification,
    Outbox,
    UserAchievement,
    UserProgress,
)
from achievements.progress import Progress, decode_progress

NEWEST: Final = 20


@dataclass(frozen=True)
class Held:
    """One unlock, or one that was taken back, with the names of its achievement."""

    row: UserAchievement
    achievement: Achievement | None
    points: int

    @property
    def icon_url(self) -> str:
        return find_icon_url(self.achievement.icon) if self.achievement else ""


@dataclass(frozen=True)
class UserReport:
    user_id: int
    revision: int
    progress: Progress | None
    unlocks: Sequence[Held]
    standings: Sequence[Standing]
    notifications: Sequence[tuple[Notification, Achievement | None]]
    tests: Sequence[Event]
    test_count: int
    waiting: Sequence[Outbox]

    @property
    def is_known(self) -> bool:
        return bool(self.progress or self.unlocks or self.tests or self.waiting)

    @property
    def held_count(self) -> int:
        return len({h.row.achievement_id for h in self.unlocks if h.row.revoked_at is None})

    @property
    def revoked_count(self) -> int:
        return sum(h.row.revoked_at is not None for h in self.unlocks)


def read_report(user_id: int) -> UserReport:
    stored = UserProgress.objects.filter(user_id=user_id).first()
    achievements = Achievement.objects.in_bulk()
    unlocks = UserAchievement.objects.filter(user_id=user_id).order_by("-unlocked_at", "-level")
    notifications = Notification.objects.filter(user_id=user_id).order_by("-sequence")[:NEWEST]
    tests = get_history().read_tests([user_id]).get(user_id, [])
    progress = decode_progress(bytes(stored.state)) if stored and stored.state else None
    return UserReport(
        user_id=user_id,
        revision=stored.revision if stored else 0,
        progress=progress,
        unlocks=[_make_held(row, achievements.get(row.achievement_id)) for row in unlocks],
        standings=read_standings(progress),
        notifications=[(row, achievements.get(row.achievement_id)) for row in notifications],
        tests=sorted(tests, key=order_of, reverse=True)[:NEWEST],
        test_count=sum(test.event_type != TEST_INVALIDATED for test in tests),
        waiting=list(Outbox.objects.filter(user_id=user_id).order_by("id")[:NEWEST]),
    )


def _make_held(row: UserAchievement, achievement: Achievement | None) -> Held:
    levels = achievement.levels if achievement else []
    points = levels[row.level - 1]["points"] if row.level <= len(levels) else 0
    return Held(row, achievement, points)
