"""How rare a level is (services floor): holders over users, from counters, never COUNT(*)."""

import time
from typing import Final

from django.db.models import Sum

from achievements.models import Tally
from achievements.tables import USERS_TALLY

MIN_USERS: Final = 20  # below, a share says nothing: rarity is None
FRESH_SECONDS: Final = 30.0

Rarities = dict[tuple[int, int], float | None]


class _Kept:
    counts: dict[tuple[int, int], int]
    read_at = float("-inf")


_kept = _Kept()


def read_tallies() -> dict[tuple[int, int], int]:
    """Return the holders of each (achievement_id, level); at most half a minute old."""
    if time.monotonic() - _kept.read_at > FRESH_SECONDS:
        rows = Tally.objects.values("achievement_id", "level").annotate(total=Sum("holders"))
        _kept.counts = {(row["achievement_id"], row["level"]): row["total"] for row in rows}
        _kept.read_at = time.monotonic()
    return _kept.counts


def forget_tallies() -> None:
    _kept.read_at = float("-inf")


def get_rarity(achievement_id: int, level: int) -> float | None:
    """Return the share of users who hold this level, in percent; None with too few users."""
    counts = read_tallies()
    users = counts.get(USERS_TALLY, 0)
    if users < MIN_USERS:
        return None
    return _round(100 * min(1.0, max(0, counts.get((achievement_id, level), 0)) / users))


def _round(percent: float) -> float:
    """Keep the digits that mean something: 43.2, 4.32, 0.043."""
    for bound, digits in ((10, 1), (1, 2), (0.1, 3)):
        if percent >= bound:
            return round(percent, digits)
    return round(percent, 4)
