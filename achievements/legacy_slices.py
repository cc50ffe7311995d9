"""Reading a former site's rows for an import or its check (services floor): slices, and users.

A slice is of rows by their primary key. Where all rows of a user have to be known, to correct or
to compare what an import gave, the user is taken in the slice that holds the first of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from achievements import unlocks
from achievements.claims import (
    MAX_ID,
    Claim,
    Finding,
    HeldLevel,
    LegacyRow,
    Level,
    Rules,
    sift_rows,
)
from achievements.legacy import LegacyDatabase

SLICE_ROWS: Final = 1_000


class Own(NamedTuple):
    """What the rows say of one user."""

    claims: list[Claim]  # of the rows that this run covers
    others: list[Claim] | None  # of all the others; None: not looked for


UserClaims = Mapping[int, Own]


class Slice(NamedTuple):
    """What a slice held and what became of its rows."""

    first_id: int
    last_id: int
    row_count: int
    findings: list[Finding]


@dataclass(frozen=True, kw_only=True)
class LegacySlices:
    """The rows above `after` and up to `upto`."""

    source: LegacyDatabase
    rules: Rules
    after: int
    upto: int
    slice_rows: int = SLICE_ROWS
    is_exact: bool = False  # whether all rows of a user are looked for

    def __iter__(self) -> Iterator[list[LegacyRow]]:
        after = self.after
        while rows := self.source.read_slice(after=after, upto=self.upto, limit=self.slice_rows):
            after = rows[-1].id
            yield rows

    def sift(self, rows: list[LegacyRow]) -> tuple[Slice, list[UserClaims]]:
        """Return the slice, with findings of what cannot be imported, and its users' claims.

        The claims come in one part or more, of about a slice's size each.
        """
        claims, findings = sift_rows(rows, self.rules, now=datetime.now(UTC))
        found = Slice(rows[0].id, rows[-1].id, len(rows), findings)
        if self.is_exact:
            return found, list(self._read_users(rows))
        by_user = _group_by_user(claims)
        return found, [{user_id: Own(own, None) for user_id, own in by_user.items()}]

    def _read_users(self, rows: list[LegacyRow]) -> Iterator[UserClaims]:
        named = {u for u in (row.user_id for row in rows) if type(u) is int and 0 < u <= MAX_ID}
        first_ids = self.source.read_first_ids(sorted(named), after=self.after)
        user_ids = sorted(user for user, first in first_ids.items() if first >= rows[0].id)
        claims, _ = sift_rows(self.source.read_users(user_ids), self.rules, now=datetime.now(UTC))
        by_user = _group_by_user(claims)
        part: dict[int, Own] = {}
        size = 0
        for user_id in user_ids:
            every = by_user.get(user_id, [])
            if part and size + len(every) > self.slice_rows:
                yield part
                part, size = {}, 0
            due: list[Claim] = []
            others: list[Claim] = []
            for claim in every:
                (due if self.after < claim.row.id <= self.upto else others).append(claim)
            part[user_id] = Own(due, others)
            size += len(every)
        if part:
            yield part


def read_held(by_user: UserClaims) -> dict[int, dict[Level, HeldLevel]]:
    """Return what the users hold: all of it where all of their rows are known, else what they
    claim.
    """
    pairs = {
        (user_id, claim.achievement_id) for user_id, own in by_user.items() for claim in own.claims
    }
    if any(own.others is not None for own in by_user.values()):
        return unlocks.read_all_levels(sorted(by_user))
    return unlocks.read_levels(pairs)


def _group_by_user(claims: Iterable[Claim]) -> dict[int, list[Claim]]:
    by_user: dict[int, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_user[claim.user_id].append(claim)
    return by_user
