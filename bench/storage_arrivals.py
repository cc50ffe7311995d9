"""Unlocks in the order in which they come: by time, over all users at random.

How full pages are depends on that order. Rows sorted by user would fill every page; random
ones leave the pages as full as years of service do. Users with low ids came first and hold more:
were all alike, all pages would be full at the same moment, and half full at the next.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple

from bench.storage_site import execute
from bench.timing import say

ARRIVALS: Final = "arrivals"
PROFILE_UNLOCKS: Final = 50  # the customer's mean; the users whose profiles are read hold as many
PROFILE_STRIDE: Final = 17  # one user in so many; odd, so that every partition has its share
MORE_UNLOCKS: Final = 6  # that the oldest of the other users hold, and the newest do not
BLOCK: Final = 100 * PROFILE_STRIDE  # users; a share of the site is one block in so many
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
        others = f"1 + {MORE_UNLOCKS} * (1 - u.seq / {users}) + u.seq % 8 / 8"
        rows = (
            f"SELECT 1 + u.seq AS user_id, {kind} AS kind FROM seq_0_to_{users - 1} u"
            f" JOIN seq_0_to_{PROFILE_UNLOCKS - 1} k"
            f" WHERE k.seq < IF(u.seq % {PROFILE_STRIDE} = 0, {PROFILE_UNLOCKS}, FLOOR({others}))"
        )
        execute(f"INSERT INTO {ARRIVALS} (user_id, kind) SELECT * FROM ({rows}) x ORDER BY RAND(7)")
        self.count = self._count()

    def _count(self) -> int:
        from achievements.statements import fetch_all

        return int(fetch_all(f"SELECT COUNT(*) FROM {ARRIVALS}")[0][0])

    def choose(self, share: int) -> str:
        """Return the condition for the arrivals `a` of one block of users in `share`."""
        return f"(a.user_id - 1) DIV {BLOCK} % {share} = 0"

    def draw_profiles(self, count: int, *, share: int = 1) -> list[int]:
        """Return distinct users with PROFILE_UNLOCKS, of one block in `share`."""
        profiles = self._draw(count, BLOCK // PROFILE_STRIDE, share)
        return [1 + number * PROFILE_STRIDE for number in profiles]

    def take_new(self, *, batches: int, size: int, share: int = 1) -> Iterator[list[NewUnlock]]:
        """Return unlocks that nobody has: of users drawn evenly, in batches sorted by user."""
        kinds, self._lap = self._lap, self._lap + 1
        assert kinds < KINDS, "the unlocks are used up"
        drawn = self._draw(batches * size, BLOCK, share)
        for start in range(0, len(drawn), size):
            batch: list[NewUnlock] = []
            for user in sorted(drawn[start : start + size]):
                self._later += timedelta(milliseconds=1)
                kind = (user * 7 + kinds * 37) % KINDS
                test_id = FIRST_TEST + (self.count + start + len(batch)) * 977
                batch.append(NewUnlock(user + 1, kind, self._later, test_id))
            yield batch

    def _draw(self, count: int, block: int, share: int) -> list[int]:
        """Return distinct numbers, `block` of which are in a block, of one block in `share`."""
        blocks = self.users // BLOCK // share
        drawn = self._random.sample(range(blocks * block), count)
        return [number + number // block * block * (share - 1) for number in drawn]
