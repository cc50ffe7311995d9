"""Unlock inserts, a transaction a batch: the same new unlocks into every contender, in turn."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from django.db import transaction

from bench.storage_arrivals import Arrivals, NewUnlock
from bench.storage_layouts import Layout
from bench.storage_site import read_status, use
from bench.timing import Rates, say

BATCH: Final = 100  # unlocks; the customer's batches are of 100 events


@dataclass
class Inserts:
    """Unlocks a second of each round, and pages moved from and to the disk an unlock."""

    rounds: list[float] = field(default_factory=list)
    pages_read: list[float] = field(default_factory=list)
    pages_written: list[float] = field(default_factory=list)

    @property
    def rates(self) -> Rates:
        return Rates(tuple(self.rounds))

    def describe(self) -> dict[str, float]:
        return {
            "pages_read": sum(self.pages_read) / len(self.pages_read),
            "pages_written": sum(self.pages_written) / len(self.pages_written),
        }


def measure_inserts(
    layouts: Mapping[str, Layout],
    arrivals: Arrivals,
    *,
    rounds: int,
    batches: int,
    share: int = 1,
) -> dict[str, Inserts]:
    """Each turn begins with as many that are not counted: memory is full of the others' pages."""
    found = {name: Inserts() for name in layouts}
    for number in range(1, rounds + 1):
        say(f"inserts: round {number} of {rounds}")
        uncounted, unlocks = (
            list(arrivals.take_new(batches=batches, size=BATCH, share=share)) for _ in range(2)
        )
        for name, layout in layouts.items():
            with use(layout.database):
                _insert(layout, uncounted)
                before = _count_pages()
                started = time.perf_counter()
                _insert(layout, unlocks)
                seconds = time.perf_counter() - started
                read, written = (b - a for a, b in zip(before, _count_pages(), strict=True))
            rows = batches * BATCH
            found[name].rounds.append(rows / seconds)
            found[name].pages_read.append(read / rows)
            found[name].pages_written.append(written / rows)
    return found


def _insert(layout: Layout, batches: Iterable[list[NewUnlock]]) -> None:
    for batch in batches:
        with transaction.atomic():
            layout.insert(batch)


def _count_pages() -> tuple[int, int]:
    return read_status("Innodb_pages_read"), read_status("Innodb_pages_written")
