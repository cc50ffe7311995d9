"""The ledger of offsets: what it hands out is applied, and what was refused comes again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from achievements.offsets import COMMIT_EVERY_SECONDS, OffsetLedger

SOON = COMMIT_EVERY_SECONDS / 2
LATER = COMMIT_EVERY_SECONDS


@pytest.fixture
def ledger() -> OffsetLedger:
    """Applied: 0 to 4 of partition 3, and 7 of partition 8."""
    ledger = OffsetLedger()
    for offset in range(5):
        ledger.record(3, offset, published_at=100.0 + offset)
    ledger.record(8, 7, published_at=200.0)
    return ledger


def test_nothing_is_due_while_nothing_is_applied() -> None:
    assert OffsetLedger().take_due(10.0) == {}


def test_the_end_is_the_offset_to_go_on_from(ledger: OffsetLedger) -> None:
    assert ledger.take_due(10.0) == {3: 5, 8: 8}
    assert ledger.newest_at == {3: 104.0, 8: 200.0}


def test_what_was_handed_out_is_not_handed_out_again(ledger: OffsetLedger) -> None:
    ledger.take_due(10.0)
    assert ledger.take_due(10.0 + LATER) == {}
    ledger.record(8, 8, published_at=201.0)
    assert ledger.take_due(10.0 + LATER) == {8: 9}


def test_commits_keep_their_distance_and_the_newest_end_wins(ledger: OffsetLedger) -> None:
    ledger.take_due(10.0)
    ledger.record(3, 5, published_at=105.0)
    assert ledger.take_due(10.0 + SOON) == {}
    ledger.record(3, 6, published_at=106.0)
    assert ledger.take_due(10.0 + LATER) == {3: 7}


def test_a_pause_without_events_delays_no_commit(ledger: OffsetLedger) -> None:
    """The distance is from the last commit, not from the last look."""
    ledger.take_due(10.0)
    assert ledger.take_due(99.0) == {}
    ledger.record(3, 5, published_at=105.0)
    assert ledger.take_due(99.0) == {3: 6}


def test_an_older_message_moves_nothing(ledger: OffsetLedger) -> None:
    ledger.take_due(10.0)
    ledger.record(3, 2, published_at=999.0)
    assert ledger.ends[3] == 5
    assert ledger.newest_at[3] == 104.0
    assert ledger.take_due(10.0 + LATER) == {}


def test_a_gap_in_the_offsets_is_stepped_over(ledger: OffsetLedger) -> None:
    """A compacted topic and aborted transactions leave some."""
    ledger.record(3, 40, published_at=140.0)
    assert ledger.take_due(10.0) == {3: 41, 8: 8}


def test_what_was_refused_is_due_again_with_the_newest_end(ledger: OffsetLedger) -> None:
    taken = ledger.take_due(10.0)
    ledger.record(3, 5, published_at=105.0)
    ledger.put_back(taken)
    assert ledger.take_due(10.0 + SOON) == {}
    assert ledger.take_due(10.0 + LATER) == {3: 6, 8: 8}


def test_what_was_refused_after_a_rebalance_is_not_committed_for_the_next_owner(
    ledger: OffsetLedger,
) -> None:
    taken = ledger.take_due(10.0)
    ledger.forget([3])
    ledger.put_back(taken)
    assert ledger.take_due(10.0 + LATER) == {8: 8}


def test_what_is_forgotten_begins_anew(ledger: OffsetLedger) -> None:
    ledger.forget([3, 4])
    assert (ledger.ends, ledger.newest_at, ledger.uncommitted) == ({8: 8}, {8: 200.0}, {8})
    ledger.record(3, 1, published_at=300.0)  # the other one had not come far
    assert ledger.take_due(10.0) == {3: 2, 8: 8}


def test_the_last_commit_names_what_was_applied_here(ledger: OffsetLedger) -> None:
    ledger.take_due(10.0)
    assert ledger.find_ends([3, 4]) == {3: 5}
    assert ledger.find_ends(ledger.ends) == {3: 5, 8: 8}


partitions = st.integers(0, 3)
steps = st.one_of(
    st.tuples(st.just("apply"), partitions),
    st.tuples(st.just("lose"), partitions),
    st.tuples(st.just("pass"), st.floats(0, 1)),
    st.tuples(st.just("refuse"), st.booleans()),
)


@given(st.lists(steps, max_size=60))
def test_the_group_never_knows_more_than_is_applied_and_in_the_end_all_of_it(
    story: list[tuple[str, float]],
) -> None:
    ledger, now = OffsetLedger(), 0.0
    applied: dict[int, int] = {}  # of the partitions that are ours
    known: dict[int, int] = {}
    is_refusing = False

    def commit() -> None:
        for number, end in ledger.take_due(now).items():
            assert end == applied[number]
            if is_refusing:
                ledger.put_back([number])
            else:
                known[number] = end

    for verb, value in story:
        if verb == "apply":
            number = int(value)
            # Who gets a partition goes on from where the group is.
            offset = applied.get(number, known.get(number, 0))
            applied[number] = offset + 1
            ledger.record(number, offset, published_at=now)
        elif verb == "lose":
            ledger.forget([int(value)])
            applied.pop(int(value), None)
        elif verb == "pass":
            now += value
        else:
            is_refusing = bool(value)
        commit()
    is_refusing = False
    now += COMMIT_EVERY_SECONDS
    commit()
    assert ledger.ends == applied
    assert {number: known[number] for number in applied} == applied
    assert not ledger.uncommitted
