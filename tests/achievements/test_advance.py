"""One user's step, as properties: whatever the delivery, the row says what the oracle says."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from achievements import seen
from achievements.advance import History, advance, revise
from achievements.criteria import Reach
from achievements.definition import Definition, Level
from achievements.events import TEST_COMPLETED, Event, Metrics
from achievements.progress import Progress, apply_events, derive, start_progress
from achievements.rule import read_value
from achievements.rulebook import Rulebook
from tests.achievements import oracle
from tests.achievements.account import Account, keep_history, keep_nothing, make_history
from tests.achievements.strategies import (
    START,
    Life,
    compile_rulebook,
    definition_lists,
    deliveries,
    lives,
    make_invalidation,
    sorted_stream,
)

slow = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
COMMUTING = ("count", "sum", "best", "streak", "distinct")


@pytest.fixture(autouse=True, scope="module")
def _small_ring() -> Iterator[None]:
    """A ring of four ids makes a dozen tests reach the archive."""
    with patch.multiple(seen, RING_IDS=4, KEPT_IDS=2):
        yield


def read_measures(rulebook: Rulebook, row: Progress) -> dict[tuple[int, int], Fraction]:
    """Return what the row says of every leaf: (achievement id, number of the leaf) -> value."""
    found = {}
    for definition in rulebook.definitions.values():
        if not definition.is_live:
            continue
        for number, leaf in enumerate(oracle.list_leaves(definition.criteria)):
            node = replace(definition, criteria=leaf).parse()
            assert isinstance(node, Reach)
            value = read_value(node.measure.kind, row.values[rulebook.positions[node.measure.key]])
            if node.measure.is_total:
                value = max(value, row.reported)
            key = definition.achievement_id, number
            found[key] = Fraction(value) / node.measure.scale
    return found


def measure_all(
    definitions: Sequence[Definition], past: oracle.Past, kinds: Sequence[str] = oracle.KINDS
) -> dict[tuple[int, int], Fraction]:
    return {
        (d.achievement_id, number): oracle.measure(leaf, past, oracle.window_of(d))
        for d in definitions
        if d.is_live
        for number, leaf in enumerate(oracle.list_leaves(d.criteria))
        if any(kind in leaf for kind in kinds)
    }


class Expectation:
    """What the oracle says a user holds, batch after batch.

    A late test can break a run, or lower an average, that was reached without it. The row
    then says what the history says, but what was unlocked meanwhile is not taken away:
    only a retraction looks at it again.
    """

    def __init__(self, definitions: list[Definition]) -> None:
        self.definitions = definitions
        self.unlocked: dict[int, int] = {}

    def follow(self, account: Account, rulebook: Rulebook, batch: Sequence[Event]) -> None:
        """Feed a batch and move on with it."""
        retractions = account.retractions
        account.feed(rulebook, batch)
        held = self.unlocked if account.retractions == retractions else {}
        past = oracle.remember(account.arrived)
        self.unlocked = oracle.find_unlocked(self.definitions, past, held)


def assert_exact(
    rulebook: Rulebook,
    definitions: list[Definition],
    account: Account,
    unlocked: dict[int, int] | None = None,
) -> None:
    """The row equals a replay of the history, and both say what the oracle says."""
    row, past = account.row, oracle.remember(account.arrived)
    valid = [t for t in make_history(account.arrived) if t.event_type == TEST_COMPLETED]
    replay = derive(rulebook, valid, reported=past.reported).progress
    assert row.values == replay.values
    assert (row.reported, row.held) == (replay.reported, rulebook.size)
    assert (row.last_at, row.last_id) == (replay.last_at, replay.last_id)
    assert read_measures(rulebook, row) == measure_all(definitions, past)
    replayed = oracle.find_unlocked(definitions, past)
    assert replay.unlocked == replayed
    assert replay.points == oracle.count_points(definitions, replayed)
    expected = replayed if unlocked is None else unlocked
    assert row.unlocked == expected
    assert row.points == oracle.count_points(definitions, expected)
    if not rulebook.has_ordered:
        assert row.unlocked == replay.unlocked


class TestDelivery:
    @settings(slow, max_examples=250)
    @given(definition_lists(), lives(), st.data())
    def test_any_order_any_duplicates_any_batches_give_what_the_history_gives(
        self, definitions: list[Definition], life: Life, data: st.DataObject
    ) -> None:
        rulebook = compile_rulebook(definitions)
        account, expectation = Account(keep_history), Expectation(definitions)
        for batch in data.draw(deliveries(life)):
            expectation.follow(account, rulebook, batch)
            assert_exact(rulebook, definitions, account, expectation.unlocked)

    @slow
    @given(definition_lists(), lives(with_test_count=False), st.data())
    def test_a_history_that_is_ahead_of_the_events_changes_nothing(
        self, definitions: list[Definition], life: Life, data: st.DataObject
    ) -> None:
        # The table holds tests, and marks, whose events are still on their way. Their
        # testCount, which no history holds, would be missed until the site sends the next one.
        rulebook = compile_rulebook(definitions)
        are_marks_ahead = data.draw(st.booleans())

        def read(account: Account) -> list[Event]:
            return make_history(life.events if are_marks_ahead else [*life.tests, *account.arrived])

        account = Account(read)
        for batch in data.draw(deliveries(life)):
            account.feed(rulebook, batch)
        # What a test unlocked whose mark was ahead is looked at when its event comes.
        account.revise(rulebook, should_retract=True)
        assert_exact(rulebook, definitions, account)

    @slow
    @given(definition_lists(), lives(), st.data())
    def test_everything_again_has_no_effect(
        self, definitions: list[Definition], life: Life, data: st.DataObject
    ) -> None:
        rulebook = compile_rulebook(definitions)
        account = Account(keep_history)
        account.feed(rulebook, life.events)
        state, archived = account.state, [set(kind) for kind in account.archived]
        for batch in data.draw(deliveries(life)):
            step = account.feed(rulebook, batch)
            assert (step.applied, step.unlocks, step.revoked, step.leaving) == (0, [], [], [])
        assert account.state == state
        assert list(account.archived) == archived

    @slow
    @given(definition_lists(), lives(can_invalidate=False), st.data())
    def test_what_is_met_stays_met(
        self, definitions: list[Definition], life: Life, data: st.DataObject
    ) -> None:
        rulebook = compile_rulebook(definitions)
        account = Account(keep_history)
        levels: dict[int, int] = {}
        for batch in data.draw(deliveries(life)):
            assert not account.feed(rulebook, batch).revoked
            now = account.row.unlocked
            assert all(now[i] >= level for i, level in levels.items())
            levels = now

    @slow
    @given(definition_lists(), lives(can_invalidate=False))
    def test_in_their_own_order_tests_only_ever_raise_what_is_measured(
        self, definitions: list[Definition], life: Life
    ) -> None:
        rulebook = compile_rulebook(definitions)
        row = start_progress(rulebook)
        before = read_measures(rulebook, row)
        for event in sorted_stream(life.tests):
            apply_events(rulebook, row, [event])
            now = read_measures(rulebook, row)
            assert all(now[key] >= value for key, value in before.items())
            before = now

    @slow
    @given(definition_lists(), lives(can_invalidate=False))
    def test_in_order_the_live_path_needs_no_history(
        self, definitions: list[Definition], life: Life
    ) -> None:
        rulebook = compile_rulebook(definitions)
        account = Account(keep_history)
        for event in sorted_stream(life.tests):
            account.feed(rulebook, [event])
        assert account.revisions == 1  # the first event of a new user
        assert_exact(rulebook, definitions, account)


class TestRetraction:
    @slow
    @given(definition_lists(), lives(can_invalidate=False, with_test_count=False), st.data())
    def test_invalidating_equals_never_having_had_the_test(
        self, definitions: list[Definition], life: Life, data: st.DataObject
    ) -> None:
        rulebook = compile_rulebook(definitions)
        undone = data.draw(st.sampled_from(life.tests))
        others = [t for t in life.tests if t is not undone]
        account, without = Account(keep_history), Account(keep_history)
        account.feed(rulebook, life.tests)
        step = account.feed(rulebook, [make_invalidation(undone.test_result_id)])
        without.feed(rulebook, others)
        if others:
            assert account.row.values == without.row.values
            assert account.row.unlocked == without.row.unlocked
            assert account.row.points == without.row.points
        else:
            assert account.row.values == start_progress(rulebook).values
            assert account.row.unlocked == {}
        # A test that pulled an average down, or broke a run, can have kept a level away.
        held = without.row.unlocked if others else {}
        assert all(u.level <= held.get(u.achievement_id, 0) for u in step.unlocks)

    @slow
    @given(definition_lists(), lives(can_invalidate=False, with_test_count=False), st.data())
    def test_what_was_revoked_is_earned_again(
        self, definitions: list[Definition], life: Life, data: st.DataObject
    ) -> None:
        rulebook = compile_rulebook(definitions)
        account = Account(keep_history)
        account.feed(rulebook, life.tests)
        before, undone = account.row.unlocked, data.draw(st.sampled_from(life.tests))
        expectation = Expectation(definitions)
        expectation.follow(account, rulebook, [make_invalidation(undone.test_result_id)])
        revoked = [key for key in levels_of(before) if key not in account.held]
        expectation.follow(account, rulebook, [replace(undone, test_result_id=41)])
        assert_exact(rulebook, definitions, account, expectation.unlocked)
        if not rulebook.has_ordered:
            assert account.row.unlocked == before
            assert all(key in account.held for key in revoked)


class TestRuleChanges:
    @slow
    @given(
        definition_lists(), definition_lists(), lives(can_invalidate=False), st.data(), st.data()
    )
    def test_a_change_never_takes_away(
        self,
        older: list[Definition],
        newer: list[Definition],
        life: Life,
        data: st.DataObject,
        more: st.DataObject,
    ) -> None:
        first = compile_rulebook(older, version=1)
        second = compile_rulebook(newer, version=2, after=first)
        batches = data.draw(deliveries(life))
        middle = more.draw(st.integers(0, len(batches)))
        account = Account(keep_history)
        for batch in batches[:middle]:
            account.feed(first, batch)
        before = account.row.unlocked if account.state else {}
        for batch in batches[middle:]:
            account.feed(second, batch)
        account.revise(second)
        after, past = account.row.unlocked, oracle.remember(life.events)
        assert all(after[i] >= level for i, level in before.items())
        expected = oracle.find_unlocked(newer, past, before)
        assert all(after[i] >= level for i, level in expected.items())
        assert second.has_ordered or after == expected
        assert after == oracle.find_unlocked(newer, past, after)

    @slow
    @given(
        definition_lists(with_unlocked=False),
        definition_lists(with_unlocked=False),
        lives(with_test_count=False),
    )
    def test_retraction_keeps_what_the_old_rules_still_find_earned(
        self, older: list[Definition], newer: list[Definition], life: Life
    ) -> None:
        first = compile_rulebook(older, version=1)
        second = compile_rulebook(newer, version=2, after=first)
        account = Account(keep_history)
        account.feed(first, life.tests)
        before = account.row.unlocked
        account.revise(second)
        account.feed(second, [*life.invalidations, make_invalidation(2**61)])
        past = oracle.remember(account.arrived)
        then, now = oracle.find_unlocked(older, past), oracle.find_unlocked(newer, past)
        expected = {
            i: max(min(before.get(i, 0), then.get(i, 0)), now.get(i, 0))
            for i in before.keys() | now.keys()
        }
        assert account.row.unlocked == {i: level for i, level in expected.items() if level}

    @slow
    @given(definition_lists(min_size=2), lives(can_invalidate=False), st.data())
    def test_new_accumulators_are_fed_but_not_judged_until_the_replay(
        self, definitions: list[Definition], life: Life, data: st.DataObject
    ) -> None:
        count = data.draw(st.integers(1, len(definitions) - 1))
        first = compile_rulebook(definitions[:count], version=1)
        second = compile_rulebook(definitions, version=2, after=first)
        batches = data.draw(deliveries(life))
        middle = data.draw(st.integers(1, len(batches)))
        account = Account(keep_history)
        for batch in batches[:middle]:
            account.feed(first, batch)
        revisions = account.revisions
        for batch in batches[middle:]:
            account.feed(second, batch)
            if account.revisions == revisions:
                assert account.row.held == first.size
                unjudged = {
                    r.definition.achievement_id for r in second.rules if r.needs > first.size
                }
                assert not unjudged & account.row.unlocked.keys()
        before = account.row.unlocked
        account.revise(second)
        expected = oracle.find_unlocked(definitions, oracle.remember(life.events), before)
        assert_exact(second, definitions, account, expected)


class TestWithoutHistory:
    @slow
    @given(definition_lists(), lives(can_invalidate=False), st.data())
    def test_events_alone_are_enough_in_any_order_for_what_commutes(
        self, definitions: list[Definition], life: Life, data: st.DataObject
    ) -> None:
        rulebook = compile_rulebook(definitions)
        account = Account(keep_nothing)
        for batch in data.draw(deliveries(life)):
            account.feed(rulebook, batch)
        measured = read_measures(rulebook, account.row)
        expected = measure_all(definitions, oracle.remember(life.events), COMMUTING)
        assert {key: measured[key] for key in expected} == expected

    @slow
    @given(definition_lists(), lives(can_invalidate=False), st.data())
    def test_events_alone_are_exact_in_order(
        self, definitions: list[Definition], life: Life, data: st.DataObject
    ) -> None:
        rulebook = compile_rulebook(definitions)
        account = Account(keep_nothing)
        size = data.draw(st.integers(1, 4))
        stream = sorted_stream(life.tests)
        for start in range(0, len(stream), size):
            account.feed(rulebook, stream[start : start + size])
        assert_exact(rulebook, definitions, account)
        account.revise(rulebook)
        assert_exact(rulebook, definitions, account)

    @slow
    @given(definition_lists(), lives(can_invalidate=False, with_test_count=False), st.data())
    def test_an_older_part_of_the_history_is_counted_once_and_kept(
        self, definitions: list[Definition], life: Life, data: st.DataObject
    ) -> None:
        stream = sorted_stream(life.tests)
        old = stream[: data.draw(st.integers(0, len(stream)))]
        rulebook = compile_rulebook(definitions)
        account = Account(lambda _: make_history(old))
        resent = data.draw(st.lists(st.sampled_from(old), max_size=3)) if old else []
        for event in [*stream[len(old) :], *resent]:
            account.feed(rulebook, [event])
        account.revise(rulebook)
        account.arrived = stream if account.arrived else []
        if account.arrived:
            assert_exact(rulebook, definitions, account)

    @slow
    @given(definition_lists(min_size=2), lives(can_invalidate=False, with_test_count=False))
    def test_confirming_judges_what_was_counted_since_the_publication(
        self, definitions: list[Definition], life: Life
    ) -> None:
        assume(len(life.tests) > 1)
        first = compile_rulebook(definitions[:1], version=1)
        second = compile_rulebook(definitions, version=2, after=first)
        stream = sorted_stream(life.tests)
        half = len(stream) // 2
        account = Account(keep_nothing)
        account.feed(first, stream[:half])
        account.feed(second, stream[half:])
        held = account.row.unlocked
        account.revise(second)
        assert account.row.held == first.size
        # A rule without a measure of its own needs no confirmation.
        unjudged = {r.definition.achievement_id for r in second.rules if r.needs > first.size}
        assert not unjudged & account.row.unlocked.keys()
        account.revise(second, should_confirm=True)
        row = account.row
        assert row.held == second.size
        assert all(row.unlocked[i] >= level for i, level in held.items())
        past = oracle.remember(stream[half:])
        expected = measure_all(definitions, past)
        measured = read_measures(second, row)
        fresh = {
            (d.achievement_id, number)
            for d in definitions[1:]
            for number, leaf in enumerate(oracle.list_leaves(d.criteria))
            if second.positions.get(replace(d, criteria=leaf).parse().measure.key, 0) >= first.size  # type: ignore[union-attr]
        }
        assert {k: measured[k] for k in fresh & measured.keys()} == {
            k: expected[k] for k in fresh & expected.keys()
        }


def levels_of(unlocked: dict[int, int]) -> list[tuple[int, int]]:
    return [(i, level) for i, highest in unlocked.items() for level in range(1, highest + 1)]


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
