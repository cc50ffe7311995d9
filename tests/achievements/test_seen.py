"""The memory of seen tests: an exact set, whatever the ids and however many."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from achievements.events import Event, Metrics
from achievements.progress import Progress, decode_progress, encode_progress
from achievements.recognition import Archive, asks_archive, sift_events
from achievements.seen import (
    KEPT_IDS,
    MAX_DISTANCE,
    NARROW,
    RING_IDS,
    WIDE,
    Seen,
    pack_ids,
    unpack_ids,
)
from tests.achievements.strategies import START, make_invalidation

COUNT = 3_000


class Memory:
    """A row and its archive; `read` says how often the archive was asked."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.archive: set[int] = set()
        self.reads = 0

    def meet(self, test_id: int) -> bool:
        """Return whether the id is new, and remember it."""
        archived: set[int] = set()
        if self.seen.is_doubtful(test_id):
            self.reads += 1
            archived = self.archive
        if self.seen.holds(test_id) or test_id in archived:
            return False
        self.keep(self.seen.add(test_id))
        return True

    def keep(self, leaving: list[int]) -> None:
        assert leaving == sorted(set(leaving))
        assert not self.archive & set(leaving)
        self.archive.update(leaving)
        assert len(self.seen.list_ids()) < RING_IDS


def in_blocks() -> list[int]:
    """Sixteen devices that number their tests on their own, taking turns."""
    return [device * 10**15 + n for n in range(COUNT // 16) for device in range(1, 17)]


def shuffled(seed: int, top: int) -> list[int]:
    return random.Random(seed).sample(range(1, top), COUNT)


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(list(range(1, COUNT)), id="increasing"),
        pytest.param(list(range(COUNT, 0, -1)), id="decreasing"),
        pytest.param(in_blocks(), id="interleaved"),
        pytest.param(shuffled(1, 2**63), id="random and wide"),
        pytest.param(shuffled(2, COUNT + 1), id="random and dense"),
        pytest.param([*range(2**63 - COUNT, 2**63)], id="the highest"),
    ],
)
def test_thousands_of_ids_are_told_apart(ids: list[int]) -> None:
    memory = Memory()
    generator = random.Random(3)
    for number, test_id in enumerate(ids):
        assert memory.meet(test_id)
        assert not memory.meet(test_id)
        assert not memory.meet(ids[generator.randrange(number + 1)])
    assert not any(memory.meet(test_id) for test_id in ids)
    assert memory.archive | set(memory.seen.list_ids()) == set(ids)
    assert memory.seen.top == max(ids)


def test_growing_ids_never_ask_the_archive() -> None:
    memory = Memory()
    assert all(memory.meet(test_id) for test_id in range(1, COUNT))
    assert memory.reads == 0
    # Nor does a redelivery close by.
    assert not any(memory.meet(test_id) for test_id in range(COUNT - KEPT_IDS, COUNT))
    assert memory.reads == 0


@settings(deadline=None)
@given(
    st.lists(
        st.integers(1, 200)
        | st.integers(1, 2**63 - 1)
        | st.lists(st.integers(1, 200), max_size=60)
        | st.integers(2**40, 2**40 + 200)
        | st.integers(2**40 - 2 + MAX_DISTANCE, 2**40 + 2 + MAX_DISTANCE),
        max_size=120,
    )
)
def test_it_is_a_set(steps: list[int | list[int]]) -> None:
    """A step adds one id, or learns many at once as a replay of the history does."""
    memory, model = Memory(), set[int]()
    for step in steps:
        if isinstance(step, int):
            assert memory.meet(step) == (step not in model)
            model.add(step)
        else:
            memory.keep(memory.seen.learn(step, memory.archive))
            model.update(step)
        recent = memory.seen.list_ids()
        assert memory.archive | set(recent) == model
        assert not memory.archive & set(recent)
        assert memory.seen.top == max(model, default=0)
        assert all(i <= memory.seen.horizon for i in memory.archive)
        # What is above the horizon is in the row: only below it the archive is needed.
        assert all(i in recent for i in model if i > memory.seen.horizon)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_packing(ids: list[int]) -> None:
    assert unpack_ids(pack_ids(ids)) == tuple(ids)
    seen = decode_progress(encode_progress(Progress(completed=Seen(pack_ids(ids), 7, 3)))).completed
    assert (seen.list_ids(), seen.top, seen.horizon) == (tuple(ids), 7, 3)


