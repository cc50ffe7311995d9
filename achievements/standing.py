"""Where one user stands against the catalogue (services floor): what documents are made of."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from achievements.criteria import Node
from achievements.display import Catalogue, Display
from achievements.explanation import Explanation, explain
from achievements.gauge import Reading, Situation
from achievements.models import UserProgress
from achievements.progress import Progress, decode_progress, start_progress
from achievements.rarity import get_rarity
from achievements.streak import SECONDS_A_DAY


def read_progress(user_id: int, catalogue: Catalogue) -> Progress:
    row = UserProgress.objects.filter(user_id=user_id).values_list("state", flat=True).first()
    return decode_progress(bytes(row)) if row else start_progress(catalogue.rulebook)


class Standpoint:
    """One user's row against the catalogue, now: what many of its goals are read from."""

    def __init__(self, catalogue: Catalogue, row: Progress) -> None:
        self.catalogue = catalogue
        self.held = row.unlocked
        now = datetime.now(UTC).timestamp()
        today = int(now + row.utc_offset_minutes * 60) // SECONDS_A_DAY
        self._situation = Situation(row, self._holds, today)

    def explain(self, node: Node, names: Mapping[str, str]) -> Explanation:
        return explain(node, self.catalogue.rulebook, self._situation, names)

    def show_progress(self, display: Display) -> dict[str, Any] | None:
        """The next level; None when there is none, or when its count is hidden."""
        held = self.held.get(display.id, 0)
        if held >= display.top_level or display.hides("count", held=held):
            return None
        reading = display.gauges[held](self._situation)
        return {"slug": display.slug_for(held=held), "level": held + 1, **show_amounts(reading)}

    def _holds(self, slug: str) -> bool:
        display = self.catalogue.by_slug.get(slug)
        return display is not None and self.held.get(display.id, 0) > 0


def show_unlock(display: Display, level: int, at: datetime) -> dict[str, Any]:
    return {
        **display.show(held=level),
        "level": level,
        "points": display.sum_points(level),
        "unlockedAt": write_time(at),
        "rarity": get_rarity(display.id, level),
    }


def show_level(display: Display, level: int, at: datetime) -> dict[str, Any]:
    """One level by itself: its own points, where a profile sums those of the levels below."""
    points = display.sum_points(level) - display.sum_points(level - 1)
    return {**show_unlock(display, level, at), "points": points}


def show_amounts(found: Reading) -> dict[str, Any]:
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
