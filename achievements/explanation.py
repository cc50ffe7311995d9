"""Why, or why not yet (pure floor): criteria in plain words, with current value and target."""

from collections.abc import Callable, Mapping
from math import floor
from typing import Final

import msgspec

from achievements.criteria import SCALE, Combination, Condition, Measure, Node, Reach, Unlocked
from achievements.events import METRICS
from achievements.progress import Progress
from achievements.rule import read_value
from achievements.rulebook import Rulebook
from achievements.streak import current_streak
from achievements.window import count_values

NO_NAMES: Final[Mapping[str, str]] = {}
_COMPARISONS: Final = {
    "gte": "at least {}", "gt": "more than {}", "lte": "at most {}", "lt": "less than {}",
    "eq": "exactly {}",
}  # fmt: skip


class Explanation(msgspec.Struct, rename="camel"):
    """One node: `percent` is 100 only when it is met; `current` is None while nothing is known.

    Of an average, `tests` says over how many of the `tests_needed` it goes so far.
    """

    sentence: str
    met: bool
    current: float | None
    target: float
    percent: int
    unit: str
    children: list["Explanation"] = []
    tests: int | None = None
    tests_needed: int | None = None


def describe(node: Node, names: Mapping[str, str] = NO_NAMES) -> str:
    """Return the node as one sentence; `names` gives the names of achievements by slug."""
    text = _phrase(node, names)
    return f"{text[0].upper()}{text[1:]}."


