"""Taking over a former site's unlocks (services floor), with users online.

Rows are taken in slices by their own primary key. A slice is one transaction through the
engine's locks and writes, and moves the job's cursor: it can be killed and repeated, and a
later run goes on with what the former site has added. Nobody is notified.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from achievements.advance import Step
from achievements.claims import (
    IMPORTED,
    REMOVED,
    SURPLUS,
    Finding,
    HeldLevel,
    LegacyRow,
    Level,
    Merge,
    merge_claims,
)
from achievements.effects import run_effects
from achievements.engine import lock_users, read_row, revise_users, run_batch
from achievements.errors import AchievementsError
from achievements.events import Event
from achievements.legacy_slices import LegacySlices, Slice, UserClaims, read_held
from achievements.models import Job
from achievements.progress import Progress, judge_rules
from achievements.rule import Rule
from achievements.rulebook import Rulebook
from achievements.store import BatchResult, StepWriter
from achievements.unlocks import UnlockRow


class AnotherImport(AchievementsError):
    """Another process moves the same cursor."""


def import_slices(
    slices: LegacySlices, *, job_name: str, should_remove: bool = False
) -> Iterator[Slice]:
    """Import these rows and move the job's cursor.

    Raises AnotherImport, LegacyError, and what the engine raises; then the cursor is where the
    last whole slice ended. Where the slices are exact, what was imported before is corrected;
    levels that are surplus stay, unless `should_remove`.
    """
    job, _ = Job.objects.get_or_create(name=job_name)
    cursor = job.cursor
    for rows in slices:
        done, parts = slices.sift(rows)
        for number, by_user in enumerate(parts or [{}], 1):
            # What a killed run has done of a slice is found done when it is repeated.
            reached = max(cursor, done.last_id) if number >= len(parts) else cursor
            result, findings = _import_part(by_user, job_name, cursor, reached, should_remove)
            cursor = reached
            done.findings.extend(findings)
            run_effects(result)
        yield done


def preview_slices(slices: LegacySlices) -> Iterator[Slice]:
    """Say what an import would do. A pair of rows that two slices divide is not recognised."""
    for rows in slices:
        done, parts = slices.sift(rows)
        for by_user in parts:
            held = read_held(by_user)
            for user_id, own in by_user.items():
                merge = merge_claims(own.claims, held.get(user_id, {}), others=own.others)
                done.findings.extend([*merge.findings, *_list_surplus(user_id, merge, SURPLUS)])
        yield done


def _import_part(
    by_user: UserClaims, job_name: str, cursor: int, reached: int, should_remove: bool
) -> tuple[BatchResult, list[Finding]]:
    # Who claims nothing comes for what may be surplus, and must not get a row here for that.
    idle = {user_id: own for user_id, own in by_user.items() if not own.claims}
    strangers = idle.keys() - read_held(idle).keys()
    by_user = {user_id: own for user_id, own in by_user.items() if user_id not in strangers}

    def work(rulebook: Rulebook) -> tuple[BatchResult, list[Finding]]:
        done = _import_claims(rulebook, by_user, should_remove)
        if not Job.objects.filter(name=job_name, cursor=cursor).update(cursor=reached):
            raise AnotherImport("another import of the same source is running, or was restarted")
        return done

    return run_batch(work)


def _import_claims(
    rulebook: Rulebook, by_user: UserClaims, should_remove: bool
) -> tuple[BatchResult, list[Finding]]:
    """Give users what they claim, inside the caller's transaction."""
    user_ids = sorted(by_user)
    stored = lock_users(user_ids)
    held = read_held(by_user)
    rows = {user_id: read_row(rulebook, user_id, stored[user_id].state) for user_id in user_ids}
    # A row of ours would end the time in which a first event looks for the user's history.
    new = {user_id: None for user_id, row in rows.items() if row is None}
    steps = revise_users(rulebook, new, _no_events(new)) if new else {}
    steps |= {u: Step(row, 0, [], [], []) for u, row in rows.items() if row is not None}
    levels = {u: {**held.get(u, {}), **_list_earned(rulebook, steps[u])} for u in user_ids}
    merges = {
        user_id: merge_claims(own.claims, levels[user_id], others=own.others)
        for user_id, own in by_user.items()
    }
    if should_remove:
        steps |= _take_back(rulebook, rows, merges)
    writer = StepWriter(rulebook, stored, {}, should_notify=False)
    findings: list[Finding] = []
    for user_id in user_ids:
        merge = merges[user_id]
        findings += merge.findings
        findings += _list_surplus(user_id, merge, REMOVED if should_remove else SURPLUS)
        removed = merge.surplus if should_remove else []
        _add_merge(writer, user_id, steps[user_id], levels[user_id], merge, removed)
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


