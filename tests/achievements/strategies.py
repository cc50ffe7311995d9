"""Hypothesis strategies of the pure floor: criteria, definitions, users' events and deliveries.

Values come from small pools, so that bounds are met exactly, times tie and rules cascade.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import strategies as st

from achievements.definition import Definition, Level, find_measures
from achievements.events import TEST_COMPLETED, TEST_INVALIDATED, Event, Metrics
from achievements.rulebook import Rulebook

START = datetime(2024, 2, 26, 11, 30, tzinfo=UTC)  # a leap day is near
USER_ID = 12345

SPEEDS = (0.0, -0.0, 39.999, 40.0, 59.9995, 60.0, 60.0004, 60.001, 85.5, 100.0, 419.5)
ACCURACIES = (0.0, 89.9, 90.0, 97.99, 98.0, 98.2, 99.999, 100.0)
SECONDS = (0.001, 0.0004, 15.0, 30.0, 59.999, 60.0, 120.0, 3600.0)
LENGTHS = (0, 10, 15, 30, 60)
MODES = ("time", "words", "quote", "Time")
LANGUAGES = ("english", "german", "français", "no", "a,b'c")
NUMBERS = {
    "wpm": SPEEDS,
    "rawWpm": SPEEDS,
    "accuracy": ACCURACIES,
    "durationSeconds": SECONDS,
    "length": LENGTHS,
}
TEXTS = {"mode": MODES, "language": LANGUAGES}
OFFSETS = (-840, -570, -60, 0, 345, 765, 840)
SLUGS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    """A `where` of up to two metrics."""
    where: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from([*NUMBERS, *TEXTS]), max_size=2, unique=True)):
        if name in NUMBERS:
            operators = st.sampled_from(["gte", "gte", "gt", "lte", "lt", "eq"])
            where[name] = draw(
                st.dictionaries(operators, st.sampled_from(NUMBERS[name]), min_size=1, max_size=2)
            )
        elif draw(st.booleans()):
            where[name] = {"eq": draw(st.sampled_from(TEXTS[name]))}
        else:
            texts = st.lists(st.sampled_from(TEXTS[name]), min_size=1, max_size=3)
            where[name] = {"in": draw(texts)}
    return where


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    """A leaf that measures something, with its target."""
    kind = draw(
        st.sampled_from(["count", "sum", "best", "average", "streak", "run", "distinct", "count"])
    )
    leaf: dict[str, Any]
    if kind in ("count", "run"):
        leaf = {kind: "tests", "atLeast": draw(st.integers(1, 6))}
    elif kind == "streak":
        leaf = {kind: "days", "atLeast": draw(st.integers(1, 4))}
    elif kind == "distinct":
        metric = draw(st.sampled_from(["language", "mode", "length"]))
        leaf = {kind: metric, "atLeast": draw(st.integers(1, 3))}
    elif kind == "sum":
        metric = draw(st.sampled_from(["durationSeconds", "wpm", "length"]))
        leaf = {kind: metric, "atLeast": draw(st.sampled_from([0.001, 30, 75.001, 120, 300.5]))}
    else:
        metric = draw(st.sampled_from(["wpm", "accuracy"]))
        leaf = {kind: metric, "atLeast": draw(st.sampled_from([40, 60.0, 60.001, 85.5, 98]))}
        if kind == "average":
            leaf["last"] = draw(st.integers(2, 4))
    where = draw(conditions())
    has_empty_where: bool = draw(st.booleans())
    if where or has_empty_where:
        leaf["where"] = where
    return leaf


def combine(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(children, min_size=1, max_size=3)
    return (
        st.fixed_dictionaries({"all": several})
        | st.fixed_dictionaries({"any": several})
        | several.flatmap(
            lambda of: st.integers(1, len(of)).map(lambda needed: {"atLeast": needed, "of": of})
        )
    )


def criteria(slugs: tuple[str, ...] = SLUGS) -> st.SearchStrategy[dict[str, Any]]:
    """A tree with every target filled in."""
    asked = st.sampled_from([*slugs, "nobody"]).map(lambda slug: {"unlocked": slug})
    leaf = st.one_of(leaves(), leaves(), leaves(), asked)
    return leaf | st.recursive(leaf, combine, max_leaves=5)


@st.composite
def definition_lists(
    draw: st.DrawFn, *, min_size: int = 1, max_size: int = 5, with_unlocked: bool = True
) -> list[Definition]:
    """Definitions with levels, windows, and some that are not live."""
    definitions = []
    for number in range(draw(st.integers(min_size, max_size))):
        is_leveled = draw(st.booleans())
        tree = draw(leaves() if is_leveled or not with_unlocked else criteria())
        if is_leveled:
            first = tree.pop("atLeast")
            factors = draw(st.sampled_from([(1,), (1, 2), (1, 2, 3)]))
            targets = [round(first * factor, 3) for factor in factors]
            if "best" in tree or "average" in tree:
                targets = [first + factor - 1 for factor in factors]
            if draw(st.booleans()) and with_unlocked:
                tree = {"all": [tree, draw(criteria())]}
        else:
            targets = [None]
        since, until = sorted(draw(st.tuples(st.integers(0, 90), st.integers(0, 90))))
        has_window = draw(st.integers(0, 4)) == 0
        definitions.append(
            Definition(
                achievement_id=number + 1,
                slug=SLUGS[number],
                criteria=tree,
                levels=tuple(Level(t, 5 + n) for n, t in enumerate(targets)),
                is_live=draw(st.integers(0, 9)) > 0,
                active_from=_at(since).timestamp() if has_window else None,
                active_until=_at(until).timestamp() if has_window else None,
            )
        )
    return definitions


def compile_rulebook(
    definitions: list[Definition],
    *,
    version: int = 1,
    after: Rulebook | None = None,
) -> Rulebook:
    """Compile as publishing does: accumulators of `after` keep their places, new ones follow."""
    positions = dict(after.positions) if after else {}
    size = after.size if after else 0
    for key in find_measures(definitions):
        if key not in positions:
            positions[key] = size
            size += 1
    return Rulebook(version=version, definitions=definitions, positions=positions, size=size)


def _at(step: int) -> datetime:
    """Steps of eight hours, every seventh two minutes late: ties are common."""
    return START + timedelta(hours=8 * step, minutes=2 * (step % 7 == 0))


@st.composite
def metrics(draw: st.DrawFn, *, with_test_count: bool = True) -> Metrics:
    """Any metric may be missing, but not all of them."""
    values = {
        name: draw(st.sampled_from(pool))
        for name, pool in {**NUMBERS, **TEXTS}.items()
        if draw(st.integers(0, 3)) > 0
    }
    if with_test_count and draw(st.integers(0, 7)) == 0:
        values["testCount"] = draw(st.integers(0, 12))
    return msgspec.convert(values or {"wpm": 60.0}, Metrics)


@dataclass(frozen=True)
class Life:
    """What happened to one user: distinct completed tests, and the ids that were invalidated."""

    tests: list[Event]
    invalidations: list[Event]

    @property
    def events(self) -> list[Event]:
        return [*self.tests, *self.invalidations]


@st.composite
def lives(
    draw: st.DrawFn,
    *,
    max_tests: int = 12,
    can_invalidate: bool = True,
    with_test_count: bool = True,
) -> Life:
    ids = draw(
        st.lists(
            st.integers(1, 40) | st.integers(2**62, 2**63 - 1),
            min_size=1,
            max_size=max_tests,
            unique=True,
        )
    )
    # Often in the order of ids, as a site numbers its tests; else in any order.
    steps = [draw(st.integers(0, 90)) for _ in ids]
    if draw(st.booleans()):
        ids, steps = sorted(ids), sorted(steps)
    tests = [
        Event(
            user_id=USER_ID,
            test_result_id=test_id,
            event_type=TEST_COMPLETED,
            metrics=draw(metrics(with_test_count=with_test_count)),
            occurred_at=_at(step),
            utc_offset_minutes=draw(st.sampled_from(OFFSETS)),
        )
        for test_id, step in zip(ids, steps, strict=True)
    ]
    undone = draw(st.sets(st.sampled_from(ids), max_size=3)) if can_invalidate else set()
    return Life(tests, [make_invalidation(i, _at(draw(st.integers(0, 90)))) for i in undone])


def make_invalidation(test_id: int, at: datetime = START) -> Event:
    return Event(
        user_id=USER_ID,
        test_result_id=test_id,
        event_type=TEST_INVALIDATED,
        occurred_at=at,
    )


@st.composite
def deliveries(draw: st.DrawFn, life: Life) -> list[list[Event]]:
    """The events in any order, some of them several times, cut into batches."""
    events = life.events
    again = draw(st.lists(st.sampled_from(events), max_size=6))
    stream = draw(st.permutations([*events, *again]) | st.just(sorted_stream([*events, *again])))
    cuts = draw(st.sets(st.integers(1, max(1, len(stream) - 1)), max_size=6))
    edges = [0, *sorted(cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges)]


def sorted_stream(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda e: (e.occurred_at, e.test_result_id))
