"""What an event updates (pure floor): one plan for each mask, made once and kept."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Final, NamedTuple

from achievements.criteria import Measure, Reach, walk
from achievements.events import METRICS
from achievements.masks import COLUMNS
from achievements.rule import Rule

MAX_PLANS: Final = 8192  # distinct masks remembered; beyond it the cache starts afresh


@dataclass(frozen=True, slots=True)
class Ladder:
    """The thresholds on one accumulator, sorted, and the rules that wait at each."""

    thresholds: list[float]
    waiting: list[tuple[Rule, ...]]

    def crossed(self, old: float, new: float) -> Sequence[Rule]:
        """Return the rules with a threshold above `old` and at or below `new`."""
        thresholds = self.thresholds
        start = bisect_right(thresholds, old)
        if start == len(thresholds) or thresholds[start] > new:
            return ()  # nearly always
        stop = bisect_right(thresholds, new, start)
        return [rule for rules in self.waiting[start:stop] for rule in rules]


class Plan(NamedTuple):
    """What one kind of event updates; each entry is a position and what goes with it."""

    total: tuple[tuple[int, Ladder], ...]
    counts: tuple[tuple[int, dict[float, tuple[Rule, ...]]], ...]
    sums: tuple[tuple[int, int, Ladder], ...]
    bests: tuple[tuple[int, int, Ladder], ...]
    streaks: tuple[tuple[int, Ladder], ...]
    distincts: tuple[tuple[int, int, Ladder], ...]
    averages: tuple[tuple[int, int, int, Ladder], ...]
    runs: tuple[tuple[int, Ladder], ...]
    broken_runs: tuple[int, ...]


_GROUPS: Final = Plan._fields[:-1]  # broken runs are the runs that are not chosen
_DIGITS_TO_FLAGS: Final = bytes.maketrans(b"01", b"\0\1")


class Slot(NamedTuple):
    """One accumulator that live rules wait on."""

    position: int
    measure: Measure
    ladder: Ladder

    @property
    def group(self) -> str:
        return "total" if self.measure.is_total else f"{self.measure.kind}s"

    def make_entry(self) -> tuple[Any, ...]:
        """Return what a plan says of this slot, in the form of its group."""
        if self.group == "counts":
            waiting = zip(self.ladder.thresholds, self.ladder.waiting, strict=True)
            return self.position, dict(waiting)
        column = [COLUMNS[self.measure.metric]] if self.measure.metric in METRICS else []
        last = [self.measure.last] if self.measure.last else []
        return self.position, *column, *last, self.ladder


def make_slots(rules: Iterable[Rule], positions: Mapping[str, int]) -> list[Slot]:
    """Return the slots of all rules, shared between them, in the order of a plan's groups."""
    measures: dict[str, Measure] = {}
    waiting: dict[str, dict[float, dict[Rule, None]]] = defaultdict(lambda: defaultdict(dict))
    for rule in rules:
        for node in rule.nodes:
            for leaf in walk(node):
                if isinstance(leaf, Reach):
                    measures[leaf.measure.key] = leaf.measure
                    waiting[leaf.measure.key][leaf.threshold][rule] = None
    slots = []
    for key, measure in measures.items():
        thresholds = sorted(waiting[key])
        ladder = Ladder(thresholds, [tuple(waiting[key][t]) for t in thresholds])
        slots.append(Slot(positions[key], measure, ladder))
    return sorted(slots, key=lambda slot: _GROUPS.index(slot.group))


class Plans:
    """Makes the plan of a mask over slots, where bit n is slot n."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slot_count = len(slots)
        self._plans: dict[int, Plan] = {}
        self._groups: dict[str, tuple[int, list[tuple[Any, ...]]]] = {}
        start = 0
        for group in _GROUPS:
            entries = [slot.make_entry() for slot in slots if slot.group == group]
            self._groups[group] = start, entries
            start += len(entries)

    def get(self, mask: int) -> Plan:
        plan = self._plans.get(mask)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            plan = self._plans[mask] = self._make_plan(mask)
        return plan

    def _make_plan(self, mask: int) -> Plan:
        # One byte a slot, 0 or 1: compress then picks at C speed, and masks can be many.
        flags = f"{mask:0{self._slot_count}b}"[::-1].encode().translate(_DIGITS_TO_FLAGS)
        chosen = {
            group: tuple(compress(entries, flags[start : start + len(entries)]))
            for group, (start, entries) in self._groups.items()
        }
        start, runs = self._groups["runs"]
        broken = (
            entry[0]
            for entry, flag in zip(runs, flags[start : start + len(runs)], strict=True)
            if not flag
        )
        return Plan(**chosen, broken_runs=tuple(broken))
