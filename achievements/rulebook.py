"""Definitions compiled for speed (pure floor): accumulators, and an index of what moves what.

An event is turned into a bit mask of the accumulators whose conditions it passes: one
bisection a metric, whatever the number of rules. A mask has a plan, made once: what to
update, and for each accumulator the thresholds of the rules that wait for it. A rule is
looked at only when an accumulator crosses one of its thresholds.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import eq as equal
from operator import ge, gt, le, lt
from typing import Any, Final, NamedTuple

import msgspec

from achievements.criteria import (
    OCCURRED_AT,
    Condition,
    CriteriaError,
    Measure,
    Node,
    Reach,
    Unlocked,
    add_conditions,
    parse_criteria,
    set_target,
    walk,
)
from achievements.events import METRICS, Problem

MAX_PLANS: Final = 8192  # distinct masks remembered; beyond it the cache starts afresh

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "gte": ge, "gt": gt, "lte": le, "lt": lt, "eq": equal,
}  # fmt: skip
_COLUMNS: Final = {name: index for index, name in enumerate((*METRICS, OCCURRED_AT))}


class Level(msgspec.Struct, frozen=True):
    """One tier: the target that it sets (None when the criteria set it) and its points."""

    target: float | None
    points: int


class Definition(msgspec.Struct, frozen=True, rename="camel"):
    """One achievement as it is published; times are seconds since the epoch."""

    achievement_id: int
    slug: str
    criteria: Any
    levels: tuple[Level, ...]
    is_live: bool = True
    active_from: float | None = None
    active_until: float | None = None

    def parse(self) -> Node:
        """Parse the criteria; the window becomes conditions of every measure."""
        window = (("gte", self.active_from), ("lt", self.active_until))
        conditions = tuple(Condition(OCCURRED_AT, op, at) for op, at in window if at is not None)
        node = parse_criteria(self.criteria)
        return add_conditions(node, conditions) if conditions else node


class View(NamedTuple):
    """What a compiled node is judged on."""

    values: list[Any]
    reported: int  # the highest testCount that the site sent
    unlocked: Mapping[int, int]


Judge = Callable[[View], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One live achievement. `judges[n]` decides level n + 1."""

    definition: Definition
    nodes: tuple[Node, ...]
    judges: tuple[Judge, ...]
    needs: int  # positions below this must be backed by history before it is judged


@dataclass(slots=True)
class Ladder:
    """The thresholds on one accumulator, sorted, and the rules that wait at each."""

    thresholds: list[float] = field(default_factory=list)
    waiting: list[tuple[Rule, ...]] = field(default_factory=list)

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


