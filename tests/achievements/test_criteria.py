"""The criteria language: what parses into what, and the keys of its measures."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from achievements.criteria import (
    Combination,
    Condition,
    Measure,
    Reach,
    Unlocked,
    add_conditions,
    count_open_targets,
    find_target_problem,
    set_target,
    walk,
)
from achievements.criteria_parser import MAX_NODES, parse_criteria
from tests.achievements.strategies import conditions, criteria, leaves
from tests.achievements.trees import COUNT, HUGE, nest, where

case = pytest.param


class TestParsed:
    @pytest.mark.parametrize(
        ("text", "node"),
        [
            (
                "{count: tests, where: {wpm: {gte: 100}, accuracy: {gte: 98}}, atLeast: 10}",
                Reach(
                    Measure(
                        "count",
                        "tests",
                        (Condition("accuracy", "gte", 98), Condition("wpm", "gte", 100)),
                    ),
                    10,
                ),
            ),
            (
                "{best: wpm, where: {mode: {in: [time]}, durationSeconds: {gte: 60}}, atLeast: 9}",
                Reach(
                    Measure(
                        "best",
                        "wpm",
                        (
                            Condition("durationSeconds", "gte", 60),
                            Condition("mode", "in", ("time",)),
                        ),
                    ),
                    9,
                ),
            ),
            (
                "{sum: durationSeconds, atLeast: 36000}",
                Reach(Measure("sum", "durationSeconds"), 36000),
            ),
            (
                "{average: wpm, last: 10, atLeast: 80}",
                Reach(Measure("average", "wpm", last=10), 80),
            ),
            ("{streak: days, atLeast: 7}", Reach(Measure("streak", "days"), 7)),
            (
                "{run: tests, where: {accuracy: {gte: 100}}, atLeast: 5}",
                Reach(Measure("run", "tests", (Condition("accuracy", "gte", 100),)), 5),
            ),
            ("{distinct: language, atLeast: 5}", Reach(Measure("distinct", "language"), 5)),
            ("{unlocked: slug}", Unlocked("slug")),
            (
                "{all: [{unlocked: a}, {unlocked: b}]}",
                Combination(2, (Unlocked("a"), Unlocked("b"))),
            ),
            (
                "{any: [{unlocked: a}, {unlocked: b}]}",
                Combination(1, (Unlocked("a"), Unlocked("b"))),
            ),
            (
                "{atLeast: 2, of: [{unlocked: a}, {unlocked: b}, {unlocked: c}]}",
                Combination(2, (Unlocked("a"), Unlocked("b"), Unlocked("c"))),
            ),
            ("{count: tests}", Reach(Measure("count", "tests"), None)),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_every_form_of_the_language(self, text: str, node: Any) -> None:
        assert parse_criteria(yaml.safe_load(text)) == node

    @pytest.mark.parametrize(
        "tree",
        [
            case(nest(7), id="eight levels deep"),
            case({"any": [COUNT] * (MAX_NODES - 1)}, id="64 nodes"),
            case({"any": (COUNT,)}, id="a tuple"),
            case({"sum": "wpm", "atLeast": 0.001}, id="the smallest target"),
            case({"sum": "wpm", "atLeast": 10**12}, id="the largest target"),
            case({"distinct": "length", "atLeast": 256}, id="distinct 256"),
            case({"best": "accuracy", "atLeast": 100.0}, id="the metric's maximum"),
            case({"average": "wpm", "last": 100, "atLeast": 1}, id="last 100"),
            case(where(mode={"in": [f"m{i}" for i in range(64)]}), id="64 texts"),
            case(where(mode={"eq": "m" * 40}), id="40 characters"),
            case(where(), id="an empty where"),
            case(where(wpm={"gte": -(10**12), "lt": 10**12}), id="a wide condition"),
        ],
    )
    def test_bounds_are_inside(self, tree: Any) -> None:
        parse_criteria(tree)

    @settings(deadline=None)
    @given(criteria())
    def test_generated_trees(self, tree: Any) -> None:
        node = parse_criteria(tree)
        assert parse_criteria(json.loads(json.dumps(tree))) == node
        assert count_open_targets(node) == 0
        assert set_target(node, 5) == node
        assert add_conditions(node, ()) == node

    def test_the_open_target_is_filled_in(self) -> None:
        node = parse_criteria({"all": [{"count": "tests"}, {"best": "wpm", "atLeast": 3}]})
        assert count_open_targets(node) == 1
        filled = [n.at_least for n in walk(set_target(node, 7)) if isinstance(n, Reach)]
        assert filled == [7, 3]


class TestKeys:
    @given(leaves(), st.randoms(use_true_random=False))
    def test_equal_measures_have_equal_keys_whatever_the_order(
        self, leaf: Any, random: Any
    ) -> None:
        turned = dict(random.sample(list(leaf.items()), len(leaf)))
        if "where" in leaf:
            turned["where"] = {
                name: dict(reversed(list(operators.items())))
                for name, operators in reversed(list(leaf["where"].items()))
            }
        turned["atLeast"] = 1
        one, other = parse_criteria(leaf), parse_criteria(turned)
        assert isinstance(one, Reach)
        assert isinstance(other, Reach)
        assert one.measure == other.measure
        assert one.measure.key == other.measure.key

    @given(conditions(), conditions())
    def test_different_measures_have_different_keys(self, one: Any, other: Any) -> None:
        a, b = parse_criteria(where(**one)), parse_criteria(where(**other))
        assert isinstance(a, Reach)
        assert isinstance(b, Reach)
        assert (a.measure == b.measure) == (a.measure.key == b.measure.key)

    @given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
    def test_no_two_numbers_share_a_key(self, one: float, other: float) -> None:
        a, b = parse_criteria(where(wpm={"gte": one})), parse_criteria(where(wpm={"gte": other}))
        assert isinstance(a, Reach)
        assert isinstance(b, Reach)
        assert (one == other) == (a.measure.key == b.measure.key)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            case({"wpm": {"gte": 100}}, {"wpm": {"gte": 100.0}}, id="int and float"),
            case({"wpm": {"gte": 0}}, {"wpm": {"gte": -0.0}}, id="minus zero"),
            case({"mode": {"eq": "time"}}, {"mode": {"in": ["time"]}}, id="eq and in"),
            case({"mode": {"in": ["b", "a", "b"]}}, {"mode": {"in": ["a", "b"]}}, id="set"),
        ],
    )
    def test_two_spellings_of_one_measure(self, one: Any, other: Any) -> None:
        a, b = parse_criteria(where(**one)), parse_criteria(where(**other))
        assert isinstance(a, Reach)
        assert isinstance(b, Reach)
        assert a == b
        assert a.measure.key == b.measure.key

    @pytest.mark.parametrize(
        ("tree", "key"),
        [
            ({"count": "tests"}, "count tests?"),
            ({"average": "wpm", "last": 10}, "average wpm last 10?"),
            (
                {"sum": "characters", "where": {"mode": {"eq": "time"}, "accuracy": {"gte": 97.5}}},
                "sum characters?accuracy gte 97.5&mode in 'time'",
            ),
        ],
    )
    def test_keys_never_change(self, tree: Any, key: str) -> None:
        # They are stored: another key for the same measure would count from nothing.
        node = parse_criteria(tree)
        assert isinstance(node, Reach)
        assert node.measure.key == key

    def test_texts_that_look_alike(self) -> None:
        one = parse_criteria(where(mode={"in": ["a", "b"]}))
        other = parse_criteria(where(mode={"in": ["a','b"]}))
        assert isinstance(one, Reach)
        assert isinstance(other, Reach)
        assert one.measure.key != other.measure.key


def test_targets_of_levels_are_checked_alike() -> None:
    measure = Measure("best", "wpm")
    assert find_target_problem(measure, 100) is None
    assert find_target_problem(measure, 421) is not None
    assert find_target_problem(measure, HUGE) is not None
