"""Comparing a former site's rows with what is held here (services floor), slice by slice.

Each slice is counted and summed twice: as its rows must stand after the rules of
claims.merge_claims, and as they stand. A slice that differs is read once more, because a
batch may have committed between two of its reads.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from achievements import tables
from achievements.claims import Finding, HeldLevel, LegacyRow, Level, Rules, merge_claims, sift_rows
from achievements.legacy import LegacyDatabase
from achievements.legacy_import import SLICE_ROWS, UserClaims, group_by_user, read_held
from achievements.progress import decode_progress

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


@dataclass
class CheckedSlice:
    first_id: int
    last_id: int
    row_count: int
    findings: list[Finding]  # of rows that cannot be imported
    expected: Sum = field(default_factory=Sum)
    found: Sum = field(default_factory=Sum)
    missing: list[tuple[int, Level]] = field(default_factory=list)  # user, level

    @property
    def is_equal(self) -> bool:
        return self.expected == self.found


def check_slices(
    source: LegacyDatabase, rules: Rules, *, after: int, upto: int, slice_rows: int = SLICE_ROWS
) -> Iterator[CheckedSlice]:
    """Compare every slice of the rows above `after` and up to `upto`."""
    while rows := source.read_slice(after=after, upto=upto, limit=slice_rows):
        after = rows[-1].id
        checked = _check_rows(rows, rules)
        yield checked if checked.is_equal else _check_rows(rows, rules)


def _check_rows(rows: list[LegacyRow], rules: Rules) -> CheckedSlice:
    claims, findings = sift_rows(rows, rules, now=datetime.now(UTC))
    checked = CheckedSlice(rows[0].id, rows[-1].id, len(rows), findings)
    by_user = group_by_user(claims)
    held = read_held(by_user)
    states = tables.read_states(list(by_user))
    for user_id in by_user:
        state = states.get(user_id)
        unlocked = decode_progress(state).unlocked if state else {}
        _check_user(checked, user_id, by_user, held.get(user_id, {}), unlocked)
    return checked


def _check_user(
    checked: CheckedSlice,
    user_id: int,
    by_user: UserClaims,
    held: Mapping[Level, HeldLevel],
    unlocked: Mapping[int, int],
) -> None:
    """A level is there when its row is, and when the packed row that the engine reads holds it."""
    merge = merge_claims(by_user[user_id], held)
    for level, at in merge.standing.items():
        checked.expected.add(user_id, level, at)
        is_packed = unlocked.get(level[0], 0) >= level[1]
        if level not in merge.writes and is_packed:
            checked.found.add(user_id, level, at)
            continue
        checked.missing.append((user_id, level))
        before = held.get(level)
        if before and is_packed and not before.is_revoked:
            checked.found.add(user_id, level, before.unlocked_at)
