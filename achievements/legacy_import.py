"""Taking over a former site's unlocks (services floor), with users online.

Rows are taken in slices by their own primary key. A slice is one transaction through the
engine's locks and writes, and moves the job's cursor: it can be killed and repeated, and a
later run goes on with what the former site has added. Nobody is notified.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from achievements import unlocks
from achievements.advance import Step
from achievements.claims import (
    IMPORTED,
    Claim,
    Finding,
    HeldLevel,
    Level,
    Merge,
    Rules,
    merge_claims,
    sift_rows,
)
from achievements.effects import run_effects
from achievements.engine import lock_users, read_row, revise_users, run_batch
from achievements.errors import AchievementsError
from achievements.events import Event
from achievements.legacy import LegacyDatabase
from achievements.models import Job
from achievements.progress import judge_rules
from achievements.rule import Rule
from achievements.rulebook import Rulebook
from achievements.store import BatchResult, StepWriter
from achievements.unlocks import UnlockRow

SLICE_ROWS: Final = 1_000
# Ids are given before their rows are committed: a run starts this many rows before the last
# one's end, for those that came in behind it.
OVERLAP_ROWS: Final = 10_000

UserClaims = Mapping[int, Sequence[Claim]]


class AnotherImport(AchievementsError):
    """Another process moves the same cursor."""


class Slice(NamedTuple):
    """What a slice held and what became of its rows."""

    first_id: int
    last_id: int
    row_count: int
    findings: list[Finding]


class Cursor(NamedTuple):
    """How far a part of the source is imported: a row of Job by this name.

    Another source, other rules or another first row begin from the start.
    """

    source_name: str
    terms_name: str
    first_id: int

    @property
    def job_name(self) -> str:
        # Fits into Job.name: 31, 25 and at most 20 characters.
        part = f" {self.first_id}" if self.first_id > 1 else ""
        return f"{self.source_name}{self.terms_name}{part}"


def make_cursor(source: LegacyDatabase, rules: Rules, *, first_id: int = 1) -> Cursor:
    terms = (sorted(rules.levels.items()), str(rules.zone), str(rules.unknown_time))
    return Cursor(f"import {_digest(source.label)}", f" {_digest(repr(terms))}", first_id)


def forget_other_terms(cursor: Cursor) -> bool:
    """Whether the source was imported by other rules; all its parts then begin again."""
    jobs = Job.objects.filter(name__startswith=cursor.source_name)
    same = cursor.source_name + cursor.terms_name
    return bool(jobs.exclude(name__startswith=same).delete()[0])


def find_start(source: LegacyDatabase, cursor: Cursor, *, overlap_rows: int = OVERLAP_ROWS) -> int:
    """Return the id after which a run begins: a little before the place where the last stopped."""
    job = Job.objects.filter(name=cursor.job_name, cursor__gt=0).first()
    start = cursor.first_id - 1
    return max(start, source.step_back(job.cursor, overlap_rows)) if job else start


def import_slices(
    source: LegacyDatabase,
    rules: Rules,
    *,
    job_name: str,
    after: int,
    upto: int,
    slice_rows: int = SLICE_ROWS,
) -> Iterator[Slice]:
    """Import the rows above `after` (see find_start) and up to `upto`.

    Raises AnotherImport, LegacyError, and what the engine raises; then the cursor is where the
    last whole slice ended.
    """
    job, _ = Job.objects.get_or_create(name=job_name)
    cursor = job.cursor
    for done, claims in _read_claims(source, rules, after=after, upto=upto, limit=slice_rows):
        reached = max(cursor, done.last_id)
        result, findings = _import_slice(claims, job_name, cursor, reached)
        cursor = reached
        run_effects(result)
        yield done._replace(findings=[*done.findings, *findings])


def preview_slices(
    source: LegacyDatabase, rules: Rules, *, after: int, upto: int, slice_rows: int = SLICE_ROWS
) -> Iterator[Slice]:
    """Say what an import would do. A pair of rows that two slices divide is not recognised."""
    for done, claims in _read_claims(source, rules, after=after, upto=upto, limit=slice_rows):
        by_user = group_by_user(claims)
        held = read_held(by_user)
        merges = (merge_claims(own, held.get(user, {})) for user, own in by_user.items())
        yield done._replace(
            findings=[*done.findings, *(finding for merge in merges for finding in merge.findings)]
        )


def _read_claims(
    source: LegacyDatabase, rules: Rules, *, after: int, upto: int, limit: int
) -> Iterator[tuple[Slice, list[Claim]]]:
    while rows := source.read_slice(after=after, upto=upto, limit=limit):
        claims, findings = sift_rows(rows, rules, now=datetime.now(UTC))
        after = rows[-1].id
        yield Slice(rows[0].id, after, len(rows), findings), claims


def group_by_user(claims: Sequence[Claim]) -> dict[int, list[Claim]]:
    by_user: dict[int, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_user[claim.user_id].append(claim)
    return by_user


def read_held(by_user: UserClaims) -> dict[int, dict[Level, HeldLevel]]:
    """Return what the users hold of the achievements that they claim."""
    return unlocks.read_levels(
        {(user, claim.achievement_id) for user, own in by_user.items() for claim in own}
    )


def _import_slice(
    claims: Sequence[Claim], job_name: str, cursor: int, reached: int
) -> tuple[BatchResult, list[Finding]]:
    by_user = group_by_user(claims)

    def work(rulebook: Rulebook) -> tuple[BatchResult, list[Finding]]:
        done = _import_claims(rulebook, by_user)
        if not Job.objects.filter(name=job_name, cursor=cursor).update(cursor=reached):
            raise AnotherImport("another import of the same source is running, or was restarted")
        return done

    return run_batch(work)


def _import_claims(rulebook: Rulebook, by_user: UserClaims) -> tuple[BatchResult, list[Finding]]:
    """Give users what they claim, inside the caller's transaction."""
    user_ids = sorted(by_user)
    stored = lock_users(user_ids)
    held = read_held(by_user)
    rows = {user_id: read_row(rulebook, user_id, stored[user_id].state) for user_id in user_ids}
    # A row of ours would end the time in which a first event looks for the user's history.
    new = {user_id: None for user_id, row in rows.items() if row is None}
    nothing: dict[int, list[Event]] = {user_id: [] for user_id in new}
    steps = revise_users(rulebook, new, nothing) if new else {}
    writer = StepWriter(rulebook, stored, {}, should_notify=False)
    findings: list[Finding] = []
    for user_id in user_ids:
        row = rows[user_id]
        step = steps[user_id] if row is None else Step(row, 0, [], [], [])
        levels = {**held.get(user_id, {}), **_list_earned(rulebook, step)}
        merge = merge_claims(by_user[user_id], levels)
        findings += merge.findings
        _add_merge(writer, user_id, step, merge)
    return writer.write(), findings


