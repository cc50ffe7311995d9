"""The nodes of criteria (pure floor); criteria_parser.py makes them from JSON.

Three kinds of node: `Reach` compares one measure of a user's tests with a target,
`Unlocked` asks for another achievement, `Combination` asks for some of its children.
All of them are monotone: a further test can make a node met, never unmet.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from achievements.events import METRICS, Problem

MAX_DISTINCT: Final = 256
MAX_TARGET: Final = 10**12
DECIMALS: Final = 3
SCALE: Final = 10**DECIMALS  # sums and averages are kept in whole thousandths, so they commute

COUNTING: Final = {"count": "tests", "run": "tests", "streak": "days"}
MEASURES: Final = ("count", "sum", "best", "average", "streak", "run", "distinct")
OCCURRED_AT: Final = "occurredAt"  # the window of a definition, as a condition; not for authors


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """One test of one metric; `operand` is a number, or the allowed texts in order."""

    metric: str
    operator: str
    operand: float | tuple[str, ...]


@dataclass(frozen=True)
class Measure:
    """What one accumulator holds: a kind, over a metric, of the tests that pass `where`.

    What follows from that is worked out once: each progress document asks for it of every goal.
    """

    kind: str
    metric: str
    where: tuple[Condition, ...] = ()
    last: int = 0

    @cached_property
    def key(self) -> str:
        """The canonical name: equal measures have equal keys, in every release."""
        where = "&".join(f"{c.metric} {c.operator} {_text_of(c.operand)}" for c in self.where)
        return f"{self.kind} {self.metric}{f' last {self.last}' * bool(self.last)}?{where}"

    @cached_property
    def is_total(self) -> bool:
        """Whether this is the bare count of tests, which believes the site's testCount."""
        return self.kind == "count" and not self.where

    @cached_property
    def is_ordered(self) -> bool:
        """Whether the order of the tests matters, so that a late one asks for a replay."""
        return self.kind in ("run", "average")

    @cached_property
    def scale(self) -> int:
        """What a target is multiplied by to be compared with the accumulated value."""
        if self.kind == "average":
            return SCALE * self.last
        return SCALE if self.kind == "sum" else 1

    @cached_property
    def unit(self) -> str:
        if self.kind in COUNTING:
            return self.metric
        return METRICS[self.metric].unit


@dataclass(frozen=True)
class Reach:
    """Met when the measure is at least `at_least`; None takes the level's target."""

    measure: Measure
    at_least: float | None

    @cached_property
    def threshold(self) -> float:
        """The target on the scale of the accumulator."""
        assert self.at_least is not None
        scale = self.measure.scale
        return round(self.at_least * scale) if scale > 1 else self.at_least


@dataclass(frozen=True, slots=True)
class Unlocked:
    """Met while the user holds the achievement `slug`, at any level."""

    slug: str


@dataclass(frozen=True, slots=True)
class Combination:
    """Met when at least `needed` of the children are: all, any, or some of them."""

    needed: int
    children: tuple["Node", ...]


Node = Reach | Unlocked | Combination


class CriteriaError(ValueError):
    """Criteria that break the language; `problems` name every node and bound."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{p.pointer or '/'}: {p.detail}" for p in problems))
        self.problems = problems


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and everything below it."""
    yield node
    if isinstance(node, Combination):
        for child in node.children:
            yield from walk(child)


def count_open_targets(node: Node) -> int:
    """How many leaves leave their target to the levels."""
    return sum(isinstance(n, Reach) and n.at_least is None for n in walk(node))


def set_target(node: Node, target: float | None) -> Node:
    """Return the node with the open target filled in."""
    if isinstance(node, Combination):
        return replace(node, children=tuple(set_target(child, target) for child in node.children))
    if isinstance(node, Reach) and node.at_least is None:
        return replace(node, at_least=target)
    return node


def add_conditions(node: Node, conditions: tuple[Condition, ...]) -> Node:
    """Return the node with the conditions added to the `where` of every measure."""
    if isinstance(node, Combination):
        children = tuple(add_conditions(child, conditions) for child in node.children)
        return replace(node, children=children)
    if isinstance(node, Reach):
        where = tuple(sorted({*node.measure.where, *conditions}, key=condition_order))
        return replace(node, measure=replace(node.measure, where=where))
    return node


def find_target_problem(measure: Measure, target: Any) -> tuple[str, str] | None:
    """Return (code, detail) of what is wrong with a target of this measure, or None."""
    if not is_number(target):
        return "type", "The target must be a finite number."
    if not 0 < target <= MAX_TARGET:
        return "bound", f"The target must be above 0 and at most {MAX_TARGET}."
    if round(target, DECIMALS) != target:
        return "bound", f"The target may have at most {DECIMALS} decimals."
    if (measure.kind in COUNTING or measure.kind == "distinct") and target != int(target):
        return "bound", f"The target of {measure.kind} must be a whole number."
    if measure.kind == "distinct" and target > MAX_DISTINCT:
        return "bound", f"The target of distinct must be at most {MAX_DISTINCT}."
    if measure.kind in ("best", "average") and target > METRICS[measure.metric].maximum:
        maximum = METRICS[measure.metric].maximum
        return "bound", f"{measure.metric} never exceeds {maximum:g}, so this is never met."
    return None


def is_number(value: Any) -> bool:
    # A whole number is finite, but may be too large for math.isfinite.
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def condition_order(condition: Condition) -> tuple[str, str, str]:
    return condition.metric, condition.operator, _text_of(condition.operand)


def _text_of(operand: float | tuple[str, ...]) -> str:
    if isinstance(operand, tuple):
        # repr quotes each text, so that no text can look like two.
        return ",".join(map(repr, operand))
    # repr of a float is exact, so that no two numbers look the same.
    return repr(float(operand)).removesuffix(".0")
