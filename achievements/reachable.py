"""What no test can ever meet (pure floor): conditions and targets outside of a metric's values.

Asked of new definitions only: what was published before has to stay readable.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from achievements.criteria import Condition, Measure
from achievements.events import METRICS, Metric


class _Range(NamedTuple):
    """The values from `low` to `high`; an open end is not one of them."""

    low: float
    high: float
    is_low_open: bool = False
    is_high_open: bool = False

    def is_empty(self) -> bool:
        return self.low > self.high or (
            self.low == self.high and (self.is_low_open or self.is_high_open)
        )


def find_unmet_conditions(conditions: Iterable[Condition]) -> Iterator[tuple[str, str]]:
    """Yield (place below `where`, detail) of what no test meets, of conditions of one metric."""
    conditions = list(conditions)
    if not conditions:
        return
    metric = METRICS[conditions[0].metric]
    if metric.is_text:
        if _find_common_texts(conditions) == set():
            yield metric.name, "No text is in all of these lists, so this is never met."
        return
    lonely = [c for c in conditions if _find_range(metric, [c]).is_empty()]
    for condition in lonely:
        yield (
            f"{metric.name}/{condition.operator}",
            f"{metric.name} is {_say_values(metric)}, so {_say(condition)} is never met.",
        )
    if not lonely and _find_range(metric, conditions).is_empty():
        said = " and ".join(map(_say, conditions))
        yield metric.name, f"No {metric.name} is {said} at once, so this is never met."


def find_unreachable_target(measure: Measure, target: float) -> tuple[str, str] | None:
    """Return (code, detail) of a target that the measure's own `where` keeps out of reach."""
    own = [c for c in measure.where if c.metric == measure.metric]
    if measure.kind == "distinct":
        texts = _find_common_texts(own)
        if texts is not None and target > len(texts):
            return (
                "never_met",
                f"where lets {len(texts)} through at most, so {target:g} is never met.",
            )
    if measure.kind in ("best", "average") and own:
        highest = _find_range(METRICS[measure.metric], own)
        if target > highest.high or (target == highest.high and highest.is_high_open):
            below = "below" if highest.is_high_open else "at most"
            kept = f"where keeps {measure.metric} {below} {highest.high:g}"
            return "never_met", f"{kept}, so {target:g} is never met."
    return None


def _find_range(metric: Metric, conditions: Iterable[Condition]) -> _Range:
    # Of two equal ends the open one is the narrower.
    lows: list[tuple[float, bool]] = [(0, metric.is_positive)]
    highs: list[tuple[float, bool]] = [(metric.maximum, True)]
    for condition in conditions:
        value: Any = condition.operand
        if condition.operator in ("gte", "gt", "eq"):
            lows.append((value, condition.operator == "gt"))
        if condition.operator in ("lte", "lt", "eq"):
            highs.append((value, condition.operator != "lt"))
    (low, is_low_open), (high, is_high_closed) = max(lows), min(highs)
    if metric.is_whole:
        low = math.floor(low) + 1 if is_low_open else math.ceil(low)
        high = math.floor(high) if is_high_closed else math.ceil(high) - 1
        return _Range(low, high)
    return _Range(low, high, is_low_open, not is_high_closed)


def _find_common_texts(conditions: Iterable[Condition]) -> set[str] | None:
    """Return the texts that pass all conditions; None where any text does."""
    lists = [set(c.operand) for c in conditions if isinstance(c.operand, tuple)]
    return set.intersection(*lists) if lists else None


def _say(condition: Condition) -> str:
    return f"{condition.operator} {condition.operand}"


def _say_values(metric: Metric) -> str:
    whole = "a whole number " * metric.is_whole
    start = "above" if metric.is_positive else "from"
    middle = "and up to" if metric.is_positive else "to"
    return f"{whole}{start} 0 {middle} {metric.maximum:,.0f}"
