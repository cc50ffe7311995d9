"""The criteria language (pure floor): a JSON tree in, typed nodes or precise problems out.

Three kinds of node: `Reach` compares one measure of a user's tests with a target,
`Unlocked` asks for another achievement, `Combination` asks for some of its children.
All of them are monotone: a further test can make a node met, never unmet.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from achievements.events import METRICS, Problem

MAX_DEPTH: Final = 8
MAX_NODES: Final = 64
MAX_CONDITIONS: Final = 16
MAX_TEXTS: Final = 64
MAX_TEXT: Final = 40
MAX_LAST: Final = 100
MAX_DISTINCT: Final = 256
MAX_TARGET: Final = 10**12
DECIMALS: Final = 3
SCALE: Final = 10**DECIMALS  # sums and averages are kept in whole thousandths, so they commute

NUMBER_OPERATORS: Final = frozenset({"gte", "gt", "lte", "lt", "eq"})
TEXT_OPERATORS: Final = frozenset({"eq", "in"})
COUNTING: Final = {"count": "tests", "run": "tests", "streak": "days"}
MEASURES: Final = ("count", "sum", "best", "average", "streak", "run", "distinct")
OCCURRED_AT: Final = "occurredAt"  # the window of a definition, as a condition; not for authors


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """One test of one metric; `operand` is a number, or the allowed texts in order."""

    metric: str
    operator: str
    operand: float | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """What one accumulator holds: a kind, over a metric, of the tests that pass `where`."""

    kind: str
    metric: str
    where: tuple[Condition, ...] = ()
    last: int = 0

    @property
    def key(self) -> str:
        """The canonical name: equal measures have equal keys, in every release."""
        where = "&".join(f"{c.metric} {c.operator} {_text_of(c.operand)}" for c in self.where)
        return f"{self.kind} {self.metric}{f' last {self.last}' * bool(self.last)}?{where}"

    @property
    def is_total(self) -> bool:
        """Whether this is the bare count of tests, which believes the site's testCount."""
        return self.kind == "count" and not self.where

    @property
    def is_ordered(self) -> bool:
        """Whether the order of the tests matters, so that a late one asks for a replay."""
        return self.kind in ("run", "average")

    @property
    def scale(self) -> int:
        """What a target is multiplied by to be compared with the accumulated value."""
        if self.kind == "average":
            return SCALE * self.last
        return SCALE if self.kind == "sum" else 1

    @property
    def unit(self) -> str:
        if self.kind in COUNTING:
            return self.metric
        return METRICS[self.metric].unit


@dataclass(frozen=True, slots=True)
class Reach:
    """Met when the measure is at least `at_least`; None takes the level's target."""

    measure: Measure
    at_least: float | None


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


def parse_criteria(tree: Any, *, pointer: str = "") -> Node:
    """Parse a JSON tree. Raises CriteriaError with every problem found, not only the first."""
    parser = _Parser()
    node = parser.parse_node(tree, pointer, depth=1)
    if parser.problems or node is None:
        raise CriteriaError(parser.problems)
    return node


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
        where = tuple(sorted({*node.measure.where, *conditions}, key=_condition_order))
        return replace(node, measure=replace(node.measure, where=where))
    return node


def find_target_problem(measure: Measure, target: Any) -> tuple[str, str] | None:
    """Return (code, detail) of what is wrong with a target of this measure, or None."""
    if not _is_number(target):
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


def _is_number(value: Any) -> bool:
    # A whole number is finite, but may be too large for math.isfinite.
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def _condition_order(condition: Condition) -> tuple[str, str, str]:
    return condition.metric, condition.operator, _text_of(condition.operand)


def _text_of(operand: float | tuple[str, ...]) -> str:
    if isinstance(operand, tuple):
        # repr quotes each text, so that no text can look like two.
        return ",".join(map(repr, operand))
    # repr of a float is exact, so that no two numbers look the same.
    return repr(float(operand)).removesuffix(".0")


def _show(name: object) -> str:
    """Write a name so that any text can carry it: half a character becomes its escape."""
    return str(name).encode(errors="backslashreplace").decode()


def _escape(name: object) -> str:
    """Write a field's name for a JSON pointer (RFC 6901, section 3)."""
    return _show(name).replace("~", "~0").replace("/", "~1")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= MAX_TEXT and _show(value) == value


