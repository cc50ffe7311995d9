"""Which measures an event counts for (pure floor), as a bit mask.

The operands of all conditions on a metric cut its values into pieces, and each piece has
the mask of the measures that it lets through: one bisection a metric, whatever the number
of conditions.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from operator import eq, ge, gt, le, lt
from typing import Any, Final

from achievements.criteria import OCCURRED_AT, Condition, Measure
from achievements.events import METRICS

COLUMNS: Final = {name: index for index, name in enumerate((*METRICS, OCCURRED_AT))}
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "gte": ge, "gt": gt, "lte": le, "lt": lt, "eq": eq,
}  # fmt: skip


class Masks:
    """Bit n stands for measure n of those it was made from."""

    def __init__(self, measures: Sequence[Measure]) -> None:
        self._everything = (1 << len(measures)) - 1
        self._numbers: list[tuple[int, list[float], list[int], int]] = []
        self._texts: list[tuple[int, dict[str | None, int], int]] = []
        for name, column in COLUMNS.items():
            conditions = [[c for c in m.where if c.metric == name] for m in measures]
            needed = [
                bool(own) or measure.metric == name
                for own, measure in zip(conditions, measures, strict=True)
            ]
            if any(needed):
                missing = _mask_of(not need for need in needed)
                if name in METRICS and METRICS[name].is_text:
                    self._add_text(column, conditions, missing)
                else:
                    self._add_number(column, conditions, missing)

    def select(self, columns: Sequence[Any]) -> int:
        """Return the mask for an event's values, in the order of COLUMNS; None is missing."""
        mask = self._everything
        for column, breaks, masks, missing in self._numbers:
            value = columns[column]
            if value is None:
                mask &= missing
            else:
                # Even between two breaks, odd on one.
                mask &= masks[bisect_left(breaks, value) + bisect_right(breaks, value)]
        for column, table, other in self._texts:
            mask &= table.get(columns[column], other)
        return mask

    def _add_number(self, column: int, conditions: list[list[Condition]], missing: int) -> None:
        breaks = sorted({_number_of(c) for own in conditions for c in own})
        masks = [
            _mask_of(_passes(own, sample) for own in conditions) for sample in _samples(breaks)
        ]
        self._numbers.append((column, breaks, masks, missing))

    def _add_text(self, column: int, conditions: list[list[Condition]], missing: int) -> None:
        known = {text for own in conditions for c in own for text in _texts_of(c)}
        table: dict[str | None, int] = {
            text: _mask_of(_passes(own, text) for own in conditions) for text in known
        }
        table[None] = missing
        self._texts.append((column, table, _mask_of(not own for own in conditions)))


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
