"""A published definition (pure floor) and what its criteria name."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from achievements.criteria import (
    OCCURRED_AT,
    Condition,
    CriteriaError,
    Measure,
    Node,
    Reach,
    Unlocked,
    add_conditions,
    walk,
)
from achievements.criteria_parser import parse_criteria
from achievements.events import Problem


class Level(msgspec.Struct, frozen=True):
    """One tier: the target that it sets (None when the criteria set it) and its points."""

    target: float | None
    points: int


class Definition(msgspec.Struct, frozen=True, rename="camel"):
    """One achievement as it is published; times are seconds since the epoch."""

    achievement_id: int
    slug: str
    criteria: Any
    levels: tuple[Level, ...]
    is_live: bool = True
    active_from: float | None = None
    active_until: float | None = None

    def parse(self) -> Node:
        """Parse the criteria; the window becomes conditions of every measure."""
        window = (("gte", self.active_from), ("lt", self.active_until))
        conditions = tuple(Condition(OCCURRED_AT, op, at) for op, at in window if at is not None)
        node = parse_criteria(self.criteria)
        return add_conditions(node, conditions) if conditions else node


def find_slugs(node: Node) -> set[str]:
    """Return the slugs that the criteria ask to be unlocked."""
    return {n.slug for n in walk(node) if isinstance(n, Unlocked)}


def find_node_measures(node: Node) -> list[Measure]:
    return [n.measure for n in walk(node) if isinstance(n, Reach)]


def find_measures(definitions: Iterable[Definition]) -> dict[str, Measure]:
    """Return the distinct accumulators that the live definitions need, by key."""
    live = (d.parse() for d in definitions if d.is_live)
    return {measure.key: measure for node in live for measure in find_node_measures(node)}


def check_references(definitions: Iterable[Definition]) -> dict[str, list[Problem]]:
    """Return, by slug, what is wrong with `unlocked` nodes: unknown slugs and cycles."""
    asks: dict[str, set[str]] = {}
    for definition in definitions:
        try:
            asks[definition.slug] = find_slugs(definition.parse())
        except CriteriaError:
            asks[definition.slug] = set()
    problems: dict[str, list[Problem]] = defaultdict(list)
    for slug, asked in asks.items():
        for other in sorted(asked - asks.keys()):
            problems[slug].append(
                Problem("/criteria", "unknown_slug", f"There is no achievement {other!r}.")
            )
        reached: set[str] = set()
        frontier = set(asked)
        while frontier:
            reached |= frontier
            frontier = set().union(*(asks.get(s, set()) for s in frontier)) - reached
        if slug in reached:
            problems[slug].append(
                Problem("/criteria", "cycle", "This achievement asks for itself, through unlocked.")
            )
    return dict(problems)
