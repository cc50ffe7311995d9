"""One row of progress: how events move it, what it judges, and that it packs and unpacks."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from achievements.definition import Definition, Level
from achievements.events import Event, Metrics
from achievements.progress import (
    Progress,
    apply_events,
    decode_progress,
    derive,
    encode_progress,
    judge_rules,
    needs_replay,
    start_progress,
)
from achievements.rulebook import Rulebook
from achievements.seen import Seen
from achievements.streak import add_day, current_streak
from achievements.window import WIDTH
from tests.achievements.strategies import (
    START,
    compile_rulebook,
    definition_lists,
    lives,
    make_invalidation,
)


def make_test(test_id: int, *, hours: float = 0, offset: int = 0, **metrics: Any) -> Event:
    return Event(
        user_id=1,
        test_result_id=test_id,
        event_type="test_completed",
        metrics=Metrics(**(metrics or {"wpm": 60.0})),
        occurred_at=START + timedelta(hours=hours),
        utc_offset_minutes=offset,
    )


def compile_one(criteria: Any, *targets: float | None, **more: Any) -> Rulebook:
    levels = tuple(Level(target, 5) for target in targets or (None,))
    return compile_rulebook([Definition(1, "alpha", criteria, levels, **more)])


def feed(rulebook: Rulebook, *events: Event) -> Progress:
    progress = start_progress(rulebook)
    apply_events(rulebook, progress, events)
    return progress


def pack(*values: int) -> bytes:
    return b"".join(value.to_bytes(WIDTH, "little") for value in values)


def longest_streak(days: set[int]) -> int:
    longest = length = min(len(days), 1)
    for day, following in pairwise(sorted(days)):
        length = length + 1 if following == day + 1 else 1
        longest = max(longest, length)
    return longest


class TestStreak:
    @given(st.lists(st.integers(20_000, 20_040) | st.integers(10_957, 20_800), max_size=40))
    def test_days_in_any_order(self, days: list[int]) -> None:
        value: list[Any] = [0, 0, b""]
        for count, day in enumerate(days, 1):
            add_day(value, day)
            known = set(days[:count])
            assert value[0] == longest_streak(known)
            assert value[1] == max(known)
            now = max(known)
            current = next(n for n in range(len(known) + 1) if now - n not in known)
            assert current_streak(value) == current
            bits = int.from_bytes(value[2], "little")
            assert {now - n for n in range(bits.bit_length()) if bits >> n & 1} == known

    def test_without_a_day(self) -> None:
        assert current_streak([0, 0, b""]) == 0

    def test_a_late_day_joins_both_sides(self) -> None:
        rulebook = compile_one({"streak": "days"}, 3, 5)
        progress = feed(rulebook, *(make_test(i, hours=24 * i) for i in (1, 2, 4, 5)))
        assert progress.unlocked == {}
        unlocks = apply_events(rulebook, progress, [make_test(3, hours=72)])
        assert [u.level for u in unlocks] == [1, 2]

    @pytest.mark.parametrize(
        ("hours", "offsets", "length"),
        [
            # It starts at 11:30 UTC.
            pytest.param((0, 12), (0, 0), 1, id="the same day"),
            pytest.param((0, 12.5), (0, 0), 2, id="midnight exactly"),
            pytest.param((0, 12), (0, 30), 2, id="midnight by offset"),
            pytest.param((0, 1), (-840, 840), 1, id="two days apart by offset"),
            pytest.param((0, 24), (0, -720), 1, id="a traveller's day twice"),
            pytest.param((0, 24, 48, 72, 96), (0,) * 5, 5, id="over the leap day"),
        ],
    )
    def test_a_day_is_local(
        self, hours: tuple[float, ...], offsets: tuple[int, ...], length: int
    ) -> None:
        tests = [
            make_test(n, hours=h, offset=o)
            for n, (h, o) in enumerate(zip(hours, offsets, strict=True), 1)
        ]
        progress = feed(compile_one({"streak": "days", "atLeast": 9}), *tests)
        assert progress.values[0][0] == length


class TestMeasures:
    @pytest.mark.parametrize(
        ("criteria", "metrics", "value"),
        [
            pytest.param(
                {"sum": "wpm", "atLeast": 1}, [{"wpm": 0.1}] * 10, 1000, id="tenths add up"
            ),
            pytest.param(
                {"sum": "wpm", "atLeast": 1}, [{"wpm": 1.0}, {"accuracy": 5.0}], 1000, id="missing"
            ),
            pytest.param(
                {"best": "wpm", "atLeast": 1}, [{"wpm": -0.0}, {"wpm": 0.0}], 0, id="minus zero"
            ),
            pytest.param(
                {"best": "wpm", "atLeast": 1}, [{"wpm": 70.5}, {"wpm": 60.0}], 70.5, id="best"
            ),
            pytest.param(
                {"run": "tests", "where": {"wpm": {"gte": 60}}, "atLeast": 9},
                [{"wpm": 60.0}, {"wpm": 61.0}, {"wpm": 59.0}, {"wpm": 60.0}],
                [2, 1],
                id="a slow test breaks a run",
            ),
            pytest.param(
                {"run": "tests", "where": {"wpm": {"gte": 60}}, "atLeast": 9},
                [{"wpm": 60.0}, {"accuracy": 61.0}, {"wpm": 60.0}],
                [1, 1],
                id="a missing metric breaks a run",
            ),
            pytest.param(
                {"average": "wpm", "last": 2, "where": {"accuracy": {"gte": 90}}, "atLeast": 9},
                [
                    {"wpm": 60.0, "accuracy": 95.0},
                    {"wpm": 10.0, "accuracy": 80.0},
                    {"accuracy": 95.0},
                    {"wpm": 80.0, "accuracy": 95.0},
                    {"wpm": 20.0, "accuracy": 95.0},
                ],
                [140_000, 100_000, pack(80_000, 20_000)],
                id="an average leaves tests out",
            ),
            pytest.param(
                {"average": "wpm", "last": 3, "atLeast": 9},
                [{"wpm": 60.0}] * 2,
                [0, 120_000, pack(60_000, 60_000)],
                id="too few for an average",
            ),
            pytest.param(
                {"distinct": "mode", "atLeast": 9},
                [{"mode": "b"}, {"mode": "a"}, {"mode": "b"}, {"wpm": 1.0}],
                ["a", "b"],
                id="distinct",
            ),
            pytest.param(
                {"distinct": "length", "atLeast": 9},
                [{"length": n % 300} for n in range(400)],
                list(range(256)),
                id="at most 256 distinct",
            ),
        ],
    )
    def test_what_is_kept(self, criteria: Any, metrics: list[Any], value: Any) -> None:
        tests = [make_test(n, hours=n, **m) for n, m in enumerate(metrics, 1)]
        assert feed(compile_one(criteria), *tests).values == [value]

    def test_the_order_of_ties_is_that_of_ids(self) -> None:
        rulebook = compile_one({"run": "tests", "where": {"wpm": {"gte": 60}}, "atLeast": 9})
        tests = [make_test(3), make_test(1), make_test(2, wpm=10.0)]
        assert derive(rulebook, tests).progress.values == [[1, 1]]
        progress = feed(rulebook, make_test(2))
        assert needs_replay(rulebook, progress, [make_test(1)])
        assert not needs_replay(rulebook, progress, [make_test(3)])
        assert not needs_replay(rulebook, progress, [])
        assert needs_replay(rulebook, progress, [make_invalidation(9)])

    def test_only_tests_inside_the_window_count(self) -> None:
        window = {
            "active_from": (START + timedelta(hours=2)).timestamp(),
            "active_until": (START + timedelta(hours=5)).timestamp(),
        }
        tests = [make_test(n, hours=n, test_count=99, wpm=60.0) for n in range(8)]
        for tree, value in (
            ({"count": "tests", "atLeast": 9}, 3),
            ({"run": "tests", "atLeast": 9}, [3, 0]),
            ({"sum": "wpm", "atLeast": 9}, 180_000),
        ):
            progress = feed(compile_one(tree, **window), *tests)
            assert progress.values == [value]
        assert progress.reported == 99


class TestTestCount:
    @pytest.mark.parametrize(
        ("counts", "levels"),
        [
            pytest.param([None, None], [1], id="none sent"),
            pytest.param([4], [1, 2], id="ahead of what was counted"),
            pytest.param([9, 3], [1, 2, 3], id="it never falls"),
            pytest.param([0, 0, 0], [1, 2], id="behind what was counted"),
        ],
    )
    def test_it_is_the_higher_of_the_two(self, counts: list[int | None], levels: list[int]) -> None:
        rulebook = compile_one({"count": "tests"}, 2 if counts == [None, None] else 1, 3, 5)
        tests = [make_test(n, hours=n, wpm=1.0, test_count=c) for n, c in enumerate(counts, 1)]
        progress = start_progress(rulebook)
        unlocks = apply_events(rulebook, progress, tests)
        assert [u.level for u in unlocks] == levels
        assert progress.values == [len(counts)]

    def test_it_is_remembered_before_a_rule_asks_for_it(self) -> None:
        rulebook = compile_one({"best": "wpm", "atLeast": 400})
        progress = feed(rulebook, make_test(1, wpm=1.0, test_count=7))
        assert progress.reported == 7

    def test_a_replay_believes_what_was_reported(self) -> None:
        rulebook = compile_one({"count": "tests"}, 1, 5, 9)
        derivation = derive(rulebook, [make_test(1)], reported=5)
        assert derivation.progress.unlocked == {1: 2}
        assert derive(rulebook, [], reported=5).progress.unlocked == {1: 2}
        assert derive(rulebook, [make_test(1)], without={1}).progress.unlocked == {}


class TestJudging:
    def test_a_cascade_in_one_event(self) -> None:
        chain = [
            Definition(n, f"a{n}", {"unlocked": f"a{n + 1}"}, (Level(None, n),))
            for n in range(1, 9)
        ]
        last = Definition(9, "a9", {"count": "tests", "atLeast": 1}, (Level(None, 9),))
        rulebook = compile_rulebook([*chain, last])
        progress = start_progress(rulebook)
        unlocks = apply_events(rulebook, progress, [make_test(1)])
        assert [u.achievement_id for u in unlocks] == [9, 8, 7, 6, 5, 4, 3, 2, 1]
        assert {u.event and u.event.test_result_id for u in unlocks} == {1}
        assert progress.points == 45

    def test_each_unlock_names_the_event_that_completed_it(self) -> None:
        rulebook = compile_one({"count": "tests", "where": {"wpm": {"gte": 1}}}, 1, 3, 4)
        progress = start_progress(rulebook)
        unlocks = apply_events(rulebook, progress, [make_test(n, hours=n) for n in range(1, 6)])
        assert [(u.level, u.event and u.event.test_result_id) for u in unlocks] == [
            (1, 1),
            (2, 3),
            (3, 4),
        ]

    def test_a_level_waits_for_the_one_below(self) -> None:
        tree = {"all": [{"count": "tests"}, {"best": "wpm", "atLeast": 100}]}
        rulebook = compile_one(tree, 1, 2)
        progress = feed(rulebook, make_test(1), make_test(2))
        assert progress.unlocked == {}
        unlocks = apply_events(rulebook, progress, [make_test(3, wpm=100.0)])
        assert [u.level for u in unlocks] == [1, 2]

    def test_what_history_does_not_back_is_not_judged(self) -> None:
        rulebook = compile_one({"count": "tests", "atLeast": 1})
        progress = Progress()
        assert apply_events(rulebook, progress, [make_test(1)]) == []
        assert progress.values == [1]
        assert judge_rules(rulebook, progress, rulebook.rules, None) == []
        progress.held = 1
        (unlock,) = judge_rules(rulebook, progress, rulebook.rules, None)
        assert (unlock.achievement_id, unlock.level, unlock.event) == (1, 1, None)
        assert judge_rules(rulebook, progress, rulebook.rules, None) == []


class TestPacking:
    @settings(deadline=None)
    @given(definition_lists(), lives(can_invalidate=False))
    def test_a_row_is_the_same_after_a_round_trip(
        self, definitions: list[Definition], life: Any
    ) -> None:
        rulebook = compile_rulebook(definitions)
        progress = derive(rulebook, life.tests).progress
        progress.completed = Seen(b"\x01" * 16, 5, 3)
        packed = encode_progress(progress)
        again = decode_progress(packed)
        assert encode_progress(again) == packed
        assert again.values == progress.values
        assert again.unlocked == progress.unlocked
        assert again.completed == progress.completed
        assert [type(v) for v in again.values] == [type(v) for v in progress.values]

    def test_a_row_that_was_decoded_can_be_moved_on(self) -> None:
        rulebook = compile_one({"average": "wpm", "last": 2, "atLeast": 60})
        progress = decode_progress(encode_progress(feed(rulebook, make_test(1))))
        apply_events(rulebook, progress, [make_test(2)])
        assert decode_progress(encode_progress(progress)).unlocked == {1: 1}

    def test_older_and_shorter_rows_are_readable(self) -> None:
        fields = msgspec.msgpack.decode(encode_progress(Progress(values=[7], held=1, reported=3)))
        for length in range(len(fields) + 1):
            row = decode_progress(msgspec.msgpack.encode(fields[:length]))
            assert row.values == ([7] if length else [])
            assert row.unlocked == {}
            assert row.is_partial is False
        row = decode_progress(msgspec.msgpack.encode([[7], 1, 3, {4: 2}, 9, [b"", 6]]))
        assert (row.unlocked, row.points, row.completed.top) == ({4: 2}, 9, 6)

    def test_rows_of_a_later_release_are_readable(self) -> None:
        fields = msgspec.msgpack.decode(encode_progress(Progress(points=9)))
        assert decode_progress(msgspec.msgpack.encode([*fields, "new"])).points == 9

    def test_no_two_rows_share_anything(self) -> None:
        one, other = Progress(), Progress()
        one.values.append(1)
        one.completed.add(5)
        one.set_unlocked({1: 1}, 5)
        assert encode_progress(other) == encode_progress(Progress())

    def test_a_row_stays_small(self) -> None:
        rulebook = compile_one({"count": "tests"}, 1)
        progress = feed(rulebook, *(make_test(n) for n in range(1, 500)))
        assert len(encode_progress(progress)) < 60


def test_a_late_test_leaves_runs_and_averages_to_the_replay() -> None:
    tree = {"all": [{"run": "tests", "atLeast": 9}, {"average": "wpm", "last": 2, "atLeast": 99}]}
    rulebook = compile_one(tree)
    progress = feed(rulebook, make_test(5, hours=5), make_test(4, hours=4))
    assert progress.values == [[1, 1], [0, 60_000, pack(60_000)]]
    assert progress.last_id == 5
