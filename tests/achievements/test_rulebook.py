"""The compiled rulebook: its index says what a plain evaluation of the conditions says."""

from collections.abc import Mapping
from math import nextafter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from achievements import plans as module
from achievements.criteria import Measure, Reach, walk
from achievements.definition import (
    Definition,
    Level,
    check_references,
    find_measures,
    find_slugs,
)
from achievements.events import METRICS, Metrics, read_metrics
from achievements.plans import Ladder, Plan, make_slots
from achievements.rule import Rule, View
from achievements.rulebook import Rulebook
from tests.achievements.strategies import NUMBERS, compile_rulebook, definition_lists, metrics


def define(
    achievement_id: int,
    criteria: Any,
    *,
    slug: str = "",
    targets: tuple[float | None, ...] = (None,),
    is_live: bool = True,
    **window: float,
) -> Definition:
    levels = tuple(Level(target, 5) for target in targets)
    slug = slug or f"a{achievement_id}"
    return Definition(achievement_id, slug, criteria, levels, is_live, **window)


def judge_plainly(measure: Measure, values: Mapping[str, Any]) -> bool:
    """Whether an event with these values moves the measure."""
    if measure.metric in METRICS and values[measure.metric] is None:
        return False
    for condition in measure.where:
        value = values[condition.metric]
        if value is None:
            return False
        operand: Any = condition.operand
        holds = {
            "gte": lambda v, o: v >= o,
            "gt": lambda v, o: v > o,
            "lte": lambda v, o: v <= o,
            "lt": lambda v, o: v < o,
            "eq": lambda v, o: v == o,
            "in": lambda v, o: v in o,
        }[condition.operator]
        if not holds(value, operand):
            return False
    return True


