"""How far a user is from a goal (pure floor): criteria become closures over a row, as judges do.

Every progress document asks this of the whole catalogue; explanation.py adds the words.
"""

from collections.abc import Callable
from math import floor
from typing import Any, Final, NamedTuple

import msgspec

from achievements.criteria import SCALE, Combination, Measure, Node, Reach, Unlocked
from achievements.progress import Progress
from achievements.rule import read_value
from achievements.rulebook import Rulebook
from achievements.streak import current_streak
from achievements.window import count_values


class Reading(msgspec.Struct, rename="camel"):
    """`percent` is 100 only when the goal is met; `current` is None while nothing is known.

    Of an average, `tests` says over how many of the `tests_needed` it goes so far.
    """

    met: bool
    current: float | None
    target: float
    percent: int
    unit: str
    tests: int | None = None
    tests_needed: int | None = None


class Situation(NamedTuple):
    """Whose row is read, and when.

    `today` is the user's local day as days since 1970; a streak that ended before yesterday
    stands at nothing. `holds` tells whether a slug is unlocked.
    """

    row: Progress
    holds: Callable[[str], bool]
    today: int | None = None


Gauge = Callable[[Situation], Reading]

_PLAIN: Final = frozenset({"count", "sum", "best"})  # the value is what is judged and shown


def make_gauge(node: Node, rulebook: Rulebook) -> Gauge:
    """Compile a node whose targets are filled in."""
    if isinstance(node, Reach):
        return _make_reach_gauge(node, rulebook)
    if isinstance(node, Combination):
        return _make_combination_gauge(node, rulebook)
    return _make_unlocked_gauge(node)


def _make_unlocked_gauge(node: Unlocked) -> Gauge:
    def gauge(situation: Situation) -> Reading:
        met = situation.holds(node.slug)
        return Reading(met, int(met), 1, 100 * met, "achievements")

    return gauge


def _make_combination_gauge(node: Combination, rulebook: Rulebook) -> Gauge:
    needed, children = node.needed, [make_gauge(child, rulebook) for child in node.children]

    def gauge(situation: Situation) -> Reading:
        found = [child(situation) for child in children]
        met_count = sum(one.met for one in found)
        nearest = sorted((one.percent for one in found), reverse=True)[:needed]
        met = met_count >= needed
        percent = 100 if met else min(99, sum(nearest) // needed)
        return Reading(met, min(met_count, needed), needed, percent, "goals")

    return gauge


def _make_reach_gauge(node: Reach, rulebook: Rulebook) -> Gauge:
    measure, target = node.measure, node.at_least or 0
    position = rulebook.positions.get(measure.key)
    if position is None:  # a definition that is not live
        return lambda situation: Reading(False, None, target, 0, measure.unit)
    threshold, scale, unit = node.threshold, measure.scale, measure.unit
    kind, is_total, is_plain = measure.kind, measure.is_total, measure.kind in _PLAIN
    starts_again = not is_plain and kind != "distinct"
    needed = measure.last if kind == "average" else None

    def gauge(situation: Situation) -> Reading:
        row = situation.row
        if position >= len(row.values):  # a row from before it was counted, or without a test
            return Reading(False, None if row.values else 0, target, 0, unit)
        raw = row.values[position]
        value = raw if is_plain else read_value(kind, raw)
        if is_total and row.reported > value:
            value = row.reported
        met = value >= threshold and position < row.held
        if starts_again and not met:
            current = _read_current(measure, raw, situation.today)
        else:
            current = value / scale
        tests = count_values(raw) if needed else None
        if met:
            percent = 100
        else:
            share = min(1.0, current / target) if target else 0.0
            if needed and tests is not None:
                share *= tests / needed  # a few good tests are not yet `last`
            percent = min(99, floor(100 * share))
        return Reading(met, _tidy(current), target, percent, unit, tests, needed)

    return gauge


def _read_current(measure: Measure, raw: list[Any], today: int | None) -> float:
    """Where an unmet run, streak or average stands now: they start again."""
    if measure.kind == "run":
        return float(raw[1])
    if measure.kind == "streak":
        is_over = today is not None and today - raw[1] > 1
        return 0 if is_over else current_streak(raw)
    return float(raw[1]) / max(1, count_values(raw)) / SCALE


def _tidy(value: float) -> float:
    whole = int(value)
    return whole if value == whole else round(value, 2)