class _Slot(NamedTuple):
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
        column = [_COLUMNS[self.measure.metric]] if self.measure.metric in METRICS else []
        last = [self.measure.last] if self.measure.last else []
        return self.position, *column, *last, self.ladder


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
        self.definitions = {d.achievement_id: d for d in definitions}
        self.positions = positions
        self._ids = {d.slug: d.achievement_id for d in self.definitions.values()}
        self.rules = tuple(self._compile(d) for d in self.definitions.values() if d.is_live)
        self.rules_by_id = {rule.definition.achievement_id: rule for rule in self.rules}
        self.dependents = self._index_dependents()
        self._slots = self._make_slots()
        self._groups = self._group_slots()
        self._measures = {slot.position: slot.measure for slot in self._slots}
        self.has_ordered = any(slot.measure.is_ordered for slot in self._slots)
        self._everything = (1 << len(self._slots)) - 1
        self._numbers, self._texts = self._index_conditions()
        self._plans: dict[int, Plan] = {}

    def plan_for(self, metrics: tuple[Any, ...], at: float) -> Plan:
        """Return what an event with these metrics, at this time, has to update."""
        mask = self._everything
        columns = (*metrics, at)
        for column, breaks, masks, missing in self._numbers:
            value = columns[column]
            # Even when between two breaks, odd when equal to one.
            if value is None:
                mask &= missing
            else:
                mask &= masks[bisect_left(breaks, value) + bisect_right(breaks, value)]
        for column, table, other in self._texts:
            mask &= table.get(columns[column], other)
        plan = self._plans.get(mask)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            plan = self._plans[mask] = self._make_plan(mask)
        return plan

    def find_moved(self, metrics: tuple[Any, ...], at: float) -> list[int]:
        """Return the achievements that an event with these metrics counts for."""
        plan = self.plan_for(metrics, at)
        moved = {entry[0] for group in plan[:-1] for entry in group}
        return [
            achievement_id
            for achievement_id, rule in self.rules_by_id.items()
            if moved & {self.positions[m.key] for m in find_node_measures(rule.nodes[0])}
        ]

    def make_blank(self, position: int) -> Any:
        """Return the value of an accumulator that has seen nothing."""
        measure = self._measures.get(position)
        match measure.kind if measure else None:
            case "average":
                return [0]
            case "run":
                return [0, 0]
            case "streak":
                return [0, 0, b""]
            case "distinct":
                return []
        return 0

    def count_points(self, unlocked: Mapping[int, int]) -> int:
        """Return the points of the levels held, by today's definitions."""
        return sum(
            level.points
            for achievement_id, held in unlocked.items()
            if achievement_id in self.definitions
            for level in self.definitions[achievement_id].levels[:held]
        )

    def _compile(self, definition: Definition) -> Rule:
        node = definition.parse()
        nodes = tuple(set_target(node, level.target) for level in definition.levels)
        needs = max((self.positions[m.key] + 1 for m in find_node_measures(node)), default=0)
        return Rule(definition, nodes, tuple(self._make_judge(n) for n in nodes), needs)

    def _make_judge(self, node: Node) -> Judge:
        if isinstance(node, Reach):
            return self._make_reach_judge(node)
        if isinstance(node, Unlocked):
            achievement_id = self._ids.get(node.slug, 0)
            return lambda view: view.unlocked.get(achievement_id, 0) > 0
        needed, judges = node.needed, [self._make_judge(child) for child in node.children]
        return lambda view: sum(judge(view) for judge in judges) >= needed

    def _make_reach_judge(self, node: Reach) -> Judge:
        position, threshold = self.positions[node.measure.key], find_threshold(node)
        if node.measure.is_total:
            return lambda view: max(view.values[position], view.reported) >= threshold
        kind = node.measure.kind
        return lambda view: read_value(kind, view.values[position]) >= threshold

    def _index_dependents(self) -> dict[int, tuple[Rule, ...]]:
        """From an achievement to the rules that ask for it."""
        dependents: dict[int, list[Rule]] = defaultdict(list)
        for rule in self.rules:
            for slug in find_slugs(rule.nodes[0]):
                dependents[self._ids.get(slug, 0)].append(rule)
        return {achievement_id: tuple(rules) for achievement_id, rules in dependents.items()}

    def _make_slots(self) -> list[_Slot]:
        measures: dict[str, Measure] = {}
        waiting: dict[str, dict[float, dict[Rule, None]]] = defaultdict(lambda: defaultdict(dict))
        for rule in self.rules:
            for node in rule.nodes:
                for leaf in walk(node):
                    if isinstance(leaf, Reach):
                        measures[leaf.measure.key] = leaf.measure
                        waiting[leaf.measure.key][find_threshold(leaf)][rule] = None
        slots = []
        for key, measure in measures.items():
            thresholds = sorted(waiting[key])
            ladder = Ladder(thresholds, [tuple(waiting[key][t]) for t in thresholds])
            slots.append(_Slot(self.positions[key], measure, ladder))
        return sorted(slots, key=lambda slot: _GROUPS.index(slot.group))

    def _group_slots(self) -> dict[str, tuple[int, list[Any]]]:
        """For each group of a plan, the first of its slots and the entries of all of them."""
        groups: dict[str, tuple[int, list[Any]]] = {}
        start = 0
        for group in _GROUPS:
            entries = [slot.make_entry() for slot in self._slots if slot.group == group]
            groups[group] = start, entries
            start += len(entries)
        return groups

    def _index_conditions(self) -> tuple[list[Any], list[Any]]:
        """For each metric that matters, the mask of accumulators that each value lets through."""
        numbers: list[Any] = []
        texts: list[Any] = []
        for name, column in _COLUMNS.items():
            conditions = [
                [c for c in slot.measure.where if c.metric == name] for slot in self._slots
            ]
            needed = [
                bool(own) or slot.measure.metric == name
                for own, slot in zip(conditions, self._slots, strict=True)
            ]
            if not any(needed):
                continue
            missing = _mask_of(not need for need in needed)
            if name in METRICS and METRICS[name].is_text:
                known = {text for own in conditions for c in own for text in _texts_of(c)}
                table = {text: _mask_of(_passes(own, text) for own in conditions) for text in known}
                table[None] = missing  # type: ignore[index]
                texts.append((column, table, _mask_of(not own for own in conditions)))
            else:
                breaks = sorted({_number_of(c) for own in conditions for c in own})
                masks = [
                    _mask_of(_passes(own, sample) for own in conditions)
                    for sample in _samples(breaks)
                ]
                numbers.append((column, breaks, masks, missing))
        return numbers, texts

    def _make_plan(self, mask: int) -> Plan:
        # One byte a slot, 0 or 1: compress then picks at C speed, and masks can be many.
        flags = f"{mask:0{len(self._slots)}b}"[::-1].encode().translate(_DIGITS_TO_FLAGS)
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


