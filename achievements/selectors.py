"""Reading for the API, pages and admin (services floor): plain documents with camelCase keys.

Every function reads the database, not a cache, and names one user. What is hidden is
masked here, on the server.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from achievements.display import MASKED_DESCRIPTION, Catalogue, Display, get_catalogue
from achievements.events import Event, read_metrics
from achievements.explanation import Explanation, describe, explain
from achievements.models import Notification, Outbox, UserAchievement, UserProgress
from achievements.progress import Progress, decode_progress, start_progress
from achievements.rarity import get_rarity
from achievements.seen import unpack_ids
from achievements.streak import SECONDS_A_DAY
from achievements.tables import read_seen

OUTCOME_PROGRESS_ITEMS: Final = 5
PARTIAL_NOTE: Final = (
    "Some of your tests are not kept here, so goals that were added later count from the day"
    " they were published."
)
WITHDRAWN: Final = {
    "slug": None, "name": "Withdrawn", "description": "This achievement was withdrawn.",
    "category": "", "icon": None,
}  # fmt: skip
WAITING_NOTE: Final = "Your earlier tests are still being counted for this achievement."


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
        _show_unlock(display, *held[display.achievement.pk])
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
    row = _read_progress(user_id, catalogue)
    now = datetime.now(UTC)
    held = row.unlocked
    entries = [
        entry
        for display in catalogue.displays
        if display.is_live
        and (entry := _show_progress(catalogue, display, row, held, now)) is not None
    ]
    return {"userId": user_id, "asOf": _iso(now), "achievements": entries}


def explain_achievement(
    *, user_id: int, slug: str, should_unmask: bool = False
) -> dict[str, Any] | None:
    """Return why the user holds an achievement, or why not yet; None for an unknown slug.

    It speaks of the next level, or of the highest one when all are held. Staff may see
    what is hidden from the user (`should_unmask`).
    """
    catalogue = get_catalogue()
    display = catalogue.find(slug)
    if display is None:
        return None
    row = _read_progress(user_id, catalogue)
    held = row.unlocked.get(display.achievement.pk, 0)
    if not held and (
        display.is_retired or (not should_unmask and slug != display.slug_for(held=0))
    ):
        return None
    level = min(held + 1, display.top_level)
    unlock = (
        UserAchievement.objects.filter(
            user_id=user_id, achievement_id=display.achievement.pk, level=held
        ).first()
        if held
        else None
    )
    shown = display.show(held=held or should_unmask)
    document: dict[str, Any] = {
        "slug": shown["slug"],
        "name": shown["name"],
        "level": level,
        "heldLevel": held,
        "met": held >= level,
        "sentence": MASKED_DESCRIPTION,
        "conditions": [],
        "unlockedAt": _iso(unlock.unlocked_at) if unlock else None,
        "evidence": _show_evidence(unlock),
        "note": _note(catalogue, display, row),
    }
    if display.shows_rule(held=held or should_unmask):
        node = display.nodes[level - 1]
        names = catalogue.names if should_unmask else catalogue.name_for(row.unlocked)
        found = _explain(catalogue, node, row, datetime.now(UTC), names)
        if held >= level:
            _mark_met(found)
        document["sentence"] = describe(node, names)
        document["conditions"] = [_show_condition(found)]
    return document


def read_outcome(*, user_id: int, event: Event) -> dict[str, Any]:
    """Return what became of a test: pending, or processed with what it unlocked and moved."""
    catalogue = get_catalogue()
    row = _read_progress(user_id, catalogue)
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
        _show_level(catalogue.by_id[achievement_id], level, at)
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
                "createdAt": _iso(row.created_at),
                "readAt": _iso(row.read_at) if row.read_at else None,
            }
        )
    return entries


def _read_progress(user_id: int, catalogue: Catalogue) -> Progress:
    row = UserProgress.objects.filter(user_id=user_id).values_list("state", flat=True).first()
    return decode_progress(bytes(row)) if row else start_progress(catalogue.rulebook)


def _was_counted(user_id: int, row: Progress, test_id: int) -> bool:
    if row.completed.holds(test_id):
        return True
    if not row.completed.is_doubtful(test_id):
        return False
    runs = read_seen([user_id], lowest=test_id, highest=test_id)
    return any(
        test_id in unpack_ids(ids) for _, is_invalidation, ids in runs if not is_invalidation
    )


def _explain(
    catalogue: Catalogue,
    node: Any,
    row: Progress,
    now: datetime,
    names: Mapping[str, str] | None = None,
) -> Explanation:
    today = int(now.timestamp() + row.utc_offset_minutes * 60) // SECONDS_A_DAY
    unlocked = row.unlocked

    def holds(slug: str) -> bool:
        display = catalogue.by_slug.get(slug)
        return display is not None and unlocked.get(display.achievement.pk, 0) > 0

    return explain(
        node,
        catalogue.rulebook,
        row,
        today=today,
        names=catalogue.public_names if names is None else names,
        holds=holds,
    )


def _show_unlock(display: Display, level: int, at: datetime) -> dict[str, Any]:
    return {
        **display.show(held=level),
        "level": level,
        "points": display.sum_points(level),
        "unlockedAt": _iso(at),
        "rarity": get_rarity(display.achievement.pk, level),
    }


def _show_level(display: Display, level: int, at: datetime) -> dict[str, Any]:
    """One level by itself: its own points, where a profile sums those of the levels below."""
    points = display.sum_points(level) - display.sum_points(level - 1)
    return {**_show_unlock(display, level, at), "points": points}


def _show_progress(
    catalogue: Catalogue, display: Display, row: Progress, held: dict[int, int], now: datetime
) -> dict[str, Any] | None:
    level = held.get(display.achievement.pk, 0) + 1
    if level > display.top_level or display.hides("count", held=level - 1):
        return None
    found = _explain(catalogue, display.nodes[level - 1], row, now)
    return {
        "slug": display.slug_for(held=level - 1),
        "level": level,
        "current": found.current,
        "target": found.target,
        "percent": found.percent,
        "unit": found.unit,
    }


def _list_moved(
    catalogue: Catalogue, row: Progress, event: Event, now: datetime
) -> list[dict[str, Any]]:
    """The achievements that this test counts for and that are nearest to their next level."""
    rulebook = catalogue.rulebook
    at = event.occurred_at.timestamp() if event.occurred_at else now.timestamp()
    moved = rulebook.find_moved(read_metrics(event.metrics), at)
    held = row.unlocked
    entries = []
    for achievement_id in moved:
        display = catalogue.by_id.get(achievement_id)
        entry = display and _show_progress(catalogue, display, row, held, now)
        if display and entry and entry["percent"]:
            name = display.show(held=entry["level"] - 1)["name"]
            entries.append({**entry, "name": name})
    entries.sort(key=lambda entry: -entry["percent"])
    return entries[:OUTCOME_PROGRESS_ITEMS]


def _show_condition(found: Explanation) -> dict[str, Any]:
    return {
        "sentence": found.sentence,
        "met": found.met,
        "current": found.current,
        "target": found.target,
        "percent": found.percent,
        "unit": found.unit,
        "children": [_show_condition(child) for child in found.children],
    }


def _mark_met(found: Explanation) -> None:
    """What is held is held, also where a newer rule asks for more than the user has done."""
    found.met, found.percent = True, 100


def _show_evidence(unlock: UserAchievement | None) -> dict[str, Any] | None:
    if unlock is None:
        return None
    return {"testResultId": unlock.test_result_id, "rulebookVersion": unlock.rulebook_version}


def _note(catalogue: Catalogue, display: Display, row: Progress) -> str | None:
    rule = catalogue.rulebook.rules_by_id.get(display.achievement.pk)
    if rule is None:
        return (
            "This achievement is closed: nobody new can unlock it." if not display.is_live else None
        )
    if rule.needs > row.held:
        return WAITING_NOTE
    return PARTIAL_NOTE if row.is_partial else None


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
