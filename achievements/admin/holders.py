"""How many users hold an achievement (face): one query for a whole page."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Sum

from achievements.models import Tally
from achievements.tables import USERS_TALLY


@dataclass(frozen=True)
class Holders:
    """Holders of the first level, and their share of the users with progress."""

    count: int
    percent: float | None

    def __str__(self) -> str:
        if not self.count or self.percent is None:
            return str(self.count)
        return f"{self.count:,} ({show_percent(self.percent)})"


def count_holders(achievement_ids: Iterable[int]) -> dict[int, Holders]:
    """Return the holders by achievement; one that nobody holds is there with zero."""
    ids = list(achievement_ids)
    rows = (
        Tally.objects.filter(
            achievement_id__in=[USERS_TALLY[0], *ids], level__in=[USERS_TALLY[1], 1]
        )
        .values_list("achievement_id", "level")
        .annotate(total=Sum("holders"))
        .values_list("achievement_id", "level", "total")
    )
    totals = {(achievement_id, level): total for achievement_id, level, total in rows}
    users = totals.get(USERS_TALLY, 0)
    counts = {achievement_id: totals.get((achievement_id, 1), 0) for achievement_id in ids}
    return {
        achievement_id: Holders(count, 100 * count / users if users else None)
        for achievement_id, count in counts.items()
    }


def show_percent(percent: float) -> str:
    if 0 < percent < 0.1:
        return "<0.1%"
    return f"{percent:.1f}%" if percent < 10 else f"{percent:.0f}%"