def find_threshold(leaf: Reach) -> float:
    """Return the leaf's target on the scale of its accumulator."""
    assert leaf.at_least is not None
    scale = leaf.measure.scale
    return round(leaf.at_least * scale) if scale > 1 else leaf.at_least


def read_value(kind: str, value: Any) -> float:
    """Return the number that is judged; it never falls while tests are added."""
    if kind == "distinct":
        return len(value)
    return value[0] if kind in ("average", "run", "streak") else value  # type: ignore[no-any-return]


def find_slugs(node: Node) -> set[str]:
    """Return the slugs that the criteria ask to be unlocked."""
    return {n.slug for n in walk(node) if isinstance(n, Unlocked)}


def find_node_measures(node: Node) -> list[Measure]:
    return [n.measure for n in walk(node) if isinstance(n, Reach)]


def find_measures(definitions: Iterable[Definition]) -> dict[str, Measure]:
    """Return the distinct accumulators that the live definitions need, by key."""
    live = (d.parse() for d in definitions if d.is_live)
    return {measure.key: measure for node in live for measure in find_node_measures(node)}


def check_references(definitions: Iterable[Definition]) -> dict[str, list[Problem]]:
    """Return, by slug, what is wrong with `unlocked` nodes: unknown slugs and cycles."""
    asks: dict[str, set[str]] = {}
    for definition in definitions:
        try:
            asks[definition.slug] = find_slugs(definition.parse())
        except CriteriaError:
            asks[definition.slug] = set()
    problems: dict[str, list[Problem]] = defaultdict(list)
    for slug, asked in asks.items():
        for other in sorted(asked - asks.keys()):
            problems[slug].append(
                Problem("/criteria", "unknown_slug", f"There is no achievement {other!r}.")
            )
        reached: set[str] = set()
        frontier = set(asked)
        while frontier:
            reached |= frontier
            frontier = set().union(*(asks.get(s, set()) for s in frontier)) - reached
        if slug in reached:
            problems[slug].append(
                Problem("/criteria", "cycle", "This achievement asks for itself, through unlocked.")
            )
    return dict(problems)


def _passes(conditions: Iterable[Condition], value: Any) -> bool:
    return all(
        value in c.operand
        if isinstance(c.operand, tuple)
        else _OPERATORS[c.operator](value, c.operand)
        for c in conditions
    )


def _number_of(condition: Condition) -> float:
    assert not isinstance(condition.operand, tuple)
    return condition.operand


def _texts_of(condition: Condition) -> tuple[str, ...]:
    assert isinstance(condition.operand, tuple)
    return condition.operand


def _samples(breaks: list[float]) -> list[float]:
    """One value below the first break, then alternately on a break and just above it."""
    if not breaks:
        return [0.0]
    samples = [breaks[0] - 1]
    for here, following in zip(breaks, [*breaks[1:], breaks[-1] + 2], strict=True):
        samples += [here, (here + following) / 2]
    return samples


def _mask_of(flags: Iterable[bool]) -> int:
    return sum(1 << bit for bit, flag in enumerate(flags) if flag)
