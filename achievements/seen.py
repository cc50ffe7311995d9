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

WIDTH: Final = 8
RING_IDS: Final = 16  # a row that holds this many hands the oldest to the archive
KEPT_IDS: Final = 4  # and keeps these, so that a redelivery close by needs no archive
MAX_RUN_IDS: Final = 512  # a run of the archive holds no more


class Seen(msgspec.Struct, array_like=True):
    """The part of the set that is in the row."""

    recent: bytes = b""  # little-endian unsigned 64-bit ids
    top: int = 0
    horizon: int = 0

    def holds(self, test_id: int) -> bool:
        """Whether the row itself says that the id was seen."""
        return test_id <= self.top and test_id in unpack_ids(self.recent)

    def is_doubtful(self, test_id: int) -> bool:
        """Whether only the archive can tell."""
        return test_id <= self.horizon and test_id not in unpack_ids(self.recent)

    def add(self, test_id: int) -> list[int]:
        """Add an id that was not seen. Returns the ids that now belong in the archive, sorted."""
        recent = self.recent + test_id.to_bytes(WIDTH, "little")
        if test_id > self.top:
            self.top = test_id
        self.recent = recent
        if len(recent) < RING_IDS * WIDTH:
            return []
        ids = sorted(unpack_ids(recent))
        leaving, kept = ids[:-KEPT_IDS], ids[-KEPT_IDS:]
        self.recent = pack_ids(kept)
        self.horizon = max(self.horizon, leaving[-1])
        return leaving

    def learn(self, test_ids: Iterable[int], archive: Container[int]) -> list[int]:
        """Add many ids, seen or not. Returns the ids that now belong in the archive, sorted."""
        held = set(unpack_ids(self.recent))
        fresh = {i for i in test_ids if i not in held and i not in archive}
        ids = sorted(held | fresh)
        if not ids:
            return []
        self.top = max(self.top, ids[-1])
        leaving = ids[:-KEPT_IDS] if len(ids) >= RING_IDS else []
        self.recent = pack_ids(ids[len(leaving) :])
        if leaving:
            self.horizon = max(self.horizon, leaving[-1])
        return leaving


def pack_ids(ids: list[int]) -> bytes:
    return struct.pack(f"<{len(ids)}Q", *ids)


def unpack_ids(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // WIDTH}Q", packed)
