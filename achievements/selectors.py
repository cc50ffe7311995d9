"""Reading for the API, pages and admin (services floor): plain documents with camelCase keys.

Every function reads the database, not a cache, and names one user. What is hidden is
masked here, on the server.
"""

from datetime import UTC, datetime
from typing import Any, Final

from achievements.display import get_catalogue
from achievements.models import Notification, UserAchievement, UserProgress
from achievements.standing import read_progress, show_progress, show_unlock, write_time

WITHDRAWN: Final = {
    "slug": None, "name": "Withdrawn", "description": "This achievement was withdrawn.",
    "category": "", "icon": None,
}  # fmt: skip


def read_catalogue() -> dict[str, Any]:
    """Return the whole catalogue as the public sees it: live and locked definitions."""
    catalogue = get_catalogue()
    shown = [d for d in catalogue.displays if d.achievement.status in ("live", "locked")]
    return {
        "achievements": [catalogue.describe(display) for display in shown],
        "totalCount": len(shown),
    }


def read_definition(slug: str) -> dict[str, Any] | None:
    """Return one public entry; None for an unknown slug, and for one masked or retired."""
    catalogue = get_catalogue()
    display = catalogue.find_shown(slug)
    if display is None or display.is_retired:
        return None
    return catalogue.describe(display)


def read_revision(*, user_id: int) -> int:
    """Return how often the user's progress changed; 0 for a user without any."""
    rows = UserProgress.objects.filter(user_id=user_id).values_list("revision", flat=True)
    return rows.first() or 0


def read_user_achievements(*, user_id: int) -> dict[str, Any]:
    """Return the profile: what the user holds, each achievement at its highest level."""
    catalogue = get_catalogue()
    held: dict[int, tuple[int, datetime]] = {}
    rows = UserAchievement.objects.filter(user_id=user_id, revoked_at=None)
    for achievement_id, level, at in rows.values_list("achievement_id", "level", "unlocked_at"):
        if achievement_id in catalogue.by_id and level > held.get(achievement_id, (0,))[0]:
            held[achievement_id] = (level, at)
    entries = [
        show_unlock(display, *held[display.achievement.pk])
        for display in catalogue.displays
        if display.achievement.pk in held
    ]
    closed = sum(not catalogue.by_id[achievement_id].is_live for achievement_id in held)
    return {
        "userId": user_id,
        "points": sum(entry["points"] for entry in entries),
        "unlockedCount": len(entries),
        "totalCount": catalogue.count_live() + closed,
        "achievements": entries,
    }


def read_user_progress(*, user_id: int) -> dict[str, Any]:
    """Return the next level of every live achievement that the user has not completed."""
    catalogue = get_catalogue()
    row = read_progress(user_id, catalogue)
    now = datetime.now(UTC)
    held = row.unlocked
    entries = [
        entry
        for display in catalogue.displays
        if display.is_live
        and (entry := show_progress(catalogue, display, row, held, now)) is not None
    ]
    return {"userId": user_id, "asOf": write_time(now), "achievements": entries}


def list_notifications(
    *, user_id: int, before: int | None = None, limit: int = 20
) -> list[dict[str, Any]]:
    """Return the user's newest notifications with a sequence below `before`."""
    catalogue = get_catalogue()
    rows = Notification.objects.filter(user_id=user_id).order_by("-sequence")
    if before is not None:
        rows = rows.filter(sequence__lt=before)
    entries = []
    for row in rows[:limit]:
        display = catalogue.by_id.get(row.achievement_id)
        shown: dict[str, Any] = display.show(held=row.level) if display else WITHDRAWN
        points = display.achievement.levels[row.level - 1 :][:1] if display else []
        entries.append(
            {
                "sequence": row.sequence,
                **shown,
                "level": row.level,
                "points": points[0]["points"] if points else 0,
                "createdAt": write_time(row.created_at),
                "readAt": write_time(row.read_at) if row.read_at else None,
            }
        )
    return entries
