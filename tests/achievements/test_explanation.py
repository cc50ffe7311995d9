"""Plain sentences, and where a user stands with each node."""

from typing import Any

import pytest
from msgspec.structs import replace

from achievements.criteria import set_target
from achievements.criteria_parser import parse_criteria
from achievements.definition import Definition, Level
from achievements.explanation import Explanation, describe, explain
from achievements.gauge import Situation
from achievements.progress import Progress, apply_events, start_progress
from achievements.rulebook import Rulebook
from achievements.streak import SECONDS_A_DAY
from tests.achievements.strategies import START, compile_rulebook
from tests.factories import make_event

SENTENCES = [
    ({"count": "tests", "atLeast": 1}, "Finish 1 test."),
    ({"count": "tests", "atLeast": 1_000}, "Finish 1,000 tests."),
    (
        {"count": "tests", "where": {"wpm": {"gte": 100}, "accuracy": {"gte": 98}}, "atLeast": 10},
        "Finish 10 tests with at least 98% accuracy and at least 100 wpm.",
    ),
    (
        {"best": "wpm", "where": {"mode": {"in": ["time"]}, "durationSeconds": {"gte": 60}},
         "atLeast": 120},
        "Reach 120 wpm with at least 1 minute in time mode.",
    ),
    ({"best": "rawWpm", "atLeast": 99.5}, "Reach 99.5 raw wpm."),
    ({"sum": "durationSeconds", "atLeast": 36_000}, "Type for 10 hours in all."),
    ({"sum": "durationSeconds", "atLeast": 3_600}, "Type for 1 hour in all."),
    ({"sum": "durationSeconds", "atLeast": 90}, "Type for 90 seconds in all."),
    ({"sum": "characters", "atLeast": 1_000_000}, "Collect 1,000,000 characters in all."),
    ({"average": "wpm", "last": 10, "atLeast": 80}, "Average 80 wpm over 10 tests in a row."),
    ({"streak": "days", "atLeast": 1}, "Type on 1 day."),
    ({"streak": "days", "atLeast": 7}, "Type on 7 days in a row."),
    (
        {"run": "tests", "where": {"accuracy": {"gte": 100}}, "atLeast": 5},
        "Finish 5 tests in a row with at least 100% accuracy.",
    ),
    ({"distinct": "language", "atLeast": 5}, "Type in 5 different languages."),
    ({"distinct": "mode", "atLeast": 1}, "Type in 1 mode."),
    ({"unlocked": "fast"}, "Unlock “Fast Fingers”."),
    ({"unlocked": "other"}, "Unlock “other”."),
    (
        {"all": [{"count": "tests", "atLeast": 2}, {"unlocked": "fast"}]},
        "Finish 2 tests, and unlock “Fast Fingers”.",
    ),
    (
        {"any": [{"count": "tests", "atLeast": 2}, {"streak": "days", "atLeast": 2}]},
        "Finish 2 tests, or type on 2 days in a row.",
    ),
    (
        {"atLeast": 2, "of": [{"unlocked": s} for s in ("a", "b", "c")]},
        "Do 2 of these 3: unlock “a”; unlock “b”; unlock “c”.",
    ),
    ({"any": [{"count": "tests", "atLeast": 2}]}, "Finish 2 tests."),
    (
        {"count": "tests", "where": {"language": {"in": ["german", "french"]}}, "atLeast": 2},
        "Finish 2 tests in french or german.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("criteria", "sentence"), SENTENCES, ids=[s for _, s in SENTENCES])
def test_a_rule_in_plain_words(criteria: dict[str, Any], sentence: str) -> None:
    assert describe(parse_criteria(criteria), {"fast": "Fast Fingers"}) == sentence


def test_an_open_target_is_said_as_one() -> None:
    node = parse_criteria({"count": "tests"})
    assert describe(node) == "Finish the level’s number of tests."
    assert describe(set_target(node, 5)) == "Finish 5 tests."


def make_book(*criteria: dict[str, Any]) -> Rulebook:
    return compile_rulebook(
        [
            Definition(achievement_id=n, slug=f"a{n}", criteria=tree, levels=(Level(None, 1),))
            for n, tree in enumerate(criteria, 1)
        ]
    )


def stand(criteria: dict[str, Any], *tests: Any, today: int | None = None,
          row: Progress | None = None, holds=lambda slug: False) -> Explanation:  # fmt: skip
    book = make_book(criteria)
    progress = row or start_progress(book)
    apply_events(book, progress, tests)
    return explain(parse_criteria(criteria), book, Situation(progress, holds, today))


def test_a_count_stands_between_none_and_all() -> None:
    criteria = {"count": "tests", "where": {"wpm": {"gte": 50}}, "atLeast": 3}
    for tests, expected in (
        (0, (False, 0, 3, 0)),
        (1, (False, 1, 3, 33)),
        (2, (False, 2, 3, 66)),
        (3, (True, 3, 3, 100)),
        (4, (True, 4, 3, 100)),
    ):
        found = stand(criteria, *(make_event(1, n + 1, wpm=60.0) for n in range(tests)))
        assert (found.met, found.current, found.target, found.percent) == expected
    assert found.unit == "tests"


def test_a_reported_count_is_believed() -> None:
    found = stand({"count": "tests", "atLeast": 200}, make_event(1, 1, testCount=150))
    assert (found.current, found.percent) == (150, 75)


def test_almost_is_never_all() -> None:
    found = stand({"best": "wpm", "atLeast": 100}, make_event(1, 1, wpm=99.99999))
    assert (found.met, found.percent) == (False, 99)


def test_a_sum_is_said_in_its_unit() -> None:
    found = stand(
        {"sum": "durationSeconds", "atLeast": 60},
        make_event(1, 1, durationSeconds=15.25),
        make_event(1, 2, durationSeconds=0.123),
    )
    assert (found.current, found.unit, found.percent) == (15.37, "seconds", 25)


def test_a_run_starts_again() -> None:
    criteria = {"run": "tests", "where": {"accuracy": {"gte": 98}}, "atLeast": 4}
    good = [make_event(1, n, accuracy=99.0) for n in (1, 2, 3)]
    assert stand(criteria, *good).percent == 75
    assert stand(criteria, *good, make_event(1, 4, accuracy=90.0)).current == 0


def test_a_run_that_was_reached_stays_met() -> None:
    criteria = {"run": "tests", "where": {"accuracy": {"gte": 98}}, "atLeast": 2}
    tests = [make_event(1, n, accuracy=99.0 if n < 3 else 10.0) for n in range(1, 6)]
    found = stand(criteria, *tests)
    assert (found.met, found.current, found.percent) == (True, 2, 100)


@pytest.mark.parametrize(("days_later", "current"), [(0, 2), (1, 2), (2, 0), (-1, 2)])
def test_a_streak_is_over_after_a_missed_day(days_later: int, current: int) -> None:
    criteria = {"streak": "days", "atLeast": 5}
    day = int(START.timestamp()) // SECONDS_A_DAY
    tests = [
        replace(make_event(1, n + 1), occurred_at=START.replace(day=START.day + n)) for n in (0, 1)
    ]
    assert stand(criteria, *tests, today=day + 1 + days_later).current == current


def test_a_few_good_tests_are_not_yet_an_average() -> None:
    criteria = {"average": "wpm", "last": 4, "atLeast": 80}
    found = stand(criteria, make_event(1, 1, wpm=100.0))
    assert (found.current, found.percent, found.met) == (100, 25, False)
    assert (found.tests, found.tests_needed) == (1, 4)
    found = stand(criteria, *(make_event(1, n, wpm=100.0) for n in (1, 2, 3, 4)))
    assert (found.met, found.current) == (True, 100)
    assert (found.tests, found.tests_needed) == (4, 4)


def test_combinations_count_the_nearest_children() -> None:
    leaf = {"count": "tests", "where": {"wpm": {"gte": 1}}}
    criteria = {"atLeast": 2, "of": [{**leaf, "atLeast": n} for n in (1, 4, 1_000)]}
    found = stand(criteria, make_event(1, 1), make_event(1, 2))
    assert (found.met, found.current, found.target, found.percent) == (False, 1, 2, 75)
    assert [child.met for child in found.children] == [True, False, False]
    done = stand(criteria, *(make_event(1, n) for n in range(1, 5)))
    assert (done.met, done.percent, done.current) == (True, 100, 2)


def test_unlocked_asks_whether_it_is_held() -> None:
    criteria = {"all": [{"unlocked": "a"}, {"unlocked": "b"}]}
    found = stand(criteria, holds=lambda slug: slug == "a")
    assert [(c.met, c.percent) for c in found.children] == [(True, 100), (False, 0)]
    assert (found.met, found.percent, found.current) == (False, 50, 1)


def test_what_is_not_counted_is_not_known() -> None:
    book = make_book({"count": "tests", "atLeast": 1})
    node = parse_criteria({"best": "wpm", "atLeast": 50})
    found = explain(node, book, Situation(start_progress(book), lambda slug: False))
    assert (found.current, found.met, found.percent) == (None, False, 0)


def test_what_lacks_its_history_is_never_met() -> None:
    criteria = {"count": "tests", "where": {"wpm": {"gte": 1}}, "atLeast": 1}
    book = make_book(criteria)
    row = start_progress(book)
    row.held = 0
    found = stand(criteria, make_event(1, 1), row=row)
    assert (found.met, found.current, found.percent) == (False, 1, 99)
