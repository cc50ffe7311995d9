"""All definitions, compiled for speed (pure floor).

An event becomes a mask of the measures that it counts for (masks.py), the mask has a plan
of what to update (plans.py), and a rule is looked at only when a value crosses one of its
thresholds. So the cost of an event follows what it moves, not the number of rules.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from achievements.definition import Definition, find_slugs
from achievements.masks import Masks
from achievements.plans import Plan, Plans, make_slots
from achievements.rule import Rule, compile_rule


class Rulebook:
    """An immutable compiled set of definitions. A batch uses one, and records its version."""

    def __init__(
        self,
        *,
        version: int,
        definitions: Iterable[Definition],
        positions: Mapping[str, int],
        size: int | None = None,
    ) -> None:
        """`positions` gives every measure's key its place in a user's packed values.

        `size` is the number of places ever given, retired ones included.
        """
        self.version = version
        self.size = max(positions.values(), default=-1) + 1 if size is None else size
        self.positions = positions
        self.definitions = {d.achievement_id: d for d in definitions}
        ids = {d.slug: d.achievement_id for d in self.definitions.values()}
        live = (d for d in self.definitions.values() if d.is_live)
        self.rules = tuple(compile_rule(d, positions, ids) for d in live)
        self.rules_by_id = {rule.definition.achievement_id: rule for rule in self.rules}
        self.dependents = _index_dependents(self.rules, ids)
        slots = make_slots(self.rules, positions)
        self.has_ordered = any(slot.measure.is_ordered for slot in slots)
        self._kinds = {slot.position: slot.measure.kind for slot in slots}
        self.fed = frozenset(self._kinds)  # the positions that an event can move
        self._points = _Points(self.definitions)
        self._masks = Masks([slot.measure for slot in slots])
        self._plans = Plans(slots)

    def plan_for(self, metrics: tuple[Any, ...], at: float) -> Plan:
        """Return what an event with these metrics, at this time, has to update."""
        return self._plans.get(self._masks.select((*metrics, at)))

    def find_moved(self, metrics: tuple[Any, ...], at: float) -> list[int]:
        """Return the achievements that an event with these metrics counts for."""
        plan = self.plan_for(metrics, at)
        return self._find_asking({entry[0] for group in plan[:-1] for entry in group})

    def find_changed(self, metrics: tuple[Any, ...], at: float) -> list[int]:
        """Return the achievements that it counts for, and those of which it breaks a run."""
        plan = self.plan_for(metrics, at)
        moved = {entry[0] for group in plan[:-1] for entry in group}
        return self._find_asking(moved.union(plan.broken_runs))

    def find_dependent(self) -> set[int]:
        """Return the achievements that ask for another one, which an unlock may change."""
        rules = (rule for found in self.dependents.values() for rule in found)
        return {rule.definition.achievement_id for rule in rules}

    def _find_asking(self, positions: Collection[int]) -> list[int]:
        return [
            achievement_id
            for achievement_id, rule in self.rules_by_id.items()
            if not rule.positions.isdisjoint(positions)
        ]

    def make_blank(self, position: int) -> Any:
        """Return the value of an accumulator that has seen nothing."""
        match self._kinds.get(position):
            case "average":
                return [0, 0, b""]
            case "run":
                return [0, 0]
            case "streak":
                return [0, 0, b""]
            case "distinct":
                return []
        return 0

    def count_points(self, unlocked: Mapping[int, int]) -> int:
        """Return the points of the levels held, by today's definitions."""
        return sum(map(self._points.__getitem__, unlocked.items()))


class _Points(dict[tuple[int, int], int]):
    """From (achievement id, level held) to the points of this level and those below it.

    A user holds hundreds of levels: summing them is a look-up each, at C speed.
    """

    def __init__(self, definitions: Mapping[int, Definition]) -> None:
        self._definitions = definitions

    def __missing__(self, key: tuple[int, int]) -> int:
        achievement_id, held = key
        definition = self._definitions.get(achievement_id)
        points = sum(level.points for level in definition.levels[:held]) if definition else 0
        self[key] = points
        return points


def _index_dependents(rules: Iterable[Rule], ids: Mapping[str, int]) -> dict[int, tuple[Rule, ...]]:
    """From an achievement to the rules that ask for it."""
    dependents: dict[int, list[Rule]] = defaultdict(list)
    for rule in rules:
        for slug in find_slugs(rule.nodes[0]):
            dependents[ids.get(slug, 0)].append(rule)
    return {achievement_id: tuple(found) for achievement_id, found in dependents.items()}
