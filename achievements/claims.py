"""What a former site says of its users (pure floor): its rows become claims, claims become levels.

A claim is one level of one achievement, held since a time. The rules by which it meets what
is held here already are those of `merge_claims`, and the check of an import uses them too.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, NamedTuple

IMPORTED: Final = 0  # the rulebook version of what no rulebook of ours found earned
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
MAX_AHEAD: Final = timedelta(minutes=5)
MAX_ID: Final = 2**63 - 1
# Two sites that check the same test find it at about the same time. What the former one gave
# longer ago than this stands by itself, whatever becomes of a test here.
SAME_DEED: Final = timedelta(days=1)

NEW: Final = "new"
KNOWN: Final = "known"
CORRECTED: Final = "corrected"
SURPLUS: Final = "surplus"
REMOVED: Final = "removed"
IGNORED: Final = "ignored"
DUPLICATE: Final = "duplicate"
HELD_HERE: Final = "held_here"
REVOKED_HERE: Final = "revoked_here"
OUTCOMES: Final = {
    NEW: "levels that nobody here knew of",
    KNOWN: "imported before",
    CORRECTED: "imported before with a time that no row has now",
    SURPLUS: "levels of an earlier import that no row gives now: --remove-surplus takes them away",
    REMOVED: "levels of an earlier import that no row gives now: taken away",
    IGNORED: "of achievements that the mapping ignores",
    DUPLICATE: "the same user and level again: the earliest time wins",
    HELD_HERE: "unlocked here as well: ours stays, unless theirs is more than a day older",
    REVOKED_HERE: "revoked here, and left so",
}
# What only a person can settle; the row is not imported.
CONFLICTS: Final = {
    "unmapped": "of achievements that the mapping does not name: map or ignore them",
    "unknown_achievement": "of achievements that are in neither table: map or ignore them",
    "bad_user": "without a positive 64-bit user id",
    "no_time": "without a time, or with one that is none: --unknown-time imports them",
    "future_time": "unlocked in the future: --unknown-time imports them",
    "early_time": "unlocked before 2000: --unknown-time imports them",
}


class LegacyRow(NamedTuple):
    """A row as the former site holds it; whatever its columns hold."""

    id: int
    user_id: Any
    achievement_id: Any
    unlocked_at: Any  # text


class Claim(NamedTuple):
    row: LegacyRow
    user_id: int
    achievement_id: int  # ours
    level: int
    at: datetime


class Finding(NamedTuple):
    """What became of a row; `detail` says which value decided."""

    row: LegacyRow
    reason: str  # of OUTCOMES or CONFLICTS
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How rows are read."""

    levels: Mapping[int, tuple[int, int]]  # their achievement id -> our id and level
    ignored: Collection[int] = frozenset()
    known: Collection[int] = frozenset()  # their achievement ids
    zone: tzinfo = UTC  # of times that do not say theirs
    unknown_time: datetime | None = None  # for rows whose own cannot be


class HeldLevel(NamedTuple):
    unlocked_at: datetime
    rulebook_version: int
    is_revoked: bool
    test_result_id: int | None = None


Level = tuple[int, int]  # our achievement id, level
Times = Mapping[Level, Collection[datetime]]  # what rows say, in whatever order they come


@dataclass
class Merge:
    """What one user's claims come to."""

    standing: dict[Level, datetime] = field(default_factory=dict)  # what must be held, since when
    writes: dict[Level, datetime] = field(default_factory=dict)  # what is not yet so
    # Imported, and claimed by no row now. Found only where all of the user's rows are known.
    surplus: list[Level] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def list_tops(self) -> dict[int, int]:
        """Return the highest level of each achievement that must be held."""
        tops: dict[int, int] = {}
        for achievement_id, level in self.standing:
            tops[achievement_id] = max(level, tops.get(achievement_id, 0))
        return tops


def sift_rows(
    rows: Iterable[LegacyRow], rules: Rules, *, now: datetime
) -> tuple[list[Claim], list[Finding]]:
    """Return what can be imported, and a finding for each row that cannot, or not as it is."""
    claims, findings = [], []
    for row in rows:
        target = _find_target(row.achievement_id, rules)
        if isinstance(target, str):
            findings.append(Finding(row, target, str(row.achievement_id)))
            continue
        if type(row.user_id) is not int or not 0 < row.user_id <= MAX_ID:
            findings.append(Finding(row, "bad_user", str(row.user_id)))
            continue
        at, problem = read_time(row.unlocked_at, rules.zone, now=now)
        if problem:
            findings.append(Finding(row, problem, str(row.unlocked_at)))
            at = rules.unknown_time
        if at is not None:
            claims.append(Claim(row, row.user_id, *target, at))
    return claims, findings


