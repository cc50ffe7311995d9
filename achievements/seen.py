"""Which tests a user's row has already counted (pure floor): the memory behind exactly-once.

A `Seen` is an exact set of 64-bit ids in two parts. The newest ones are in the row itself;
older ones leave it in sorted runs for the archive (the table user_seen_tests). An id above
`top` was never seen, which is the usual case and costs one comparison. Only an id at or
below `horizon` that is not in the row needs the archive.
"""

import struct
from collections.abc import Container, Iterable
from typing import Final

import msgspec

WIDE: Final = 8  # bytes of an id as it is
NARROW: Final = 4  # bytes of an id's distance above the horizon
MAX_DISTANCE: Final = 2 ** (8 * NARROW) - 1
RING_IDS: Final = 16  # a row that holds this many hands the oldest to the archive
KEPT_IDS: Final = 2  # and keeps these, so that a redelivery close by needs no archive
MAX_RUN_IDS: Final = 512  # a run of the archive holds no more


class Seen(msgspec.Struct, array_like=True):
    """The part of the set that is in the row.

    A row is written whole with every event. So its ids are distances above the horizon while
    all of them are near enough to it, and then in a ring that never changes its length:
    InnoDB overwrites a row that keeps its size, and moves one that grows.
    """

    recent: bytes = b""  # little-endian, unsigned
    top: int = 0
    horizon: int = 0
    count: int = 0  # how many distances are at the start of `recent`; 0: it holds whole ids

    def list_ids(self) -> tuple[int, ...]:
        """Return the ids that are in the row."""
        if not self.count:
            return unpack_ids(self.recent)
        horizon = self.horizon
        distances = struct.unpack_from(f"<{self.count}I", self.recent)
        return tuple([horizon + distance for distance in distances])

    def holds(self, test_id: int) -> bool:
        """Whether the row itself says that the id was seen."""
        return test_id <= self.top and test_id in self.list_ids()

    def is_doubtful(self, test_id: int) -> bool:
        """Whether only the archive can tell."""
        return test_id <= self.horizon and test_id not in self.list_ids()

    def add(self, test_id: int) -> list[int]:
        """Add an id that was not seen. Returns the ids that now belong in the archive, sorted."""
        count = self.count
        if 0 < count < RING_IDS - 1 and 0 < test_id - self.horizon <= MAX_DISTANCE:
            recent, start = self.recent, count * NARROW
            distance = (test_id - self.horizon).to_bytes(NARROW, "little")
            self.recent = recent[:start] + distance + recent[start + NARROW :]
            self.count = count + 1
            if test_id > self.top:
                self.top = test_id
            return []
        return self._keep(sorted((*self.list_ids(), test_id)))

    def learn(self, test_ids: Iterable[int], archive: Container[int]) -> list[int]:
        """Add many ids, seen or not. Returns the ids that now belong in the archive, sorted."""
        held = set(self.list_ids())
        fresh = {i for i in test_ids if i not in held and i not in archive}
        return self._keep(sorted(held | fresh)) if fresh else []

    def _keep(self, ids: list[int]) -> list[int]:
        """Hold these ids, sorted, or the newest of them when they are too many."""
        leaving = ids[:-KEPT_IDS] if len(ids) >= RING_IDS else []
        kept = ids[len(leaving) :]
        if leaving:
            self.horizon = max(self.horizon, leaving[-1])
        elif not self.horizon:
            # Nothing was seen below the first id; what comes there later asks an empty archive.
            self.horizon = kept[0] - 1
        self.top = max(self.top, kept[-1])
        if kept[0] > self.horizon and kept[-1] - self.horizon <= MAX_DISTANCE:
            self.count = len(kept)
            distances = struct.pack(f"<{len(kept)}I", *[i - self.horizon for i in kept])
            self.recent = distances.ljust((RING_IDS - 1) * NARROW, b"\0")
        else:
            self.count = 0
            self.recent = pack_ids(kept)
        return leaving


def pack_ids(ids: list[int]) -> bytes:
    return struct.pack(f"<{len(ids)}Q", *ids)


def unpack_ids(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // WIDE}Q", packed)
