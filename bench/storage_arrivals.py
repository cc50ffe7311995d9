"""Unlocks in the order in which they come: by time, over all users at random.

How full pages are depends on that order. Rows sorted by user would fill every page; random
ones leave the pages as full as years of service do.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple

from bench.storage_site import execute
from bench.timing import say

ARRIVALS: Final = "arrivals"
PROFILE_UNLOCKS: Final = 50  # the customer's mean; the users whose profiles are read hold as many
FEW_UNLOCKS: Final = 5  # what the others hold at the most
PROFILE_STRIDE: Final = 17  # one user in so many; odd, so that every partition has its share
LEVELS: Final = 4
KINDS: Final = 60 * LEVELS  # achievements times levels; a number without a common factor with 37
FIRST_AT: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)
LAST_AT: Final = datetime(2026, 11, 1, tzinfo=UTC)
FIRST_TEST: Final = 400_000_000_000_000  # as big as ids of test results are


class NewUnlock(NamedTuple):
    user_id: int
    kind: int  # which achievement and level: 0 .. KINDS - 1
    at: datetime
    test_id: int


class Arrivals:
    """The table `arrivals`, numbered by n from 1, and the unlocks that come after it."""

    def __init__(self, *, users: int) -> None:
        self.users = users
        self._random = Random(1)
        self._lap = PROFILE_UNLOCKS
        self._later = LAST_AT
        say(f"unlocks of {users:,} users are put in order")
        execute(
            f"CREATE TABLE {ARRIVALS} (n INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,"
            " user_id INT UNSIGNED NOT NULL, kind SMALLINT UNSIGNED NOT NULL) ENGINE=MyISAM"
        )
        kind = f"(u.seq * 7 + k.seq * 37) % {KINDS}"
        rows = (
            f"SELECT 1 + u.seq AS user_id, {kind} AS kind FROM seq_0_to_{users - 1} u"
            f" JOIN seq_0_to_{PROFILE_UNLOCKS - 1} k"
            f" WHERE k.seq < IF(u.seq % {PROFILE_STRIDE} = 0, {PROFILE_UNLOCKS},"
            f" 1 + u.seq % {FEW_UNLOCKS})"
        )
        execute(f"INSERT INTO {ARRIVALS} (user_id, kind) SELECT * FROM ({rows}) x ORDER BY RAND(7)")
        self.count = self._count()

    def _count(self) -> int:
        from achievements.tables import fetch_all

        return int(fetch_all(f"SELECT COUNT(*) FROM {ARRIVALS}")[0][0])

    def draw_profiles(self, count: int, *, below: int | None = None) -> list[int]:
        """Return distinct users with PROFILE_UNLOCKS, of the first `below` of them."""
        numbers = self._random.sample(range(below or self.users // PROFILE_STRIDE), count)
        return [1 + number * PROFILE_STRIDE for number in numbers]

    def choose_profiles(self, count: int) -> str:
        """Return the condition for the arrivals `a` of the first `count` users with a profile."""
        last = count * PROFILE_STRIDE
        return f"(a.user_id - 1) % {PROFILE_STRIDE} = 0 AND a.user_id <= {last}"

    def take_new(
        self, *, batches: int, size: int, profiles: int | None = None
    ) -> Iterator[list[NewUnlock]]:
        """Return unlocks that nobody has: of users drawn evenly, in batches sorted by user.

        With `profiles`, of the first so many users with a profile.
        """
        kinds, self._lap = self._lap, self._lap + 1
        assert kinds < KINDS, "the unlocks are used up"
        among = (
            range(0, profiles * PROFILE_STRIDE, PROFILE_STRIDE) if profiles else range(self.users)
        )
        drawn = self._random.sample(among, batches * size)
        for start in range(0, len(drawn), size):
            batch: list[NewUnlock] = []
            for user in sorted(drawn[start : start + size]):
                self._later += timedelta(milliseconds=1)
                kind = (user * 7 + kinds * 37) % KINDS
                test_id = FIRST_TEST + (self.count + start + len(batch)) * 977
                batch.append(NewUnlock(user + 1, kind, self._later, test_id))
            yield batch
