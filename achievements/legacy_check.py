"""Comparing a former site's rows with what is held here (services floor), slice by slice.

Both sums are of imported levels: as the rows say that they must stand, and as they are stored.
What was earned here has its own time and is in neither, but must be there. A slice that differs
is read once more, because a batch may have committed between two of its reads.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from achievements import tables
from achievements.claims import IMPORTED, SURPLUS, Finding, HeldLevel, Level, merge_claims
from achievements.legacy_slices import LegacySlices, Own, Slice, UserClaims, read_held
from achievements.progress import Progress, decode_progress

MISSING: Final = "missing"
OTHER_TIME: Final = "other_time"
_MASK: Final = 2**64 - 1


@dataclass
class Sum:
    """A count of levels, and a checksum that does not depend on their order."""

    count: int = 0
    checksum: int = 0

    def add(self, user_id: int, level: Level, at: datetime) -> None:
        text = f"{user_id} {level[0]} {level[1]} {at.timestamp():.6f}"
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        self.count += 1
        self.checksum = (self.checksum + int.from_bytes(digest)) & _MASK

    def join(self, other: "Sum") -> None:
        self.count += other.count
        self.checksum = (self.checksum + other.checksum) & _MASK

    def __str__(self) -> str:
        return f"{self.count} levels, checksum {self.checksum:016x}"


class Difference(NamedTuple):
    reason: str  # MISSING, OTHER_TIME or SURPLUS
    user_id: int
    level: Level
    expected_at: datetime | None = None
    found_at: datetime | None = None


@dataclass
class CheckedSlice:
    first_id: int
    last_id: int
    row_count: int
    findings: list[Finding]  # of rows that cannot be imported
    expected: Sum = field(default_factory=Sum)
    found: Sum = field(default_factory=Sum)
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        return self.expected == self.found and not self.differences


def check_slices(slices: LegacySlices) -> Iterator[CheckedSlice]:
    """Compare every slice.

    Where the slices are exact, every imported level of their users is compared. Else an earlier
    time is taken for that of another row, and a level that no row gives is not looked for.
    """
    for rows in slices:
        checked = _check(*slices.sift(rows))
        yield checked if checked.is_equal else _check(*slices.sift(rows))


def _check(done: Slice, parts: list[UserClaims]) -> CheckedSlice:
    checked = CheckedSlice(*done)
    for by_user in parts:
        held = read_held(by_user)
        states = tables.read_states(list(by_user))
        for user_id, own in by_user.items():
            state = states.get(user_id)
            progress = decode_progress(state) if state else Progress()
            _check_user(checked, user_id, own, held.get(user_id, {}), progress)
    return checked


def _check_user(
    checked: CheckedSlice,
    user_id: int,
    own: Own,
    held: Mapping[Level, HeldLevel],
    progress: Progress,
) -> None:
    """A level is there when its row is, and when the packed row that the engine reads holds it."""
    merge = merge_claims(own.claims, held, others=own.others)
    unlocked = progress.unlocked

    def differ(reason: str, level: Level, at: datetime | None, found: datetime | None) -> None:
        checked.differences.append(Difference(reason, user_id, level, at, found))

    for level, at in merge.standing.items():
        before = held.get(level)
        found_at = None if before is None or before.is_revoked else before.unlocked_at
        if unlocked.get(level[0], 0) < level[1]:
            found_at = None
        if found_at is None:
            checked.expected.add(user_id, level, at)
            differ(MISSING, level, at, None)
        elif before and before.rulebook_version != IMPORTED:
            # Ours. Who has had a test taken back may have earned the level again, much later.
            if level in merge.writes and not progress.invalidated.top:
                checked.expected.add(user_id, level, at)
                differ(OTHER_TIME, level, at, found_at)
        else:
            checked.expected.add(user_id, level, at)
            checked.found.add(user_id, level, found_at)
            if found_at != at:
                differ(OTHER_TIME, level, at, found_at)
    for level in merge.surplus:
        checked.found.add(user_id, level, held[level].unlocked_at)
        differ(SURPLUS, level, None, held[level].unlocked_at)