def _take_back(
    rulebook: Rulebook, rows: Mapping[int, Progress | None], merges: Mapping[int, Merge]
) -> dict[int, Step]:
    """Lower the rows of users with surplus levels to what they hold without these.

    They are replayed like after a test that was taken back: what the user has earned here
    stands, with its own time, and a collection that asked for such a level is lost.
    """
    lowered: dict[int, Progress] = {}
    for user_id, merge in merges.items():
        row = rows[user_id]
        if row is None or not merge.surplus:
            continue
        unlocked = row.unlocked
        for achievement_id, level in merge.surplus:
            unlocked[achievement_id] = min(level - 1, unlocked.get(achievement_id, 0))
        unlocked = {achievement_id: level for achievement_id, level in unlocked.items() if level}
        row.set_unlocked(unlocked, rulebook.count_points(unlocked))
        lowered[user_id] = row
    if not lowered:
        return {}
    steps = revise_users(rulebook, lowered, _no_events(lowered), should_retract=True)
    for user_id, step in steps.items():
        # Without a whole history there was no replay: what the row has counted is judged.
        lost = {achievement_id for achievement_id, _ in merges[user_id].surplus}
        again = [rule for rule in rulebook.rules if rule.definition.achievement_id in lost]
        step.unlocks.extend(judge_rules(rulebook, step.progress, again, None))
    return steps


def _add_merge(
    writer: StepWriter,
    user_id: int,
    step: Step,
    held: Mapping[Level, HeldLevel],
    merge: Merge,
    removed: list[Level],
) -> None:
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
    written += _move_followers(user_id, held, merge)
    if gained:
        row.set_unlocked(unlocked, rulebook.count_points(unlocked))
        # A collection that this completes follows from our rules, at the time of its last part.
        standing = {level: b.unlocked_at for level, b in held.items() if not b.is_revoked}
        times = standing | merge.standing
        for follower in judge_rules(rulebook, row, raised, None):
            key = (follower.achievement_id, follower.level)
            times[key] = _date_follower(rulebook, follower.achievement_id, times)
            gained.append(key)
            written.append(UnlockRow(user_id, *key, times[key], None, rulebook.version))
    if written or gained or removed or not writer.stored[user_id].state:
        writer.add_import(user_id, step, written, gained, removed)


def _date_follower(
    rulebook: Rulebook, achievement_id: int, times: Mapping[Level, datetime]
) -> datetime:
    parts = {
        part
        for part, rules in rulebook.dependents.items()
        if any(rule.definition.achievement_id == achievement_id for rule in rules)
    }
    return max(at for level, at in times.items() if level[0] in parts)


def _move_followers(user_id: int, held: Mapping[Level, HeldLevel], merge: Merge) -> list[UnlockRow]:
    """A collection that an import completed goes along when the time of its last part changes."""
    moved = {
        held[level].unlocked_at: at
        for level, at in merge.writes.items()
        if level in held and held[level].rulebook_version == IMPORTED
    }
    return [
        UnlockRow(user_id, *level, moved[before.unlocked_at], None, before.rulebook_version)
        for level, before in held.items()
        if before.unlocked_at in moved
        and before.rulebook_version != IMPORTED
        and before.test_result_id is None
        and not before.is_revoked
        and level not in merge.writes
    ]


def _list_surplus(user_id: int, merge: Merge, reason: str) -> list[Finding]:
    row = LegacyRow(0, user_id, None, None)  # there is none
    return [
        Finding(row, reason, f"our achievement {achievement_id}, level {level}")
        for achievement_id, level in merge.surplus
    ]


def _no_events(user_ids: Mapping[int, Progress | None]) -> dict[int, list[Event]]:
    return {user_id: [] for user_id in user_ids}