def read_time(text: Any, zone: tzinfo, *, now: datetime) -> tuple[datetime | None, str]:
    """Return the time in UTC, or None and the conflict."""
    try:
        at = datetime.fromisoformat(text)
        at = (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None, "no_time"  # null, 0000-00-00, the 30th of February
    if at < EARLIEST:
        return None, "early_time"
    if at > now + MAX_AHEAD:
        return None, "future_time"
    return at, ""


def merge_claims(
    claims: Sequence[Claim],
    held: Mapping[Level, HeldLevel],
    *,
    others: Sequence[Claim] | None = None,
) -> Merge:
    """Let one user's claims meet the levels held here, revoked ones included.

    A claim holds for the levels below as well. The earliest of several wins. A level that was
    earned here stays as it is, revoked or not, unless the claim is older by more than a day: then
    it does not rest on the test that earned it here, and becomes an imported one. What was
    imported and then revoked stays revoked, and so does what is above it.

    `others` are the claims of all the user's other rows. With them an imported time that is no
    row's is corrected, and an imported level that is no row's is surplus; `held` must then be all
    that the user holds. Without them an earlier time is taken for that of a row not seen here.
    """
    merge = Merge()
    times = None if others is None else _list_times([*claims, *others])
    winners: dict[Level, Claim] = {}
    for claim in sorted(claims, key=lambda c: (c.at, c.row.id)):
        for level in range(1, claim.level + 1):
            winners.setdefault((claim.achievement_id, level), claim)
        winner = winners[claim.achievement_id, claim.level]
        if winner is not claim:
            merge.findings.append(
                Finding(claim.row, DUPLICATE, f"row {winner.row.id} has {winner.at}")
            )
    refused: dict[int, int] = {}  # achievement -> the lowest level that stays revoked
    for key in sorted(winners):
        claim, before = winners[key], held.get(key)
        achievement_id, level = key
        said = None if times is None else times[key]
        at = _find_time(claim.at, before, said)
        outcome, detail = _judge(claim.at, before, at, said)
        if outcome == REVOKED_HERE:
            refused.setdefault(achievement_id, level)
        if achievement_id in refused:
            outcome = REVOKED_HERE
        else:
            merge.standing[key] = at
            if _is_to_write(at, before):
                merge.writes[key] = at
        if level == claim.level:
            merge.findings.append(Finding(claim.row, outcome, detail))
    if times is not None:
        merge.surplus = _find_surplus(held, times)
    return merge


def _find_target(achievement_id: Any, rules: Rules) -> tuple[int, int] | str:
    if target := rules.levels.get(achievement_id):
        return target
    if achievement_id in rules.ignored:
        return IGNORED
    return "unmapped" if achievement_id in rules.known else "unknown_achievement"


def _list_times(claims: Iterable[Claim]) -> Times:
    times: dict[Level, set[datetime]] = {}
    for claim in claims:
        for level in range(1, claim.level + 1):
            times.setdefault((claim.achievement_id, level), set()).add(claim.at)
    return times


def _find_time(
    at: datetime, before: HeldLevel | None, times: Collection[datetime] | None
) -> datetime:
    """Return since when a claimed level is held: an earlier time that is another row's stays."""
    if before is None or before.rulebook_version != IMPORTED or before.unlocked_at >= at:
        return at
    return before.unlocked_at if times is None or before.unlocked_at in times else at


def _judge(
    claimed_at: datetime,
    before: HeldLevel | None,
    at: datetime,
    times: Collection[datetime] | None,
) -> tuple[str, str]:
    """Name what becomes of a claim at its own level."""
    if before is None:
        return NEW, ""
    detail = f"{before.unlocked_at} here"
    if before.is_revoked and not _is_to_write(at, before):
        return REVOKED_HERE, detail
    if before.rulebook_version != IMPORTED:
        return HELD_HERE, detail
    if before.unlocked_at == claimed_at:
        return KNOWN, ""
    is_known = times is None or before.unlocked_at in times
    return (DUPLICATE if is_known else CORRECTED), detail


def _is_to_write(at: datetime, before: HeldLevel | None) -> bool:
    if before is None:
        return True
    if before.rulebook_version == IMPORTED:
        return not before.is_revoked and at != before.unlocked_at
    return at < before.unlocked_at - SAME_DEED


def _find_surplus(held: Mapping[Level, HeldLevel], times: Times) -> list[Level]:
    """Imported levels that no row gives; those below a level that stays are held up by it."""
    tops: dict[int, int] = {}
    doubtful = []
    for key, level in sorted(held.items()):
        if level.is_revoked:
            continue
        if level.rulebook_version == IMPORTED and key not in times:
            doubtful.append(key)
        else:
            tops[key[0]] = key[1]
    return [key for key in doubtful if key[1] > tops.get(key[0], 0)]