class _Parser:
    """Collects problems on the way down, so that an author sees all of them at once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.node_count = 0

    def report(self, pointer: str, code: str, detail: str) -> None:
        self.problems.append(Problem(pointer, code, detail))

    def parse_node(self, tree: Any, pointer: str, depth: int) -> Node | None:
        self.node_count += 1
        if self.node_count == MAX_NODES + 1:
            self.report(pointer, "bound", f"Criteria may have at most {MAX_NODES} nodes.")
        if self.node_count > MAX_NODES:
            return None
        if depth > MAX_DEPTH:
            self.report(pointer, "bound", f"Criteria may be at most {MAX_DEPTH} levels deep.")
            return None
        if not isinstance(tree, Mapping) or not all(isinstance(key, str) for key in tree):
            self.report(pointer, "type", "A node must be an object such as {count: tests}.")
            return None
        heads = [name for name in (*MEASURES, "unlocked", "all", "any", "of") if name in tree]
        if len(heads) != 1:
            expected = "exactly one of " + ", ".join((*MEASURES, "unlocked", "all", "any", "of"))
            found = " and ".join(heads) or ", ".join(map(_show, tree)) or "nothing"
            self.report(pointer, "unknown_node", f"A node needs {expected}; found {found}.")
            return None
        head = heads[0]
        if head in MEASURES:
            return self.parse_reach(tree, head, pointer)
        if head == "unlocked":
            return self.parse_unlocked(tree, pointer)
        return self.parse_combination(tree, head, pointer, depth)

    def parse_reach(self, tree: Mapping[str, Any], kind: str, pointer: str) -> Node | None:
        self.check_fields(tree, pointer, {kind, "where", "atLeast", "last"})
        start = len(self.problems)
        metric = tree[kind]
        self.check_measured(kind, metric, f"{pointer}/{kind}")
        last = 0
        if kind == "average":
            last = tree.get("last", 0)
            if not isinstance(last, int) or isinstance(last, bool) or not 2 <= last <= MAX_LAST:
                self.report(
                    f"{pointer}/last", "bound", f"last must be a whole number from 2 to {MAX_LAST}."
                )
        elif "last" in tree:
            self.report(f"{pointer}/last", "unknown_field", f"last is not used by {kind}.")
        where = self.parse_where(tree.get("where", {}), f"{pointer}/where")
        if len(self.problems) > start:
            return None
        measure = Measure(kind, metric, where, last)
        at_least = tree.get("atLeast")
        problem = "atLeast" in tree and find_target_problem(measure, at_least)
        if problem:
            self.report(f"{pointer}/atLeast", *problem)
            return None
        return Reach(measure, at_least)

    def check_measured(self, kind: str, metric: Any, pointer: str) -> None:
        """What a kind may be taken of: tests, days, numbers or anything distinct."""
        if kind in COUNTING:
            allowed = [COUNTING[kind]]
        elif kind == "distinct":
            allowed = [m.name for m in METRICS.values() if m.is_text or m.name == "length"]
        else:
            allowed = [m.name for m in METRICS.values() if not m.is_text]
        if metric not in allowed:
            # Only a text is repeated: anything else may be huge or too deep to be written.
            found = repr(metric) if isinstance(metric, str) else type(metric).__name__
            self.report(
                pointer,
                "unknown_metric",
                f"{kind} takes one of {', '.join(allowed)}; got {found}.",
            )

    def parse_where(self, tree: Any, pointer: str) -> tuple[Condition, ...]:
        if not isinstance(tree, Mapping):
            self.report(pointer, "type", "where must be an object such as {wpm: {gte: 100}}.")
            return ()
        conditions: set[Condition] = set()
        for name, operators in tree.items():
            below = f"{pointer}/{_escape(name)}"
            if name not in METRICS:
                self.report(
                    below, "unknown_metric", f"Unknown metric; known are {', '.join(METRICS)}."
                )
            elif not isinstance(operators, Mapping) or not operators:
                self.report(below, "type", "A condition must be an object such as {gte: 100}.")
            else:
                for operator, operand in operators.items():
                    place = f"{below}/{_escape(operator)}"
                    condition = self.parse_condition(name, operator, operand, place)
                    if condition:
                        conditions.add(condition)
        if len(conditions) > MAX_CONDITIONS:
            self.report(pointer, "bound", f"where may have at most {MAX_CONDITIONS} conditions.")
        return tuple(sorted(conditions, key=_condition_order))

    def parse_condition(
        self, metric: str, operator: Any, operand: Any, pointer: str
    ) -> Condition | None:
        is_text = METRICS[metric].is_text
        allowed = TEXT_OPERATORS if is_text else NUMBER_OPERATORS
        if operator not in allowed:
            known = ", ".join(sorted(allowed))
            self.report(pointer, "unknown_operator", f"{metric} is compared by one of {known}.")
            return None
        if not is_text:
            if not _is_number(operand) or abs(operand) > MAX_TARGET:
                self.report(pointer, "type", f"{operator} takes a number up to {MAX_TARGET}.")
                return None
            return Condition(metric, operator, operand or 0)  # -0.0 is 0
        texts = operand if operator == "in" else [operand]
        if (
            not isinstance(texts, list | tuple)
            or not 1 <= len(texts) <= MAX_TEXTS
            or not all(map(_is_text, texts))
        ):
            self.report(
                pointer,
                "type",
                f"{operator} takes 1 to {MAX_TEXTS} texts of up to {MAX_TEXT} characters.",
            )
            return None
        return Condition(metric, "in", tuple(sorted(set(texts))))

    def parse_unlocked(self, tree: Mapping[str, Any], pointer: str) -> Node | None:
        self.check_fields(tree, pointer, {"unlocked"})
        slug = tree["unlocked"]
        if not isinstance(slug, str) or not slug:
            self.report(f"{pointer}/unlocked", "type", "unlocked takes the slug of an achievement.")
            return None
        return Unlocked(slug)

    def parse_combination(
        self, tree: Mapping[str, Any], head: str, pointer: str, depth: int
    ) -> Node | None:
        self.check_fields(tree, pointer, {"of", "atLeast"} if head == "of" else {head})
        items = tree[head]
        if not isinstance(items, list | tuple) or not items:
            self.report(f"{pointer}/{head}", "type", f"{head} takes a list of at least one node.")
            return None
        children = [
            self.parse_node(item, f"{pointer}/{head}/{index}", depth + 1)
            for index, item in enumerate(items)
        ]
        needed: Any = {"all": len(items), "any": 1}.get(head, tree.get("atLeast"))
        if type(needed) is not int or not 1 <= needed <= len(items):
            self.report(
                f"{pointer}/atLeast", "bound", f"atLeast must be a whole number, 1 to {len(items)}."
            )
            return None
        whole = tuple(child for child in children if child is not None)
        return Combination(needed, whole) if len(whole) == len(items) else None

    def check_fields(self, tree: Mapping[str, Any], pointer: str, known: set[str]) -> None:
        for name in tree:
            if name not in known:
                allowed = ", ".join(sorted(known))
                place = f"{pointer}/{_escape(name)}"
                self.report(place, "unknown_field", f"Known here: {allowed}.")