def test_rows_of_before_distances_stay_readable() -> None:
    """They hold three fields, their ids as they are, late ones among them."""
    old = msgspec.msgpack.encode([pack_ids([20, 5, 30]), 30, 10])
    seen = msgspec.msgpack.decode(old, type=Seen)
    assert seen.list_ids() == (20, 5, 30)
    assert seen.holds(5)
    assert not seen.is_doubtful(5)
    assert seen.is_doubtful(6)
    assert seen.add(31) == []
    assert set(seen.list_ids()) == {5, 20, 30, 31}


@pytest.mark.parametrize(
    ("ids", "are_near"),
    [
        pytest.param([10**15, 10**15 + 1], True, id="high and close"),
        pytest.param([10**15, 10**15 - 1 + MAX_DISTANCE], True, id="as far as fits"),
        pytest.param([10**15, 10**15 + MAX_DISTANCE], False, id="one further"),
        pytest.param([10, 9], False, id="a late one"),
        pytest.param([10, 9, *range(11, 10 + RING_IDS - 1)], True, id="a late one that has left"),
    ],
)
def test_ids_that_are_near_take_half_the_bytes_and_always_as_many(
    ids: list[int], are_near: bool
) -> None:
    seen = Seen()
    for test_id in ids:
        seen.add(test_id)
    assert seen.count == (len(seen.list_ids()) if are_near else 0)
    assert len(seen.recent) == ((RING_IDS - 1) * NARROW if are_near else WIDE * len(ids))


def make_test(test_id: int) -> Event:
    return Event(
        user_id=1,
        test_result_id=test_id,
        event_type="test_completed",
        metrics=Metrics(wpm=60.0),
        occurred_at=START,
    )


def filled(*, completed: range = range(0), invalidated: range = range(0)) -> Progress:
    progress = Progress()
    for test_id in completed:
        progress.completed.add(test_id)
    for test_id in invalidated:
        progress.invalidated.add(test_id)
    return progress


@pytest.mark.parametrize(
    ("progress", "test_id", "by_test", "by_invalidation"),
    [
        pytest.param(filled(), 1, False, False, id="a new user"),
        pytest.param(filled(completed=range(1, 9)), 4, False, False, id="all in the row"),
        pytest.param(filled(completed=range(1, 99)), 99, False, False, id="above all"),
        pytest.param(filled(completed=range(1, 99)), 98, False, False, id="in the row"),
        pytest.param(filled(completed=range(1, 99)), 1, True, False, id="archived"),
        pytest.param(filled(invalidated=range(1, 99)), 1, True, True, id="archived invalidation"),
        pytest.param(filled(invalidated=range(1, 99)), 98, False, False, id="invalid, in the row"),
        pytest.param(
            filled(completed=range(90, 99), invalidated=range(1, 99)), 30, True, True, id="both"
        ),
    ],
)
def test_only_doubt_asks_the_archive(
    progress: Progress, test_id: int, by_test: bool, by_invalidation: bool
) -> None:
    assert asks_archive(progress, make_test(test_id)) is by_test
    assert asks_archive(progress, make_invalidation(test_id)) is by_invalidation


def test_sifting_keeps_the_first_of_each_and_puts_invalidations_first() -> None:
    progress = filled(completed=range(1, 50))
    tests = [make_test(i) for i in (60, 49, 3, 55, 60, 2)]
    undone = [make_invalidation(55), make_invalidation(1)]
    archive = Archive(completed={3})
    fresh = sift_events(progress, [*tests, *undone, *undone], archive)
    assert [(e.event_type, e.test_result_id) for e in fresh] == [
        ("test_invalidated", 1),
        ("test_invalidated", 55),
        ("test_completed", 2),
        ("test_completed", 55),
        ("test_completed", 60),
    ]
