"""Why, or why not yet (pure floor): criteria in plain words, with current value and target."""

from collections.abc import Mapping
from typing import Final

import msgspec

from achievements.criteria import Combination, Condition, Measure, Node, Unlocked
from achievements.events import METRICS
from achievements.gauge import Reading, Situation, make_gauge
from achievements.rulebook import Rulebook

NO_NAMES: Final[Mapping[str, str]] = {}
_COMPARISONS: Final = {
    "gte": "at least {}", "gt": "more than {}", "lte": "at most {}", "lt": "less than {}",
    "eq": "exactly {}",
}  # fmt: skip


class Explanation(Reading, kw_only=True):
    """What a node reads, in words; `children` are those of a combination."""

    sentence: str
    children: list["Explanation"]


def describe(node: Node, names: Mapping[str, str] = NO_NAMES) -> str:
    """Return the node as one sentence; `names` gives the names of achievements by slug."""
    text = _phrase(node, names)
    return f"{text[0].upper()}{text[1:]}."


def explain(
    node: Node, rulebook: Rulebook, situation: Situation, names: Mapping[str, str] = NO_NAMES
) -> Explanation:
    """Explain a node with every target filled in, for one user."""
    children = node.children if isinstance(node, Combination) else ()
    return Explanation(
        **msgspec.structs.asdict(make_gauge(node, rulebook)(situation)),
        sentence=describe(node, names),
        children=[explain(child, rulebook, situation, names) for child in children],
    )


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
