"""Baseline: rules as closures, and a plain loop over all of them for every event.

It does everything that the engine's pure path does (decode the event and the row, recognise
duplicates, keep the same accumulators, encode the row) but without an index: every
accumulator's conditions are asked, and every rule that is not complete is evaluated.
"""

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, itemgetter, le, lt
from typing import Any, Final

from achievements.criteria import SCALE, Condition, Measure, Node, Reach, Unlocked
from achievements.definition import find_node_measures
from achievements.events import METRICS, Event, read_metrics
from achievements.progress import Progress, Unlock
from achievements.rule import Rule
from achievements.rulebook import Rulebook
from achievements.streak import SECONDS_A_DAY, add_day
from achievements.window import add_value

Passes = Callable[[tuple[Any, ...]], bool]
Update = Callable[[list[Any], tuple[Any, ...], int], None]
Met = Callable[[list[Any], Mapping[int, int]], bool]
_COLUMNS: Final = {name: column for column, name in enumerate(METRICS)}
_OPERATORS: Final = {"gte": ge, "gt": gt, "lte": le, "lt": lt, "eq": eq}


class ClosureLoop:
    """The rules of a rulebook as closures. Tests must come in their order."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._ids = {d.slug: d.achievement_id for d in rulebook.definitions.values()}
        self._positions = rulebook.positions
        self._count_points = rulebook.count_points
        measures = {m.key: m for r in rulebook.rules for m in find_node_measures(r.nodes[0])}
        self._updates = [_make_update(m, self._positions[key]) for key, m in measures.items()]
        self._rules = [self._make_rule(rule) for rule in rulebook.rules]

    def apply(self, progress: Progress, event: Event) -> list[Unlock]:
        """Count one test unless it was seen, and return what it unlocks."""
        completed = progress.completed
        if completed.holds(event.test_result_id):
            return []
        completed.add(event.test_result_id)
        assert event.occurred_at is not None
        at = event.occurred_at.timestamp()
        metrics, values = read_metrics(event.metrics), progress.values
        day = int(at + event.utc_offset_minutes * 60) // SECONDS_A_DAY
        progress.last_at, progress.last_id = at, event.test_result_id
        progress.utc_offset_minutes = event.utc_offset_minutes
        for update in self._updates:
            update(values, metrics, day)
        held = progress.unlocked
        unlocks: list[Unlock] = []
        has_found = True
        while has_found:  # an unlock can complete a collection
            has_found = False
            for achievement_id, levels in self._rules:
                level = held.get(achievement_id, 0)
                while level < len(levels) and levels[level](values, held):
                    level += 1
                    held[achievement_id] = level
                    unlocks.append(Unlock(achievement_id, level, event))
                    has_found = True
        if unlocks:
            progress.set_unlocked(held, self._count_points(held))
        return unlocks

    def _make_rule(self, rule: Rule) -> tuple[int, list[Met]]:
        return rule.definition.achievement_id, [self._make_met(node) for node in rule.nodes]

    def _make_met(self, node: Node) -> Met:
        if isinstance(node, Unlocked):
            achievement_id = self._ids[node.slug]
            return lambda values, held: achievement_id in held
        if isinstance(node, Reach):
            position, threshold = self._positions[node.measure.key], node.threshold
            kind = node.measure.kind
            if kind == "distinct":
                return lambda values, held: len(values[position]) >= threshold
            if kind in ("average", "run", "streak"):
                return lambda values, held: values[position][0] >= threshold
            return lambda values, held: values[position] >= threshold
        children, needed = [self._make_met(child) for child in node.children], node.needed
        return lambda values, held: sum(met(values, held) for met in children) >= needed


def _make_passes(measure: Measure) -> Passes:
    conditions = [_make_condition(condition) for condition in measure.where]
    if measure.metric in _COLUMNS:
        column = _COLUMNS[measure.metric]
        conditions.append(lambda metrics: metrics[column] is not None)
    if not conditions:
        return lambda metrics: True
    if len(conditions) == 1:
        return conditions[0]
    if len(conditions) == 2:
        first, second = conditions
        return lambda metrics: first(metrics) and second(metrics)
    return lambda metrics: all(condition(metrics) for condition in conditions)


def _make_condition(condition: Condition) -> Passes:
    column, operand = _COLUMNS[condition.metric], condition.operand
    if isinstance(operand, tuple):
        return lambda metrics: metrics[column] in operand
    compare = _OPERATORS[condition.operator]
    return lambda metrics: metrics[column] is not None and compare(metrics[column], operand)


def _make_update(measure: Measure, position: int) -> Update:
    passes, last = _make_passes(measure), measure.last
    read = itemgetter(_COLUMNS.get(measure.metric, 0))

    def count(values: list[Any], metrics: tuple[Any, ...], day: int) -> None:
        if passes(metrics):
            values[position] += 1

    def add(values: list[Any], metrics: tuple[Any, ...], day: int) -> None:
        if passes(metrics):
            values[position] += round(read(metrics) * SCALE)

    def keep_best(values: list[Any], metrics: tuple[Any, ...], day: int) -> None:
        if passes(metrics) and read(metrics) > values[position]:
            values[position] = read(metrics)

    def keep_average(values: list[Any], metrics: tuple[Any, ...], day: int) -> None:
        if passes(metrics):
            add_value(values[position], round(read(metrics) * SCALE), last)

    def run(values: list[Any], metrics: tuple[Any, ...], day: int) -> None:
        value = values[position]
        value[1] = value[1] + 1 if passes(metrics) else 0
        value[0] = max(value)

    def streak(values: list[Any], metrics: tuple[Any, ...], day: int) -> None:
        if passes(metrics) and values[position][1] != day:
            add_day(values[position], day)

    def collect(values: list[Any], metrics: tuple[Any, ...], day: int) -> None:
        if passes(metrics) and read(metrics) not in values[position]:
            values[position] = sorted([*values[position], read(metrics)])

    return {
        "count": count, "sum": add, "best": keep_best, "average": keep_average,
        "run": run, "streak": streak, "distinct": collect,
    }[measure.kind]  # fmt: skip
