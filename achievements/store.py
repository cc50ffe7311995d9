"""Writing what a batch decided (services floor): one path for live events and rebuilds."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from achievements import tables
from achievements.advance import Step
from achievements.effects import BatchResult
from achievements.progress import encode_progress
from achievements.rulebook import Rulebook
from achievements.seen import MAX_RUN_IDS, pack_ids
from achievements.tables import (
    EvidenceRow,
    NotificationRow,
    RevocationRow,
    SeenRow,
    StoredProgress,
    UnlockRow,
)

REVOCATION_REASON = "the test that earned it was invalidated"


def store_steps(
    rulebook: Rulebook,
    steps: Mapping[int, Step],
    stored: Mapping[int, StoredProgress],
    *,
    event_count: int = 0,
    should_notify: bool = True,
) -> BatchResult:
    """Write the steps of users whose rows are locked as `stored`; one statement a table."""
    now = datetime.now(UTC)
    unlocks: list[UnlockRow] = []
    revocations: list[RevocationRow] = []
    notifications: list[NotificationRow] = []
    evidence: list[EvidenceRow] = []
    seen: list[SeenRow] = []
    progress: list[tuple[int, int, bytes]] = []
    tallies: Counter[tuple[int, int]] = Counter()
    told = _read_told(steps) if should_notify else set()
    for user_id in sorted(steps):
        step, before = steps[user_id], stored[user_id]
        row = step.progress
        for achievement_id, level in step.revoked:
            revocations.append(
                RevocationRow(now, REVOCATION_REASON, user_id, achievement_id, level)
            )
            tallies[achievement_id, level] -= 1
        for achievement_id, level, event in step.unlocks:
            at = event.occurred_at if event and event.occurred_at else now
            test_id = event.test_result_id if event else None
            unlocks.append(UnlockRow(user_id, achievement_id, level, at, test_id, rulebook.version))
            tallies[achievement_id, level] += 1
            if should_notify and (user_id, achievement_id, level) not in told:
                row.notified += 1
                notifications.append(
                    NotificationRow(user_id, row.notified, achievement_id, level, now)
                )
        evidence += make_evidence_rows(user_id, step)
        if not before.state:
            tallies[tables.USERS_TALLY] += 1
        seen += make_seen_rows(user_id, step.leaving)
        state = encode_progress(row)
        if state != before.state:
            if row.rulebook_version != rulebook.version:
                row.rulebook_version = rulebook.version
                state = encode_progress(row)
            progress.append((user_id, before.revision + 1, state))
    tables.store_progress(progress)
    # Revoked first: a level may be lost and earned again in one step.
    if revocations:
        tables.revoke_unlocks(revocations)
    if evidence:
        tables.renew_evidence(evidence)
    tables.insert_unlocks(unlocks)
    tables.insert_notifications(notifications)
    tables.insert_seen(seen)
    # Last, because these rows are shared by all users: locked for the shortest time.
    tables.add_tallies(tallies, slot=os.getpid() % tables.TALLY_SLOTS)
    applied = sum(step.applied for step in steps.values())
    changed = {row.user_id for row in unlocks} | {row.user_id for row in revocations}
    return BatchResult(
        applied=applied,
        duplicates=event_count - applied,
        unlocks=len(unlocks),
        revocations=len(revocations),
        moved_users=[user_id for user_id, _, _ in progress],
        unlocking_users=sorted(changed),
    )


def make_evidence_rows(user_id: int, step: Step) -> list[EvidenceRow]:
    """For levels that stay after an invalidation: the test that earns them now."""
    return [
        EvidenceRow(
            event.occurred_at, event.test_result_id, user_id, achievement_id, level, taken_back_id
        )
        for achievement_id, level, event in step.found
        if event and event.occurred_at
        for taken_back_id in sorted(step.taken_back)
    ]


def make_seen_rows(user_id: int, leaving: Iterable[tuple[bool, list[int]]]) -> list[SeenRow]:
    """Cut the ids that leave a row into archived runs."""
    return [
        SeenRow(user_id, is_invalidation, run[0], run[-1], pack_ids(run))
        for is_invalidation, ids in leaving
        for run in (ids[i : i + MAX_RUN_IDS] for i in range(0, len(ids), MAX_RUN_IDS))
    ]


def _read_told(steps: Mapping[int, Step]) -> set[tuple[int, int, int]]:
    """Levels that these users held before and lost: earning them again is not told again.

    Only a user with an invalidated test can have lost one, so this hardly ever asks.
    """
    suspects = [u for u, s in steps.items() if s.unlocks and s.progress.invalidated.top]
    return set(tables.read_revoked(suspects)) if suspects else set()
