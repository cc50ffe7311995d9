"""Reading for the API, pages and admin (services floor): plain documents with camelCase keys.

Every function reads the database, not a cache, and names one user. What is hidden is
masked here, on the server.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.db.models import Max

from achievements.display import Catalogue, get_catalogue
from achievements.models import Notification, UserProgress
from achievements.progress import decode_progress, start_progress
from achievements.standing import Standpoint, show_unlock, write_time
from achievements.tables import read_revision_rows
from achievements.unlocks import read_unlock_rows

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


def read_revisions(user_ids: Sequence[int]) -> dict[int, int]:
    """Return how often each user's progress changed; 0 for a user without any."""
    return dict.fromkeys(user_ids, 0) | dict(read_revision_rows(user_ids))


def read_user_achievements(*, user_id: int) -> dict[str, Any]:
    return read_profiles([user_id])[user_id]


def read_profiles(user_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return the profiles: what each user holds, every achievement at its highest level."""
    catalogue = get_catalogue()
    held: dict[int, dict[int, tuple[int, datetime]]] = {user_id: {} for user_id in user_ids}
    for user_id, achievement_id, level, at in read_unlock_rows(user_ids):
        own = held[user_id]
        if achievement_id in catalogue.by_id and level > own.get(achievement_id, (0,))[0]:
            own[achievement_id] = (level, at)
    return {user_id: _show_profile(catalogue, user_id, own) for user_id, own in held.items()}


def _show_profile(
    catalogue: Catalogue, user_id: int, held: Mapping[int, tuple[int, datetime]]
) -> dict[str, Any]:
    entries = [
        show_unlock(display, *held[display.id])
        for display in catalogue.displays
        if display.id in held
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
    return show_standings(user_id, read_standings([user_id])[user_id].entries)


class Standing(NamedTuple):
    """A row's revision, and by achievement id the next level that the user has not reached.

    `completed` are the achievements without a further level; `notified` is the sequence of the
    newest notification.
    """

    revision: int
    entries: dict[int, dict[str, Any]]
    completed: set[int]
    notified: int


def read_standings(user_ids: Sequence[int]) -> dict[int, Standing]:
    """Return the next level of every live achievement that each user has not completed."""
    catalogue = get_catalogue()
    rows = {
        user_id: (revision, state)
        for user_id, revision, state in UserProgress.objects.filter(
            user_id__in=user_ids
        ).values_list("user_id", "revision", "state")
    }
    found = {}
    for user_id in user_ids:
        revision, state = rows.get(user_id, (0, b""))
        row = decode_progress(bytes(state)) if state else start_progress(catalogue.rulebook)
        standpoint = Standpoint(catalogue, row)
        entries, completed = {}, set()
        for display in catalogue.displays:
            if not display.is_live:
                continue
            if entry := standpoint.show_progress(display):
                entries[display.id] = entry
            elif standpoint.held.get(display.id, 0) >= display.top_level:
                completed.add(display.id)
        found[user_id] = Standing(revision, entries, completed, row.notified)
    return found


def show_standings(user_id: int, entries: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"userId": user_id, "asOf": write_time(now), "achievements": list(entries.values())}


def list_notifications(
    *, user_id: int, before: int | None = None, limit: int = 20
) -> list[dict[str, Any]]:
    """Return the user's newest notifications with a sequence below `before`."""
    rows = Notification.objects.filter(user_id=user_id).order_by("-sequence")
    if before is not None:
        rows = rows.filter(sequence__lt=before)
    return _show_notifications(rows[:limit])


def list_notifications_after(*, user_id: int, after: int, limit: int) -> list[dict[str, Any]]:
    """Return the user's oldest notifications with a sequence above `after`."""
    rows = Notification.objects.filter(user_id=user_id, sequence__gt=after)
    return _show_notifications(rows.order_by("sequence")[:limit])


def read_newest_sequences(user_ids: Sequence[int]) -> dict[int, int]:
    """Return the sequence of each user's newest notification; 0 for a user without any."""
    rows = Notification.objects.filter(user_id__in=user_ids).order_by().values("user_id")
    newest = rows.annotate(newest=Max("sequence")).values_list("user_id", "newest")
    return dict.fromkeys(user_ids, 0) | dict(newest)


def _show_notifications(rows: Iterable[Notification]) -> list[dict[str, Any]]:
    catalogue = get_catalogue()
    entries = []
    for row in rows:
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
