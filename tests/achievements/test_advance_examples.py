"""One user's step, by examples: what a property would meet too seldom, said once."""

import pytest
from msgspec.structs import replace

from achievements.advance import History, advance, revise
from achievements.definition import Definition, Level
from achievements.events import TEST_COMPLETED, Event, Metrics
from tests.achievements.account import Account, keep_history, keep_nothing
from tests.achievements.strategies import (
    START,
    compile_rulebook,
    make_invalidation,
)

pytestmark = pytest.mark.usefixtures("small_ring")


def one_count(**more: object) -> Definition:
    return Definition(
        achievement_id=1,
        slug="alpha",
        criteria={"count": "tests", **more},
        levels=(Level(1, 5), Level(2, 10), Level(5, 20)),
    )


def make_test(test_id: int, **metrics: object) -> Event:
    return Event(
        user_id=1,
        test_result_id=test_id,
        event_type="test_completed",
        metrics=Metrics(**(metrics or {"wpm": 60.0})),  # type: ignore[arg-type]
        occurred_at=START,
    )


class TestExamples:
    def test_a_late_test_that_breaks_a_run_takes_nothing_away(self) -> None:
        run = Definition(
            1, "alpha", {"run": "tests", "where": {"wpm": {"gte": 50}}}, (Level(3, 5),)
        )
        rulebook = compile_rulebook([run])
        account = Account(keep_history)
        account.feed(rulebook, [make_test(i) for i in (1, 2, 4)])
        step = account.feed(rulebook, [make_test(3, wpm=40.0)])
        assert (account.row.values, step.revoked) == ([[2, 1]], [])
        assert account.row.unlocked == {1: 1}
        # A retraction looks at everything that the user holds.
        step = account.feed(rulebook, [make_invalidation(1)])
        assert step.revoked == [(1, 1)]

    def test_a_duplicate_has_one_effect(self) -> None:
        rulebook = compile_rulebook([one_count()])
        account = Account(keep_history)
        first = account.feed(rulebook, [make_test(1), make_test(1)])
        again = account.feed(rulebook, [make_test(1)])
        assert (first.applied, again.applied) == (1, 0)
        assert [(u.level, u.event and u.event.test_result_id) for u in first.unlocks] == [(1, 1)]

    @pytest.mark.parametrize("first", ["test", "invalidation", "together"])
    def test_the_site_s_count_is_believed_whichever_event_comes_first(self, first: str) -> None:
        rulebook = compile_rulebook([one_count()])
        account = Account(keep_history)
        test, undo = make_test(1, wpm=60.0, test_count=5), make_invalidation(1)
        batches = {"test": [[test], [undo]], "invalidation": [[undo], [test]]}
        for batch in batches.get(first, [[test, undo]]):
            account.feed(rulebook, batch)
        assert account.row.reported == 5
        assert account.row.values == [0]
        assert account.row.unlocked == {1: 3}

    def test_beside_its_invalidation_a_test_never_counts_even_without_history(self) -> None:
        rulebook = compile_rulebook([one_count()])
        account = Account(keep_nothing)
        account.feed(rulebook, [make_test(1)])
        ids = range(2, 60)
        undo = [make_invalidation(i) for i in ids]
        account.feed(rulebook, [*map(make_test, ids), *undo])
        assert account.row.values == [1]

    def test_many_invalidations_at_once_all_hold_before_the_history_is_marked(self) -> None:
        rulebook = compile_rulebook([one_count()])
        account = Account(lambda own: [e for e in own.arrived if e.event_type == TEST_COMPLETED])
        account.feed(rulebook, [make_test(i) for i in range(1, 60)])
        account.feed(rulebook, [make_invalidation(i) for i in range(2, 60)])
        assert account.row.values == [1]
        assert account.row.unlocked == {1: 1}

    def test_a_level_that_stands_holds_up_the_ones_below(self) -> None:
        where = {"where": {"wpm": {"gte": 1}}}
        strict = one_count(**where)
        mild = replace(strict, levels=(Level(1, 5), Level(4, 10), Level(5, 20)))
        newest = replace(strict, levels=(Level(1, 5), Level(50, 10), Level(60, 20)))
        first = compile_rulebook([replace(strict, levels=(Level(1, 5), Level(6, 10)))], version=1)
        second = compile_rulebook([mild], version=2, after=first)
        third = compile_rulebook([newest], version=3, after=second)
        account = Account(keep_history)
        account.feed(first, [make_test(i) for i in range(1, 7)])  # level 2 under version 1
        account.revise(second)  # level 3 under version 2
        step = account.feed(third, [make_invalidation(6)])  # five tests: 3 stands, so 2 does
        assert step.revoked == []
        assert account.row.unlocked == {1: 3}
        step = account.feed(third, [make_invalidation(5), make_invalidation(4)])
        assert step.revoked == [(1, 2), (1, 3)]

    def test_a_level_unlocked_by_the_site_s_count_survives_a_retraction(self) -> None:
        first = compile_rulebook([one_count()], version=1)
        retired = replace(one_count(), is_live=False)
        second = compile_rulebook([retired], version=2, after=first)
        account = Account(keep_history)
        account.feed(first, [make_test(1, test_count=5), make_test(2)])
        step = account.feed(second, [make_invalidation(2)])
        assert step.revoked == []

    @pytest.mark.parametrize("is_live", [True, False])
    def test_a_collection_stands_on_what_stands(self, is_live: bool) -> None:
        def collection(slug: str, achievement_id: int, *, live: bool = True) -> Definition:
            criteria = {"unlocked": slug}
            return Definition(
                achievement_id, f"c{achievement_id}", criteria, (Level(None, 5),), live
            )

        easy = replace(one_count(where={"wpm": {"gte": 1}}), levels=(Level(2, 5),))
        hard = replace(easy, levels=(Level(50, 5),))
        first = compile_rulebook([easy], version=1)
        second = compile_rulebook([hard, collection("alpha", 2)], version=2, after=first)
        third = compile_rulebook(
            [hard, collection("alpha", 2, live=is_live), collection("c2", 3)],
            version=3,
            after=second,
        )
        account = Account(keep_history)
        account.feed(first, [make_test(1), make_test(2), make_test(3)])
        account.revise(second)
        account.revise(third)
        assert account.row.unlocked == {1: 1, 2: 1, 3: 1}
        step = account.feed(third, [make_invalidation(3)])
        assert (step.revoked, step.unlocks) == ([], [])
        step = account.feed(third, [make_invalidation(2)])
        assert sorted(step.revoked) == [(1, 1), (2, 1), (3, 1)]
        assert account.row.unlocked == {}

    def test_an_unlock_of_a_replay_never_names_an_invalidated_test(self) -> None:
        easy = replace(one_count(where={"wpm": {"gte": 1}}), levels=(Level(1, 5),))
        asks = Definition(2, "beta", {"unlocked": "alpha"}, (Level(None, 5),))
        first = compile_rulebook([easy], version=1)
        second = compile_rulebook([replace(easy, is_live=False), asks], version=2, after=first)
        account = Account(keep_nothing)
        account.feed(first, [make_test(1)])
        row = account.row
        late = replace(make_test(2), occurred_at=START.replace(year=2025))
        step = revise(
            second, row, [make_invalidation(2), late], History([make_test(1)]), origins={}
        )
        assert [(u.achievement_id, u.event) for u in step.unlocks] == [(2, make_test(1))]

    def test_a_late_test_that_no_order_asks_for_needs_no_replay(self) -> None:
        rulebook = compile_rulebook([one_count()])
        account = Account(keep_history)
        account.feed(rulebook, [make_test(5)])
        assert advance(rulebook, account.row, [make_test(4)]) is not None
        ordered = compile_rulebook(
            [one_count(), replace(one_count(), achievement_id=2, criteria={"run": "tests"})],
            after=rulebook,
        )
        assert advance(ordered, account.row, [make_test(4)]) is None
        assert advance(ordered, account.row, [make_test(6)]) is not None
        assert advance(ordered, account.row, [make_test(5)]) is not None  # seen
        assert advance(ordered, account.row, [make_invalidation(9)]) is None
        assert advance(ordered, account.row, [make_test(6), make_test(4)]) is None  # one is late
