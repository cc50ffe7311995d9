"""One user's step, as properties: whatever the delivery, the row says what the oracle says."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from achievements.definition import Definition
from achievements.events import Event
from achievements.progress import apply_events, start_progress
from tests.achievements import oracle
from tests.achievements.account import Account, keep_history, keep_nothing, make_history
from tests.achievements.expectation import Expectation, assert_exact, measure_all, read_measures
from tests.achievements.strategies import (
    Life,
    compile_rulebook,
    definition_lists,
    deliveries,
    lives,
    make_invalidation,
    sorted_stream,
)

pytestmark = pytest.mark.usefixtures("small_ring")
slow = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
COMMUTING = ("count", "sum", "best", "streak", "distinct")


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
