"""A precise problem for everything that is not of the criteria language."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from achievements.criteria import (
    Combination,
    CriteriaError,
    Reach,
    Unlocked,
)
from achievements.criteria_parser import MAX_NODES, parse_criteria
from tests.achievements.trees import COUNT, HUGE, nest, where

NO_OBJECTS: tuple[Any, ...] = (None, [], "wpm", 5)
case = pytest.param


def problems_of(tree: Any) -> list[tuple[str, str]]:
    with pytest.raises(CriteriaError) as caught:
        parse_criteria(tree)
    assert all(p.detail for p in caught.value.problems)
    assert str(caught.value)
    return [(p.pointer, p.code) for p in caught.value.problems]


class TestRefused:
    @pytest.mark.parametrize(
        ("tree", "expected"),
        [
            # Nodes.
            *(
                case(tree, [("", "type")], id=f"node {tree!r}"[:30])
                for tree in (None, [], "count", 5, True, math.nan, [COUNT])
            ),
            case({1: "tests"}, [("", "type")], id="a key that is no text"),
            case({None: 1, "count": "tests"}, [("", "type")], id="a null key"),
            case({}, [("", "unknown_node")], id="an empty node"),
            case({"atLeast": 5}, [("", "unknown_node")], id="no head"),
            case({"median": "wpm"}, [("", "unknown_node")], id="unknown head"),
            case(
                {"count": "tests", "best": "wpm"}, [("", "unknown_node")], id="two heads"
            ),
            case({**COUNT, "of": []}, [("", "unknown_node")], id="a leaf with of"),
            case({**COUNT, "limit": 1}, [("/limit", "unknown_field")], id="unknown field"),
            case(
                {**COUNT, "a/b~c": 1}, [("/a~1b~0c", "unknown_field")], id="a field to escape"
            ),
            case({**COUNT, "last": 5}, [("/last", "unknown_field")], id="count last"),
            # What is measured.
            *(
                case({kind: metric}, [(f"/{kind}", "unknown_metric")], id=f"{kind} {metric}")
                for kind, metric in (
                    ("count", "days"), ("count", "wpm"), ("streak", "tests"), ("run", "days"),
                    ("sum", "mode"), ("best", "language"), ("best", "testCount"),
                    ("sum", "raw_wpm"),
                    ("distinct", "wpm"), ("distinct", "occurredAt"), ("best", "occurredAt"),
                    ("count", None), ("count", ["tests"]), ("sum", {"wpm": 1}), ("best", math.nan),
                    ("count", True),
                )
            ),
            case({"count": HUGE}, [("/count", "unknown_metric")], id="count of a huge number"),
            # Targets.
            *(
                case({**tree, "atLeast": target}, [("/atLeast", code)], id=f"{head} {target!r}")
                for tree, targets in (
                    ({"count": "tests"}, ((0, "bound"), (-1, "bound"), (1.5, "bound"),
                        (10**12 + 1, "bound"), (HUGE, "bound"), (-HUGE, "bound"), (None, "type"),
                        ("5", "type"), (True, "type"), (math.nan, "type"), (math.inf, "type"),
                        ([1], "type"), (1e300, "bound"))),
                    ({"run": "tests"}, ((2.5, "bound"),)),
                    ({"streak": "days"}, ((2.5, "bound"),)),
                    ({"sum": "wpm"}, ((0.0001, "bound"), (-0.0, "bound"), (1e12 + 0.5, "bound"))),
                    ({"distinct": "mode"}, ((257, "bound"), (1.5, "bound"))),
                    ({"best": "wpm"}, ((420.001, "bound"), (100.0001, "bound"))),
                    ({"best": "accuracy"}, ((100.5, "bound"),)),
                    ({"average": "accuracy", "last": 5}, ((101, "bound"),)),
                )
                for head in [next(iter(tree))]
                for target, code in targets
            ),
            *(
                case(
                    {"average": "wpm", "atLeast": 5, **({} if last is None else {"last": last})},
                    [("/last", "bound")],
                    id=f"last {last!r}"[:20],
                )
                for last in (None, 1, 0, 101, 10.0, "10", True, math.nan, HUGE)
            ),
            # Where.
            *(
                case({**COUNT, "where": tree}, [("/where", "type")], id=f"where {tree!r}")
                for tree in NO_OBJECTS
            ),
            case(where(speed={"gte": 1}), [("/where/speed", "unknown_metric")], id="metric"),
            case(
                where(testCount={"gte": 1}), [("/where/testCount", "unknown_metric")], id="counts"
            ),
            case(
                where(occurredAt={"gte": 1}), [("/where/occurredAt", "unknown_metric")], id="time"
            ),
            case(
                {**COUNT, "where": {"a/b": {"gte": 1}}},
                [("/where/a~1b", "unknown_metric")],
                id="a metric to escape",
            ),
            case(
                {**COUNT, "where": {5: {"gte": 1}}}, [("/where/5", "unknown_metric")], id="metric 5"
            ),
            *(
                case(where(wpm=tree), [("/where/wpm", "type")], id=f"wpm {tree!r}")
                for tree in ({}, *NO_OBJECTS)
            ),
            *(
                case(
                    where(**{name: {operator: 1}}),
                    [(f"/where/{name}/{shown}", "unknown_operator")],
                    id=f"{name} {operator}",
                )
                for name, operator, shown in (
                    ("wpm", "in", "in"), ("wpm", "ne", "ne"), ("wpm", ">=", ">="),
                    ("wpm", "a/b", "a~1b"), ("mode", "gte", "gte"), ("language", "lt", "lt"),
                )
            ),
            case(
                where(wpm={7: 1}), [("/where/wpm/7", "unknown_operator")], id="an operator 7"
            ),
            *(
                case(
                    where(wpm={"gte": operand}),
                    [("/where/wpm/gte", "type")],
                    id=f"gte {operand!r}"[:20],
                )
                for operand in (None, "5", True, math.nan, -math.inf, [1], 1e13, HUGE, -HUGE)
            ),
            *(
                case(
                    where(mode={"in": operand}),
                    [("/where/mode/in", "type")],
                    id=f"in {operand!r}"[:20],
                )
                for operand in ("time", [], [1], [None], [""], ["m" * 41], {"time": 1}, ["m"] * 65)
            ),
            *(
                case(
                    where(mode={"eq": operand}),
                    [("/where/mode/eq", "type")],
                    id=f"eq {operand!r}"[:20],
                )
                for operand in (None, 5, "", "m" * 41, ["time"], True)
            ),
            case(
                where(**{name: dict.fromkeys(("gte", "gt", "lte", "lt"), 5)
                         for name in ("wpm", "rawWpm", "accuracy", "consistency", "length")}),
                [("/where", "bound")],
                id="20 conditions",
            ),
            # Unlocked and combinations.
            *(
                case({"unlocked": slug}, [("/unlocked", "type")], id=f"unlocked {slug!r}")
                for slug in ("", None, 5, ["a"])
            ),
            case(
                {"unlocked": "a", "atLeast": 2}, [("/atLeast", "unknown_field")], id="twice"
            ),
            *(
                case({head: items}, [(f"/{head}", "type")], id=f"{head} {items!r}"[:20])
                for head in ("all", "any", "of")
                for items in (*NO_OBJECTS, COUNT)
            ),
            case(
                {"all": [COUNT], "atLeast": 1}, [("/atLeast", "unknown_field")], id="all atLeast"
            ),
            *(
                case(
                    {"of": [COUNT, COUNT], "atLeast": needed},
                    [("/atLeast", "bound")],
                    id=f"{needed!r} of two"[:20],
                )
                for needed in (0, 3, -1, 1.0, "1", None, True, math.nan, HUGE)
            ),
            case({"of": [COUNT]}, [("/atLeast", "bound")], id="of without atLeast"),
            # Sizes.
            case(nest(8), [("/all/0" * 8, "bound")], id="nine levels deep"),
            case(nest(900), [("/all/0" * 8, "bound")], id="900 levels deep"),
            case({"any": [COUNT] * MAX_NODES}, [(f"/any/{MAX_NODES - 1}", "bound")], id="65"),
            case({"any": [COUNT] * 10**5}, [(f"/any/{MAX_NODES - 1}", "bound")], id="10^5"),
        ],
    )  # fmt: skip
    def test_it_names_the_node_and_the_bound(
        self, tree: Any, expected: list[tuple[str, str]]
    ) -> None:
        assert problems_of(tree) == expected

    def test_all_problems_are_reported_at_once(self) -> None:
        tree = {
            "all": [
                {"count": "days", "where": {"wpm": {"gte": "5", "near": 3}, "speed": {}}},
                COUNT,
                {"any": [{"best": "wpm", "atLeast": 421}, {"unlocked": ""}]},
                {"of": [None], "atLeast": 2, "x": 1},
            ]
        }
        assert sorted(problems_of(tree)) == sorted(
            [
                ("/all/0/count", "unknown_metric"),
                ("/all/0/where/wpm/gte", "type"),
                ("/all/0/where/wpm/near", "unknown_operator"),
                ("/all/0/where/speed", "unknown_metric"),
                ("/all/2/any/0/atLeast", "bound"),
                ("/all/2/any/1/unlocked", "type"),
                ("/all/3/x", "unknown_field"),
                ("/all/3/of/0", "type"),
                ("/all/3/atLeast", "bound"),
            ]
        )

    def test_pointers_start_where_the_caller_says(self) -> None:
        with pytest.raises(CriteriaError) as caught:
            parse_criteria({"all": [{}]}, pointer="/criteria")
        assert caught.value.problems[0].pointer == "/criteria/all/0"

    @pytest.mark.parametrize(
        ("tree", "expected"),
        [
            case(where(mode={"eq": "\ud800"}), ("/where/mode/eq", "type"), id="a text"),
            case({**COUNT, "\ud800": 1}, ("/\\ud800", "unknown_field"), id="a field"),
            case({"\ud800": 1}, ("", "unknown_node"), id="a head"),
            case({"count": "\ud800"}, ("/count", "unknown_metric"), id="a metric"),
            case(where(**{"\ud800": {}}), ("/where/\\ud800", "unknown_metric"), id="in where"),
        ],
    )
    def test_half_a_character_is_refused_and_never_repeated(
        self, tree: Any, expected: tuple[str, str]
    ) -> None:
        assert problems_of(tree) == [expected]
        with pytest.raises(CriteriaError) as caught:
            parse_criteria(tree)
        assert str(caught.value).encode()

    def test_a_measured_value_of_any_depth_and_size(self) -> None:
        deep: Any = []
        for _ in range(100_000):
            deep = [deep]
        assert problems_of({"count": deep}) == [("/count", "unknown_metric")]
        assert problems_of({"count": 10**5000}) == [("/count", "unknown_metric")]

    @settings(deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
            | st.sampled_from(["tests", "wpm", "mode", "days"]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                st.integers() | st.sampled_from(
                    ["count", "best", "average", "last", "where", "atLeast", "all", "of", "wpm",
                     "mode", "gte", "in", "eq", "unlocked"]
                ),
                inner, max_size=4,
            ),
            max_leaves=12,
        )
    )  # fmt: skip
    def test_anything_parses_or_is_refused(self, tree: Any) -> None:
        try:
            node = parse_criteria(tree)
        except CriteriaError as error:
            assert bool(error.problems)  # noqa: PT017
        else:
            assert isinstance(node, Reach | Unlocked | Combination)