def explain(
    node: Node,
    rulebook: Rulebook,
    progress: Progress,
    *,
    today: int | None = None,
    names: Mapping[str, str] | None = NO_NAMES,
    holds: Callable[[str], bool],
) -> Explanation:
    """Explain a node with every target filled in, for one user.

    Without `names` the sentences stay empty: they are half of the work, and progress has none.
    `today` is the user's local day as days since 1970; a streak that ended before
    yesterday stands at nothing. `holds` tells whether a slug is unlocked.
    """
    if isinstance(node, Reach):
        return _explain_reach(node, rulebook, progress, today, names)
    if isinstance(node, Combination):
        children = [
            explain(child, rulebook, progress, today=today, names=names, holds=holds)
            for child in node.children
        ]
        met_count = sum(child.met for child in children)
        met = met_count >= node.needed
        nearest = sorted((child.percent for child in children), reverse=True)[: node.needed]
        percent = 100 if met else min(99, sum(nearest) // node.needed)
        return Explanation(
            _say(node, names),
            met,
            min(met_count, node.needed),
            node.needed,
            percent,
            "goals",
            children,
        )
    met = holds(node.slug)
    return Explanation(_say(node, names), met, int(met), 1, 100 * met, "achievements")


def _say(node: Node, names: Mapping[str, str] | None) -> str:
    return "" if names is None else describe(node, names)


def _explain_reach(
    node: Reach,
    rulebook: Rulebook,
    progress: Progress,
    today: int | None,
    names: Mapping[str, str] | None,
) -> Explanation:
    measure, target = node.measure, node.at_least or 0
    position = rulebook.positions.get(measure.key)
    if position is None or position >= len(progress.values):
        # Not counted at all: a definition that is not live, or a row from before it was.
        is_new = not progress.values and position is not None
        current = 0.0 if is_new else None
        return Explanation(_say(node, names), False, current, target, 0, measure.unit)
    raw = progress.values[position]
    value = read_value(measure.kind, raw)
    if measure.is_total:
        value = max(value, progress.reported)
    met = value >= node.threshold and position < progress.held
    current = value / measure.scale if met else _current(measure, raw, value, today)
    share = min(1.0, current / target) if target else 0.0
    tests = tests_needed = None
    if measure.kind == "average":
        tests, tests_needed = count_values(raw), measure.last
        share *= tests / tests_needed  # a few good tests are not yet `last`
    return Explanation(
        sentence=_say(node, names),
        met=met,
        current=_tidy(current),
        target=target,
        percent=100 if met else min(99, floor(100 * share)),
        unit=measure.unit,
        tests=tests,
        tests_needed=tests_needed,
    )


def _current(measure: Measure, raw: list[int], value: float, today: int | None) -> float:
    """Where an unmet goal stands now: runs, streaks and averages start again."""
    if measure.kind == "run":
        return raw[1]
    if measure.kind == "streak":
        is_over = today is not None and today - raw[1] > 1
        return 0 if is_over else current_streak(raw)
    if measure.kind == "average":
        return raw[1] / max(1, count_values(raw)) / SCALE
    return value / measure.scale


def _tidy(value: float) -> float:
    return int(value) if value == int(value) else round(value, 2)


def _phrase(node: Node, names: Mapping[str, str]) -> str:
    if isinstance(node, Unlocked):
        return f"unlock “{names.get(node.slug, node.slug)}”"
    if isinstance(node, Combination):
        parts = [_phrase(child, names) for child in node.children]
        if len(parts) == 1:
            return parts[0]
        if node.needed == len(parts):
            return ", and ".join(parts)
        if node.needed == 1:
            return ", or ".join(parts)
        return f"do {node.needed} of these {len(parts)}: " + "; ".join(parts)
    return _phrase_reach(node.measure, node.at_least)


def _phrase_reach(measure: Measure, target: float | None) -> str:
    where = _phrase_where(measure.where)
    if target is None:
        amount = "the level’s number of"
    else:
        amount = f"{target:,.0f}" if target == int(target) else f"{target:,g}"
    one = target == 1
    match measure.kind:
        case "count":
            return f"finish {amount} {'test' if one else 'tests'}{where}"
        case "run":
            return f"finish {amount} {'test' if one else 'tests in a row'}{where}"
        case "streak":
            return f"type on {amount} {'day' if one else 'days in a row'}{where}"
        case "distinct":
            noun = METRICS[measure.metric].noun
            return f"type in {amount} {noun if one else f'different {noun}s'}{where}"
        case "sum":
            if measure.metric == "durationSeconds" and target is not None:
                return f"type for {_say_seconds(target)} in all{where}"
            return f"collect {amount} {_unit_of(measure.metric)} in all{where}"
        case "average":
            value = _say_number(measure.metric, target)
            return f"average {value} over {measure.last} tests in a row{where}"
    return f"reach {_say_number(measure.metric, target)}{where}"


def _phrase_where(where: tuple[Condition, ...]) -> str:
    numbers, texts = [], []
    for condition in where:
        if isinstance(condition.operand, tuple):
            noun = METRICS[condition.metric].noun
            names = " or ".join(condition.operand)
            texts.append(f"in {names} mode" if noun == "mode" else f"in {names}")
        elif condition.metric in METRICS:
            value = _say_number(condition.metric, condition.operand)
            numbers.append(_COMPARISONS[condition.operator].format(value))
        else:
            texts.append("while it is open")
    said = [f"with {' and '.join(numbers)}"] if numbers else []
    said += dict.fromkeys(texts)
    return "".join(f" {part}" for part in said)


def _say_number(name: str, value: float | None) -> str:
    metric = METRICS[name]
    if value is None:
        return f"the level’s {metric.noun}"
    if name == "durationSeconds":
        return _say_seconds(value)
    number = f"{value:,g}" if value < 1_000_000 else f"{value:,.0f}"
    match metric.unit:
        case "%":
            return f"{number}% {metric.noun}"
        case "wpm":
            return f"{number} {'raw wpm' if name == 'rawWpm' else 'wpm'}"
        case "":
            return f"{metric.noun} {number}"
    return f"{number} {metric.unit}"


def _unit_of(name: str) -> str:
    return METRICS[name].unit or METRICS[name].noun


def _say_seconds(seconds: float) -> str:
    for size, noun in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            amount = int(seconds // size)
            return f"{amount:,} {noun if amount == 1 else noun + 's'}"
    return f"{seconds:,g} seconds"
