"""Parsing criteria (pure floor): a JSON tree in, typed nodes or every problem out."""

from collections.abc import Mapping
from typing import Any, Final

from achievements.criteria import (
    COUNTING,
    MAX_TARGET,
    MEASURES,
    Combination,
    Condition,
    CriteriaError,
    Measure,
    Node,
    Reach,
    Unlocked,
    condition_order,
    find_target_problem,
    is_number,
)
from achievements.events import METRICS, Problem
from achievements.reachable import find_unmet_conditions, find_unreachable_target

MAX_DEPTH: Final = 8
MAX_NODES: Final = 64
MAX_CONDITIONS: Final = 16
MAX_TEXTS: Final = 64
MAX_TEXT: Final = 40
MAX_LAST: Final = 100
NUMBER_OPERATORS: Final = frozenset({"gte", "gt", "lte", "lt", "eq"})
TEXT_OPERATORS: Final = frozenset({"eq", "in"})


def parse_criteria(tree: Any, *, pointer: str = "", is_new: bool = False) -> Node:
    """Parse a JSON tree. Raises CriteriaError with every problem found, not only the first.

    New criteria are also refused for what can never be met; those of a publication are read.
    """
    parser = _Parser(is_new)
    node = parser.parse_node(tree, pointer, depth=1)
    if parser.problems or node is None:
        raise CriteriaError(parser.problems)
    return node


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

    def __init__(self, is_new: bool) -> None:
        self.is_new = is_new
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
        known = {kind, "where", "atLeast"} | ({"last"} if kind == "average" else set())
        self.check_fields(tree, pointer, known)
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
        where = self.parse_where(tree.get("where", {}), f"{pointer}/where")
        if len(self.problems) > start:
            return None
        measure = Measure(kind, metric, where, last)
        if "atLeast" not in tree:
            return Reach(measure, None)
        at_least: Any = tree["atLeast"]
        problem = find_target_problem(measure, at_least)
        if not problem and self.is_new:
            problem = find_unreachable_target(measure, at_least)
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
                parsed = [
                    self.parse_condition(name, operator, operand, f"{below}/{_escape(operator)}")
                    for operator, operand in operators.items()
                ]
                found = [condition for condition in parsed if condition]
                conditions.update(found)
                for place, detail in find_unmet_conditions(found) if self.is_new else ():
                    self.report(f"{pointer}/{place}", "never_met", detail)
        if len(conditions) > MAX_CONDITIONS:
            self.report(pointer, "bound", f"where may have at most {MAX_CONDITIONS} conditions.")
        return tuple(sorted(conditions, key=condition_order))

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
            if not is_number(operand) or abs(operand) > MAX_TARGET:
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
                detail = f"{_show(name)} is not known here; {allowed} are."
                self.report(place, "unknown_field", detail)