def plan_plainly(rulebook: Rulebook, values: Mapping[str, Any]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {name: set() for name in Plan._fields}
    definitions = rulebook.definitions.values()
    for key, measure in find_measures(definitions).items():
        moves = judge_plainly(measure, values)
        name = "total" if measure.is_total else {
            "sum": "sums", "best": "bests", "average": "averages", "run": "runs",
        }.get(measure.kind, measure.kind.rstrip("s") + "s")  # fmt: skip
        if measure.kind == "run" and not moves:
            name = "broken_runs"
        if moves or measure.kind == "run":
            found[name].add(rulebook.positions[key])
    return found


def read_plan(plan: Plan) -> dict[str, set[int]]:
    return {
        name: {entry if isinstance(entry, int) else entry[0] for entry in getattr(plan, name)}
        for name in Plan._fields
    }


def near(name: str) -> st.SearchStrategy[float]:
    """A break of the conditions, or the numbers on either side of it."""
    pool = st.sampled_from([float(n) for n in NUMBERS[name]])
    return pool | pool.flatmap(
        lambda n: st.sampled_from([nextafter(n, 1000.0), nextafter(n, -1000.0)])
    )


class TestPlans:
    @settings(max_examples=300, deadline=None)
    @given(definition_lists(max_size=6), st.lists(metrics(), min_size=1, max_size=5), st.data())
    def test_a_plan_is_a_plain_evaluation_of_every_condition(
        self, definitions: list[Definition], tests: list[Metrics], data: st.DataObject
    ) -> None:
        rulebook = compile_rulebook(definitions)
        edges = [t for d in definitions for t in (d.active_from, d.active_until) if t is not None]
        for test in tests:
            at = data.draw(st.sampled_from([*edges, 0.0, 2e9]) if edges else st.just(1.7e9))
            at += data.draw(st.sampled_from([0, -0.001, 0.001]))
            read = list(read_metrics(test))
            for column, name in enumerate(METRICS):
                if name in NUMBERS and read[column] is not None and data.draw(st.booleans()):
                    read[column] = data.draw(near(name))
            values = {**dict(zip(METRICS, read, strict=True)), "occurredAt": at}
            plan = rulebook.plan_for(tuple(read), at)
            assert read_plan(plan) == plan_plainly(rulebook, values)
            assert rulebook.plan_for(tuple(read), at) is plan

    def test_metrics_are_read_in_the_order_of_the_registry(self) -> None:
        sent = {"wpm": 1.0, "raw_wpm": 2.0, "accuracy": 3.0, "consistency": 4.0,
                "duration_seconds": 5.0, "characters": 6, "length": 7, "mode": "m",
                "language": "l"}  # fmt: skip
        assert read_metrics(Metrics(**sent)) == tuple(sent.values())  # type: ignore[arg-type]
        assert list(METRICS) == [
            "wpm", "rawWpm", "accuracy", "consistency", "durationSeconds", "characters",
            "length", "mode", "language",
        ]  # fmt: skip

    def test_the_cache_of_plans_stays_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MAX_PLANS", 3)
        breaks = range(10, 100, 10)
        rulebook = compile_rulebook(
            [
                define(n, {"count": "tests", "where": {"wpm": {"gte": n}}, "atLeast": 1})
                for n in breaks
            ]
        )
        for _ in range(2):
            for value in range(0, 101, 5):
                plan = rulebook.plan_for(read_metrics(Metrics(wpm=float(value))), 0.0)
                assert len(plan.counts) == sum(value >= n for n in breaks)
                assert len(rulebook._plans._plans) <= 3

    def test_a_window_is_closed_at_its_start_and_open_at_its_end(self) -> None:
        rulebook = compile_rulebook(
            [define(1, {"count": "tests", "atLeast": 1}, active_from=10.5, active_until=20.0)]
        )
        blank = read_metrics(Metrics())
        inside = [at for at in (10.4, 10.5, 19.9, 20.0) if rulebook.plan_for(blank, at).counts]
        assert inside == [10.5, 19.9]
        assert not rulebook.plan_for(blank, 15.0).total  # testCount knows no window

    def test_equal_measures_share_one_place(self) -> None:
        where = {"where": {"wpm": {"gte": 60}}}
        definitions = [
            define(1, {"count": "tests", **where, "atLeast": 1}),
            define(2, {"any": [{"count": "tests", **where, "atLeast": 50}, {"unlocked": "a1"}]}),
            define(3, {"count": "tests", **where}, targets=(2, 3)),
        ]
        assert len(find_measures(definitions)) == 1
        assert compile_rulebook(definitions).size == 1


class TestLadders:
    @given(
        st.lists(st.integers(1, 20), min_size=1, unique=True).map(sorted),
        st.integers(0, 21) | st.floats(0, 21),
        st.integers(0, 21) | st.floats(0, 21),
    )
    def test_what_lies_between_the_old_and_the_new_value(
        self, thresholds: list[float], old: float, new: float
    ) -> None:
        old, new = sorted((old, new))
        ladder: Any = Ladder(thresholds, [(t,) for t in thresholds])  # type: ignore[misc]
        assert list(ladder.crossed(old, new)) == [t for t in thresholds if old < t <= new]

    def test_rules_that_wait_at_one_threshold_come_together(self) -> None:
        rulebook = compile_rulebook(
            [
                define(1, {"best": "wpm", "atLeast": 100}),
                define(2, {"best": "wpm"}, targets=(60, 100, 140)),
            ]
        )
        ((_, _, ladder),) = rulebook.plan_for(read_metrics(Metrics(wpm=1.0)), 0.0).bests
        assert ladder.thresholds == [60, 100, 140]
        one, two = rulebook.rules
        assert ladder.waiting == [(two,), (one, two), (two,)]

    @settings(deadline=None)
    @given(definition_lists(max_size=6))
    def test_every_leaf_of_every_level_waits_at_its_own_threshold(
        self, definitions: list[Definition]
    ) -> None:
        rulebook = compile_rulebook(definitions)
        ladders = {
            slot.measure.key: slot.ladder for slot in make_slots(rulebook.rules, rulebook.positions)
        }
        expected: dict[tuple[str, float], set[Rule]] = {}
        for rule in rulebook.rules:
            for node in rule.nodes:
                for leaf in walk(node):
                    if isinstance(leaf, Reach):
                        key = leaf.measure.key, leaf.threshold
                        expected.setdefault(key, set()).add(rule)
        actual = {
            (key, threshold): set(rules)
            for key, ladder in ladders.items()
            for threshold, rules in zip(ladder.thresholds, ladder.waiting, strict=True)
        }
        assert actual == expected
        assert all(ladder.thresholds == sorted(ladder.thresholds) for ladder in ladders.values())


class TestRules:
    @pytest.mark.parametrize(
        ("criteria", "threshold"),
        [
            ({"count": "tests", "atLeast": 5}, 5),
            ({"sum": "wpm", "atLeast": 0.001}, 1),
            ({"sum": "wpm", "atLeast": 1.005}, 1005),
            ({"average": "wpm", "last": 3, "atLeast": 60.001}, 180_003),
            ({"best": "wpm", "atLeast": 60.001}, 60.001),
        ],
    )
    def test_thresholds_are_on_the_scale_of_the_accumulator(
        self, criteria: Any, threshold: float
    ) -> None:
        (node,) = compile_rulebook([define(1, criteria)]).rules[0].nodes
        assert isinstance(node, Reach)
        assert node.threshold == threshold

    def test_only_live_definitions_are_rules(self) -> None:
        off = define(1, {"best": "wpm", "atLeast": 5}, is_live=False)
        rulebook = compile_rulebook([off, define(2, {"count": "tests", "atLeast": 1})])
        assert [rule.definition.achievement_id for rule in rulebook.rules] == [2]
        assert rulebook.size == 1
        assert rulebook.count_points({1: 1, 2: 1, 3: 9}) == 10  # held ones still have points

    def test_points_are_those_of_the_levels_held(self) -> None:
        definition = Definition(
            1, "a", {"count": "tests"}, (Level(1, 5), Level(2, 7), Level(3, 11))
        )
        rulebook = compile_rulebook([definition])
        assert [rulebook.count_points({1: n}) for n in range(5)] == [0, 5, 12, 23, 23]

    def test_a_rule_needs_the_history_of_all_its_accumulators(self) -> None:
        old = compile_rulebook([define(1, {"best": "wpm", "atLeast": 5})])
        both = {"any": [{"best": "wpm", "atLeast": 9}, {"run": "tests", "atLeast": 2}]}
        new = compile_rulebook(
            [
                define(1, {"best": "wpm", "atLeast": 5}),
                define(2, both),
                define(3, {"unlocked": "a1"}),
            ],
            after=old,
        )
        assert [rule.needs for rule in new.rules] == [1, 2, 0]

    def test_retired_places_are_kept_and_stay_empty(self) -> None:
        definition = define(1, {"run": "tests", "atLeast": 2})
        rulebook = Rulebook(
            version=1, definitions=[definition], positions={"run tests?": 1}, size=4
        )
        assert rulebook.size == 4
        assert [rulebook.make_blank(p) for p in range(4)] == [0, [0, 0], 0, 0]

    def test_blanks_are_never_shared(self) -> None:
        rulebook = compile_rulebook(
            [
                define(n, tree)
                for n, tree in enumerate(
                    (
                        {"average": "wpm", "last": 2, "atLeast": 5},
                        {"run": "tests", "atLeast": 5},
                        {"streak": "days", "atLeast": 5},
                        {"distinct": "mode", "atLeast": 5},
                    )
                )
            ]
        )
        for position in range(4):
            assert rulebook.make_blank(position) is not rulebook.make_blank(position)

    @pytest.mark.parametrize(
        ("values", "reported", "unlocked", "is_met"),
        [
            ([4, 0.0], 0, {}, False),
            ([5, 0.0], 0, {}, True),
            ([4, 0.0], 5, {}, True),
            ([4, 60.0], 0, {2: 1}, True),
            ([4, 60.0], 0, {2: 0}, False),
            ([4, 60.0], 0, {}, False),
        ],
    )
    def test_a_judge(
        self, values: list[Any], reported: int, unlocked: dict[int, int], is_met: bool
    ) -> None:
        tree = {
            "any": [
                {"count": "tests", "atLeast": 5},
                {"all": [{"best": "wpm", "atLeast": 60}, {"unlocked": "other"}]},
            ]
        }
        rulebook = compile_rulebook(
            [define(1, tree), define(2, {"unlocked": "nobody"}, slug="other")]
        )
        assert rulebook.rules_by_id[1].judges[0](View(values, reported, unlocked)) is is_met

    def test_dependents(self) -> None:
        rulebook = compile_rulebook(
            [
                define(1, {"count": "tests", "atLeast": 1}, slug="a"),
                define(2, {"all": [{"unlocked": "a"}, {"any": [{"unlocked": "b"}]}]}, slug="b"),
                define(3, {"unlocked": "a"}, slug="c", is_live=False),
            ]
        )
        _, two = rulebook.rules
        assert rulebook.dependents == {1: (two,), 2: (two,)}
        assert find_slugs(two.nodes[0]) == {"a", "b"}


class TestReferences:
    @pytest.mark.parametrize(
        ("asks", "expected"),
        [
            pytest.param({"a": [], "b": ["a"], "c": ["a", "b"]}, {}, id="a chain"),
            pytest.param({"a": ["a"]}, {"a": ["cycle"]}, id="itself"),
            pytest.param(
                {"a": ["b"], "b": ["a"]}, {"a": ["cycle"], "b": ["cycle"]}, id="each other"
            ),
            pytest.param(
                {"a": ["b"], "b": ["c"], "c": ["b"]},
                {"b": ["cycle"], "c": ["cycle"]},
                id="into a circle",
            ),
            pytest.param(
                {"a": ["x", "y", "b"], "b": []}, {"a": ["unknown_slug"] * 2}, id="unknown"
            ),
            pytest.param(
                {"a": ["a", "x"]}, {"a": ["unknown_slug", "cycle"]}, id="unknown and a circle"
            ),
        ],
    )
    def test_circles_and_unknown_slugs(
        self, asks: dict[str, list[str]], expected: dict[str, list[str]]
    ) -> None:
        definitions = [
            define(
                n,
                {"any": [{"count": "tests", "atLeast": 1}, *({"unlocked": s} for s in slugs)]},
                slug=slug,
            )
            for n, (slug, slugs) in enumerate(asks.items(), 1)
        ]
        found = check_references(definitions)
        assert {slug: [p.code for p in problems] for slug, problems in found.items()} == expected

    def test_criteria_that_do_not_parse_ask_for_nothing(self) -> None:
        broken = define(1, {"unlocked": 5}, slug="a")
        assert check_references([broken, define(2, {"unlocked": "a"}, slug="b")]) == {}

    def test_a_long_chain(self) -> None:
        chain = [define(n, {"unlocked": f"a{n + 1}"}) for n in range(1, 400)]
        found = check_references([*chain, define(400, {"unlocked": "a1"})])
        assert len(found) == 400
