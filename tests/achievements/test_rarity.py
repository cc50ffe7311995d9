"""How rare a level is: bounds, rounding, and no share of too few users."""

import pytest

from achievements import tables
from achievements.engine import process_events
from achievements.rarity import MIN_USERS, forget_tallies, get_rarity, read_tallies
from achievements.selectors import read_catalogue
from achievements.tables import USERS_TALLY
from tests.factories import (
    invalidate,
    make_achievement,
    make_event,
    new_user,
    publish,
    store_history,
)

pytestmark = pytest.mark.django_db


def count(holders: int, users: int) -> float | None:
    tables.add_tallies({USERS_TALLY: users, (1, 1): holders}, slot=1)
    forget_tallies()
    return get_rarity(1, 1)


@pytest.mark.parametrize(
    ("holders", "users", "expected"),
    [
        (5, MIN_USERS - 1, None),
        (0, 0, None),
        (0, MIN_USERS, 0.0),
        (MIN_USERS, MIN_USERS, 100.0),
        (30, MIN_USERS, 100.0),  # never above
        (-3, MIN_USERS, 0.0),  # never below
        (432, 1_000, 43.2),
        (1, 3_000_000, 0.0),
        (43_210, 1_000_000, 4.32),
        (4_321, 1_000_000, 0.432),
        (432, 1_000_000, 0.0432),
        (1, 30_000, 0.0033),
    ],
)
def test_shares(holders: int, users: int, expected: float | None) -> None:
    assert count(holders, users) == expected


def test_it_is_kept_for_half_a_minute(monkeypatch) -> None:
    assert count(10, 20) == 50.0
    tables.add_tallies({(1, 1): 10}, slot=2)
    assert get_rarity(1, 1) == 50.0
    monkeypatch.setattr("achievements.rarity.FRESH_SECONDS", -1.0)
    assert get_rarity(1, 1) == 100.0


def test_it_follows_unlocks_and_revocations() -> None:
    fast = make_achievement("fast", {"best": "wpm"}, 60, 90)
    publish()
    users = [new_user() for _ in range(20)]
    events = [make_event(user, 1, wpm=95.0 if n < 5 else 65.0) for n, user in enumerate(users)]
    store_history(events)
    process_events(events)
    forget_tallies()
    assert (get_rarity(fast.pk, 1), get_rarity(fast.pk, 2)) == (100.0, 25.0)
    process_events([invalidate(users[0], 1)])
    forget_tallies()
    assert (get_rarity(fast.pk, 1), get_rarity(fast.pk, 2)) == (95.0, 20.0)
    [entry] = read_catalogue()["achievements"]
    assert [level["rarity"] for level in entry["levels"]] == [95.0, 20.0]
    assert read_tallies()[USERS_TALLY] == 20
