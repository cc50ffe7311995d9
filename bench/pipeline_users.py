"""A million users with a past, and the events that they send next.

There are a few hundred distinct pasts, each shared by many users, and each with a chain of
next tests: where a user is in the chain says what the next event is and what it leads to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from django.db import connection

from achievements.advance import advance
from achievements.events import decode_event, encode_event
from achievements.progress import Progress, Unlock, decode_progress, encode_progress, start_progress
from achievements.rulebook import Rulebook
from achievements.seen import Seen
from bench.timing import say
from bench.workload import NOW, Typist

PASTS: Final = 400
CHAIN_EVENTS: Final = 28
FEWEST_TESTS: Final = 45  # with these, about one event in ten unlocks something
MOST_TESTS: Final = 140


class Link(NamedTuple):
    """One event of a chain: the body after the user's id, and what it leads to."""

    tail: bytes
    test_id: int
    unlocks: list[Unlock]
    notified: int  # notifications so far, these unlocks among them
    row: bytes  # afterwards


class Past(NamedTuple):
    row: bytes
    chain: list[Link]


class Taken(NamedTuple):
    """One event of one user."""

    user_id: int
    position: int  # in the user's chain
    link: Link

    @property
    def body(self) -> bytes:
        return b'{"userId":%d%b' % (self.user_id, self.link.tail)


@dataclass
class Users:
    """Users first .. first + count - 1. Every event is that of a user drawn at random."""

    pasts: list[Past]
    first: int
    count: int

    def __post_init__(self) -> None:
        self._random = Random(self.first)
        self._positions = bytearray(self.count)
        self._next = 0

    def take(self, count: int) -> Iterator[Taken]:
        draw = self._random.random
        for _ in range(count):
            yield self._take(int(draw() * self.count))

    def take_batch(self, size: int) -> list[Taken]:
        """Return one event each of so many different users."""
        return [self._take(index) for index in self._random.sample(range(self.count), size)]

    def _take(self, index: int) -> Taken:
        position = self._positions[index]
        self._positions[index] += 1
        return Taken(self.first + index, position, self.pasts[index % PASTS].chain[position])

    def grow(self, count: int) -> None:
        """Insert more users, up to `count`: those who came since, with higher ids."""
        before, self.count = self.count, count
        self._positions.extend(bytes(count - before))
        self.insert(above=before)

    def take_next(self, count: int) -> Iterator[Taken]:
        """Return the first events of users whom nobody took yet, in order."""
        for _ in range(count):
            index, self._next = self._next, self._next + 1
            self._positions[index] += 1
            yield Taken(self.first + index, 0, self.pasts[index % PASTS].chain[0])

    def insert_unlocks(self) -> None:
        """Fill user_achievements with what the users hold, for contenders who read it there."""
        held = [
            (number, achievement_id, level)
            for number, past in enumerate(self.pasts)
            for achievement_id, top in decode_progress(past.row).unlocked.items()
            for level in range(1, top + 1)
        ]
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMPORARY TABLE held (past INT, achievement_id INT, level INT, KEY (past))"
            )
            cursor.executemany("INSERT INTO held VALUES (%s, %s, %s)", held)
            cursor.execute(
                "INSERT INTO user_achievements (user_id, achievement_id, level, unlocked_at,"
                f" rulebook_version) SELECT n.seq + {self.first}, h.achievement_id, h.level,"
                f" UTC_TIMESTAMP(), 1 FROM seq_0_to_{self.count - 1} n"
                f" STRAIGHT_JOIN held h ON h.past = n.seq % {PASTS}"
            )
            cursor.execute("DROP TEMPORARY TABLE held")

    def insert(self, *, above: int = 0) -> None:
        """Fill user_progress inside the server: a past a row, joined to as many numbers.

        `above` leaves out the first users, who are there already.

        In a random order, so that pages are as full as those of users who came over years:
        rows in order, or evenly scattered, leave all pages equally full, and then the first
        that grow split all of them.
        """
        say(f"{self.count - above:,} users are inserted")
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMPORARY TABLE pasts (id INT PRIMARY KEY, state LONGBLOB NOT NULL)"
            )
            cursor.executemany(
                "INSERT INTO pasts VALUES (%s, %s)",
                [(number, past.row) for number, past in enumerate(self.pasts)],
            )
            cursor.execute(
                "CREATE TEMPORARY TABLE arrivals ENGINE=MyISAM"
                f" SELECT seq AS user FROM seq_{above}_to_{self.count - 1} ORDER BY RAND(7)"
            )
            cursor.execute(
                "INSERT INTO user_progress (user_id, revision, state)"
                f" SELECT a.user + {self.first}, 1, p.state FROM arrivals a"
                f" STRAIGHT_JOIN pasts p ON p.id = a.user % {PASTS}"
            )
            cursor.execute("DROP TEMPORARY TABLE pasts, arrivals")
            cursor.execute("ANALYZE TABLE user_progress")
            cursor.fetchall()


def make_pasts(rulebook: Rulebook, *, remembers: bool = True) -> list[Past]:
    """Let typists make their histories; those who do not remember keep no ids of their tests."""
    pasts = []
    for number in range(PASTS):
        typist = Typist(1, Random(number))
        tests = FEWEST_TESTS + (MOST_TESTS - FEWEST_TESTS) * number // PASTS
        progress = start_progress(rulebook)
        # As the rows of a site without history are: what was before it came is not known.
        progress.is_partial = True
        progress.rulebook_version = rulebook.version
        for _ in range(tests):
            _finish_test(rulebook, typist, progress, remembers)
        row = encode_progress(progress)
        chain = [_finish_test(rulebook, typist, progress, remembers) for _ in range(CHAIN_EVENTS)]
        pasts.append(Past(row, chain))
    return pasts


def _finish_test(rulebook: Rulebook, typist: Typist, progress: Progress, remembers: bool) -> Link:
    body = encode_event(typist.finish_test())
    event = decode_event(body, now=NOW)
    step = advance(rulebook, progress, [event])
    assert step is not None
    progress.notified += len(step.unlocks)
    if not remembers:
        progress.completed = Seen()
    tail = body[body.index(b",") :]
    row = encode_progress(progress)
    return Link(tail, event.test_result_id, step.unlocks, progress.notified, row)


def describe_pasts(pasts: list[Past]) -> dict[str, float]:
    links = [link for past in pasts for link in past.chain[:3]]
    return {
        "row_bytes": sum(len(link.row) for link in links) / len(links),
        "event_bytes": sum(len(link.tail) for link in links) / len(links) + 16,
        "events_that_unlock": sum(bool(link.unlocks) for link in links) / len(links),
    }
