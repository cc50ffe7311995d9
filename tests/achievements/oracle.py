"""An independent oracle of the pure floor: what a user holds, by brute force from the definitions.

It reads the criteria as the JSON that authors write and the tests as the JSON that sites
send, and shares no code with the rulebook or the progress. It is slow and plain on purpose.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec

from achievements.definition import Definition
from achievements.events import Event

Tree = dict[str, Any]
KINDS = ("count", "sum", "best", "average", "streak", "run", "distinct")


@dataclass(frozen=True)
class Past:
    """The distinct valid tests in their own order, and the highest testCount ever sent."""

    tests: tuple[Tree, ...]
    reported: int


def remember(events: Iterable[Event]) -> Past:
    """Drop duplicates (the first delivery wins) and what was invalidated; sort by time, then id."""
    distinct: dict[tuple[str, int], Event] = {}
    for event in events:
        distinct.setdefault((event.event_type, event.test_result_id), event)
    undone = {i for kind, i in distinct if kind == "test_invalidated"}
    completed = [e for (kind, _), e in distinct.items() if kind == "test_completed"]
    reported = max([0, *(e.metrics.test_count or 0 for e in completed)])
    valid = [e for e in completed if e.test_result_id not in undone]
    valid.sort(key=lambda e: (e.occurred_at, e.test_result_id))
    return Past(tuple(_read(e) for e in valid), reported)


def measure(leaf: Tree, past: Past, window: tuple[float | None, float | None]) -> Fraction:
    """Return what a leaf measures, in its natural unit, as the best that was ever reached."""
    kind = next(k for k in KINDS if k in leaf)
    metric, where = leaf[kind], leaf.get("where", {})
    passing = [t for t in past.tests if _passes(t, where) and _is_inside(t, window)]
    if kind == "count":
        is_bare = not where and window == (None, None)
        return Fraction(max(len(passing), past.reported if is_bare else 0))
    if kind == "run":
        return Fraction(_longest_run([t in passing for t in past.tests]))
    if kind == "streak":
        return Fraction(_longest_streak({_local_date(t) for t in passing}))
    measured = [t["metrics"][metric] for t in passing if metric in t["metrics"]]
    if kind == "distinct":
        return Fraction(min(len(set(measured)), 256))
    if kind == "best":
        return max([Fraction(0), *map(Fraction, measured)])
    thousandths = [round(value * 1000) for value in measured]
    if kind == "sum":
        return Fraction(sum(thousandths), 1000)
    last = leaf["last"]
    windows = [thousandths[i : i + last] for i in range(len(thousandths) - last + 1)]
    return max([Fraction(0), *(Fraction(sum(w), 1000 * last) for w in windows)])


def find_unlocked(
    definitions: Sequence[Definition], past: Past, held: Mapping[int, int] | None = None
) -> dict[int, int]:
    """Return the highest level of every achievement that is met; each needs the ones below it.

    What is `held` already stays, and is built upon.
    """
    slugs = {d.achievement_id: d.slug for d in definitions}
    unlocked = dict(held or {})
    while True:
        before = dict(unlocked)
        known = {slugs[i] for i in unlocked if i in slugs}
        for d in definitions:
            reached = unlocked.get(d.achievement_id, 0)
            for level in d.levels[reached:] if d.is_live else ():
                if not _is_met(d.criteria, level.target, past, window_of(d), known):
                    break
                reached += 1
            if reached:
                unlocked[d.achievement_id] = reached
        if unlocked == before:
            return unlocked


def count_points(definitions: Iterable[Definition], unlocked: dict[int, int]) -> int:
    return sum(
        level.points for d in definitions for level in d.levels[: unlocked.get(d.achievement_id, 0)]
    )


def list_leaves(tree: Tree) -> Iterator[Tree]:
    """Yield the leaves that measure something."""
    for children in (tree[k] for k in ("all", "any", "of") if k in tree):
        for child in children:
            yield from list_leaves(child)
    if any(kind in tree for kind in KINDS):
        yield tree


def window_of(definition: Definition) -> tuple[float | None, float | None]:
    return definition.active_from, definition.active_until


def _is_met(
    tree: Tree,
    target: float | None,
    past: Past,
    window: tuple[float | None, float | None],
    held: set[str],
) -> bool:
    if "unlocked" in tree:
        return tree["unlocked"] in held
    for head in ("all", "any", "of"):
        if head in tree:
            met = [_is_met(child, target, past, window, held) for child in tree[head]]
            needed: int = {"all": len(met), "any": 1}.get(head) or tree["atLeast"]
            return sum(met) >= needed
    wanted: Any = tree.get("atLeast", target)
    # A best is compared as the number it is; the others in whole thousandths.
    exact = Fraction(wanted) if "best" in tree else Fraction(str(wanted))
    return measure(tree, past, window) >= exact


def _read(event: Event) -> Tree:
    tree: Tree = msgspec.to_builtins(event, builtin_types=(datetime,))
    tree.setdefault("metrics", {})
    return tree


def _passes(test: Tree, where: Tree) -> bool:
    for name, operators in where.items():
        if name not in test["metrics"]:
            return False
        value = test["metrics"][name]
        for operator, operand in operators.items():
            holds = {
                "gte": lambda v, o: v >= o,
                "gt": lambda v, o: v > o,
                "lte": lambda v, o: v <= o,
                "lt": lambda v, o: v < o,
                "eq": lambda v, o: v == o,
                "in": lambda v, o: v in o,
            }[operator]
            if not holds(value, operand):
                return False
    return True


def _is_inside(test: Tree, window: tuple[float | None, float | None]) -> bool:
    since, until = window
    at = test["occurredAt"].timestamp()
    return (since is None or at >= since) and (until is None or at < until)


def _local_date(test: Tree) -> date:
    offset = timedelta(minutes=test.get("utcOffsetMinutes", 0))
    return (test["occurredAt"] + offset).date()


def _longest_run(passed: Sequence[bool]) -> int:
    text = "".join("x" if p else " " for p in passed)
    return max(map(len, text.split()), default=0)


def _longest_streak(days: set[date]) -> int:
    longest = length = min(len(days), 1)
    for day, following in pairwise(sorted(days)):
        length = length + 1 if following - day == timedelta(days=1) else 1
        longest = max(longest, length)
    return longest
