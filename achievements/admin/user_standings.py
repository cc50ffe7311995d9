"""Where a user stands with every live achievement (face), hidden ones included."""

from dataclasses import dataclass

from achievements.display import get_catalogue
from achievements.explanation import Explanation
from achievements.progress import Progress, start_progress
from achievements.standing import Standpoint


@dataclass(frozen=True)
class Standing:
    """The next level of one achievement, or the highest one when all are held."""

    achievement_id: int
    name: str
    icon: str
    held: int
    levels: int
    found: Explanation
    note: str

    @property
    def is_complete(self) -> bool:
        return self.held >= self.levels


def read_standings(progress: Progress | None) -> list[Standing]:
    """Return the standings, the nearest unlock first and what is complete last."""
    catalogue = get_catalogue()
    row = progress or start_progress(catalogue.rulebook)
    standpoint = Standpoint(catalogue, row)
    standings = []
    for display in catalogue.displays:
        if not display.is_live:
            continue
        achievement = display.achievement
        held = standpoint.held.get(achievement.pk, 0)
        rule = catalogue.rulebook.rules_by_id.get(achievement.pk)
        standings.append(
            Standing(
                achievement_id=achievement.pk,
                name=achievement.name,
                icon=achievement.icon,
                held=held,
                levels=display.top_level,
                found=standpoint.explain(
                    display.nodes[min(held, display.top_level - 1)], catalogue.names
                ),
                note="Waits for this user's older tests to be counted: run rebuild_users."
                if rule and rule.needs > row.held
                else "",
            )
        )
    return sorted(standings, key=lambda s: (s.is_complete, -s.found.percent))