def _list_earned(rulebook: Rulebook, step: Step) -> dict[Level, HeldLevel]:
    """What a new user's own history has just earned."""
    now = datetime.now(UTC)
    return {
        (unlock.achievement_id, unlock.level): HeldLevel(
            (unlock.event and unlock.event.occurred_at) or now, rulebook.version, False
        )
        for unlock in step.unlocks
    }


def _add_merge(writer: StepWriter, user_id: int, step: Step, merge: Merge) -> None:
    rulebook, row = writer.rulebook, step.progress
    unlocked, gained = row.unlocked, []
    raised: dict[Rule, None] = {}
    for achievement_id, top in merge.list_tops().items():
        before = unlocked.get(achievement_id, 0)
        if top > before:
            unlocked[achievement_id] = top
            gained += [(achievement_id, level) for level in range(before + 1, top + 1)]
            raised.update(dict.fromkeys(rulebook.dependents.get(achievement_id, ())))
    written = [
        UnlockRow(user_id, achievement_id, level, at, None, IMPORTED)
        for (achievement_id, level), at in merge.writes.items()
    ]
    if gained:
        row.set_unlocked(unlocked, rulebook.count_points(unlocked))
        # A collection that this completes follows from our rules, at the time of its last part.
        newest = max(merge.standing.values())
        for follower in judge_rules(rulebook, row, raised, None):
            key = (follower.achievement_id, follower.level)
            gained.append(key)
            written.append(UnlockRow(user_id, *key, newest, None, rulebook.version))
    if written or gained or not writer.stored[user_id].state:
        writer.add_import(user_id, step, written, gained)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
