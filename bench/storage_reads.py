"""Profile reads, cold and warm: every contender on the same users, in short turns."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.storage_arrivals import PROFILE_UNLOCKS, Arrivals
from bench.storage_layouts import Layout
from bench.storage_site import Database, read_status, use
from bench.timing import Rates, say

TURN: int = 20  # users
WARM_PASSES: int = 3


@dataclass
class Reads:
    """Median milliseconds of each round, and the pages that a cold read brings from the disk."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)

    @property
    def cold_ms(self) -> Rates:
        return Rates(tuple(self.cold))

    @property
    def warm_ms(self) -> Rates:
        return Rates(tuple(self.warm))


def measure_profiles(
    database: Database,
    layouts: Mapping[str, Layout],
    arrivals: Arrivals,
    *,
    pool: str,
    rounds: int,
    reads: int,
    share: int = 1,
) -> dict[str, Reads]:
    """Each round starts the server anew: nothing is in its memory, nor in the system's."""
    found = {name: Reads() for name in layouts}
    for number in range(1, rounds + 1):
        say(f"profiles: round {number} of {rounds}")
        database.restart(pool=pool)
        drawn = arrivals.draw_profiles(TURN + reads, share=share)
        # The first users open the tables and bring the upper pages of their trees.
        _read_in_turns(layouts, drawn[:TURN])
        cold = _read_in_turns(layouts, drawn[TURN:])
        warm = _read_in_turns(layouts, drawn[TURN:] * WARM_PASSES)
        for name, reads_of in found.items():
            reads_of.cold.append(statistics.median(cold[name].milliseconds))
            reads_of.pages.append(cold[name].pages / reads)
            reads_of.warm.append(statistics.median(warm[name].milliseconds))
    return found


@dataclass
class _Turns:
    milliseconds: list[float] = field(default_factory=list)
    pages: int = 0


def _read_in_turns(layouts: Mapping[str, Layout], users: Sequence[int]) -> dict[str, _Turns]:
    found = {name: _Turns() for name in layouts}
    for start in range(0, len(users), TURN):
        for name, layout in layouts.items():
            turns = found[name]
            with use(layout.database):
                before = _count_pages_read()
                for user_id in users[start : start + TURN]:
                    started = time.perf_counter()
                    rows = layout.read_profile(user_id)
                    turns.milliseconds.append(1000 * (time.perf_counter() - started))
                    assert len(rows) >= PROFILE_UNLOCKS
                turns.pages += _count_pages_read() - before
    return found


def _count_pages_read() -> int:
    return read_status("Innodb_pages_read")
