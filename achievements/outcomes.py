"""The receipt of a test (services floor): pending, or what it unlocked and moved."""

from datetime import UTC, datetime
from typing import Any, Final

from achievements.display import Catalogue, get_catalogue
from achievements.events import Event, read_metrics
from achievements.models import Outbox, UserAchievement
from achievements.progress import Progress
from achievements.seen import unpack_ids
from achievements.standing import (
    Standpoint,
    read_progress,
    show_level,
)
from achievements.tables import read_seen

OUTCOME_PROGRESS_ITEMS: Final = 5


def read_outcome(*, user_id: int, event: Event) -> dict[str, Any]:
    """Return what became of a test: pending, or processed with what it unlocked and moved."""
    catalogue = get_catalogue()
    row = read_progress(user_id, catalogue)
    test_id = event.test_result_id
    now = datetime.now(UTC)
    if not _was_counted(user_id, row, test_id):
        oldest = Outbox.objects.filter(failed_at=None).order_by("pk").first()
        lag_seconds = (now - oldest.created_at).total_seconds() if oldest else 0.0
        return {
            "status": "pending", "unlocks": [], "progress": [],
            "lagSeconds": round(max(0.0, lag_seconds), 3),
        }  # fmt: skip
    unlocks = [
        show_level(catalogue.by_id[achievement_id], level, at)
        for achievement_id, level, at in UserAchievement.objects.filter(
            user_id=user_id, test_result_id=test_id, revoked_at=None
        ).values_list("achievement_id", "level", "unlocked_at")
        if achievement_id in catalogue.by_id
    ]
    return {
        "status": "processed",
        "unlocks": unlocks,
        "progress": _list_moved(catalogue, row, event, now),
        "lagSeconds": 0.0,
    }


def _was_counted(user_id: int, row: Progress, test_id: int) -> bool:
    if row.completed.holds(test_id):
        return True
    if not row.completed.is_doubtful(test_id):
        return False
    runs = read_seen([user_id], lowest=test_id, highest=test_id)
    return any(
        test_id in unpack_ids(ids) for _, is_invalidation, ids in runs if not is_invalidation
    )


def _list_moved(
    catalogue: Catalogue, row: Progress, event: Event, now: datetime
) -> list[dict[str, Any]]:
    """The achievements that this test counts for and that are nearest to their next level."""
    rulebook = catalogue.rulebook
    at = event.occurred_at.timestamp() if event.occurred_at else now.timestamp()
    moved = rulebook.find_moved(read_metrics(event.metrics), at)
    standpoint = Standpoint(catalogue, row)
    entries = []
    for achievement_id in moved:
        display = catalogue.by_id.get(achievement_id)
        entry = display and standpoint.show_progress(display)
        if display and entry and entry["percent"]:
            name = display.show(held=entry["level"] - 1)["name"]
            entries.append({**entry, "name": name})
    entries.sort(key=lambda entry: -entry["percent"])
    return entries[:OUTCOME_PROGRESS_ITEMS]
