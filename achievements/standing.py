"""Where one user stands against the catalogue (services floor): what documents are made of."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from achievements.display import Catalogue, Display
from achievements.explanation import Explanation, explain
from achievements.models import UserProgress
from achievements.progress import Progress, decode_progress, start_progress
from achievements.rarity import get_rarity
from achievements.streak import SECONDS_A_DAY


def read_progress(user_id: int, catalogue: Catalogue) -> Progress:
    row = UserProgress.objects.filter(user_id=user_id).values_list("state", flat=True).first()
    return decode_progress(bytes(row)) if row else start_progress(catalogue.rulebook)


def explain_node(
    catalogue: Catalogue,
    node: Any,
    row: Progress,
    now: datetime,
    names: Mapping[str, str] | None = None,
) -> Explanation:
    """Explain a node for a user; without `names` no sentences are written."""
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
        names=names,
        holds=holds,
    )


def show_unlock(display: Display, level: int, at: datetime) -> dict[str, Any]:
    return {
        **display.show(held=level),
        "level": level,
        "points": display.sum_points(level),
        "unlockedAt": write_time(at),
        "rarity": get_rarity(display.achievement.pk, level),
    }


def show_level(display: Display, level: int, at: datetime) -> dict[str, Any]:
    """One level by itself: its own points, where a profile sums those of the levels below."""
    points = display.sum_points(level) - display.sum_points(level - 1)
    return {**show_unlock(display, level, at), "points": points}


def show_progress(
    catalogue: Catalogue, display: Display, row: Progress, held: dict[int, int], now: datetime
) -> dict[str, Any] | None:
    level = held.get(display.achievement.pk, 0) + 1
    if level > display.top_level or display.hides("count", held=level - 1):
        return None
    found = explain_node(catalogue, display.nodes[level - 1], row, now)
    return {
        "slug": display.slug_for(held=level - 1),
        "level": level,
        **show_amounts(found),
    }


def show_amounts(found: Explanation) -> dict[str, Any]:
    """What an entry says of how far it is; one of an average also over how many tests so far."""
    amounts = {
        "current": found.current,
        "target": found.target,
        "percent": found.percent,
        "unit": found.unit,
    }
    if found.tests_needed is not None:
        amounts |= {"tests": found.tests, "testsNeeded": found.tests_needed}
    return amounts


def write_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
