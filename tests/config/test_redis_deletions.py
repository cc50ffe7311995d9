"""Which deletions count as done, and which have to be done again."""

import pytest

from config import redis_deletions
from config.redis_deletions import Deletions


@pytest.fixture
def deletions() -> Deletions:
    return Deletions()


def test_a_deletion_is_doubtful_when_another_server_took_over(deletions) -> None:
    deletions.note_done(["a", "b"], "first", ticket=deletions.take_ticket())
    deletions.note_done(["c"], "second", ticket=deletions.take_ticket())
    deletions.reconsider(lambda name: "first", version=1)
    assert deletions.list_missed() == ["c"]
    deletions.reconsider(lambda name: "third", version=2)
    assert sorted(deletions.list_missed()) == ["a", "b", "c"]


def test_without_a_change_nothing_is_looked_at(deletions) -> None:
    deletions.note_done(["a"], "first", ticket=deletions.take_ticket())
    for _ in range(3):
        deletions.reconsider(lambda name: "first", version=1)
    deletions.reconsider(lambda name: "second", version=1)
    assert deletions.list_missed() == []


def test_while_nobody_is_responsible_nothing_is_known(deletions) -> None:
    deletions.note_done(["a"], "first", ticket=deletions.take_ticket())
    deletions.reconsider(lambda name: None, version=1)
    assert deletions.list_missed() == []


def test_a_success_makes_up_for_failures_begun_before_it_alone(deletions) -> None:
    early, middle, late = (deletions.take_ticket() for _ in range(3))
    deletions.note_missed(["a"], ticket=middle)
    deletions.note_done(["a"], "first", ticket=early)
    assert deletions.list_missed() == ["a"]
    deletions.note_done(["a"], "first")
    assert deletions.list_missed() == ["a"]
    deletions.note_done(["a"], "first", ticket=late)
    assert deletions.list_missed() == []


def test_old_ones_are_dropped_and_the_number_is_bounded(deletions, monkeypatch) -> None:
    monkeypatch.setattr(redis_deletions, "MOST_NAMES", 10)
    names = [str(number) for number in range(30)]
    deletions.note_done(names, "first", ticket=deletions.take_ticket())
    assert len(deletions) == 10
    deletions.note_missed(names, ticket=deletions.take_ticket())
    assert deletions.list_missed() == names[-10:]
    monkeypatch.setattr(redis_deletions, "KEEP_SECONDS", -1)
    deletions.reconsider(lambda name: "second", version=1)
    assert len(deletions) == 10
