"""Writing what a batch decided (services floor): one path for live events and rebuilds."""

import os
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from achievements import tables, unlocks
from achievements.advance import Step
from achievements.events import Event
from achievements.progress import Progress, Unlock, encode_progress
from achievements.rulebook import Rulebook
from achievements.seen import MAX_RUN_IDS, pack_ids
from achievements.tables import NotificationRow, SeenRow, StoredProgress
from achievements.unlocks import EvidenceRow, RevocationRow, UnlockRow

REVOCATION_REASON = "the test that earned it was invalidated"
REMOVAL_REASON = "an imported level that it asks for was taken away"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a committed batch did, and whose documents it made old.

    A user with an event that had been applied before counts as moved and unlocking: whoever
    applied it may have died before it could drop the documents.
    """

    applied: int = 0
    duplicates: int = 0
    unlocks: int = 0
    revocations: int = 0
    moved_users: list[int] = field(default_factory=list)
    unlocking_users: list[int] = field(default_factory=list)
    events: Mapping[int, Sequence[Event]] = field(default_factory=dict)  # by user


class StepWriter:
    """Collects the steps of users whose rows are locked; `write` stores them, a statement a table.

    A step is packed as soon as it is added: while its row is still in the processor's cache.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        stored: Mapping[int, StoredProgress],
        events: Mapping[int, Sequence[Event]],
        *,
        should_notify: bool = True,
    ) -> None:
        """`events` is what came in, by user; nothing where nothing did, as in a rebuild."""
        self.rulebook, self.stored, self.events = rulebook, stored, events
        self.should_notify = should_notify
        self.now = datetime.now(UTC)
        self.applied = 0
        self.unlocks: list[UnlockRow] = []
        self.imported: list[UnlockRow] = []
        self.removed: list[tuple[int, int, int]] = []  # user id, achievement id, level
        self.revocations: list[RevocationRow] = []
        self.notifications: list[NotificationRow] = []
        self.evidence: list[EvidenceRow] = []
        self.seen: list[SeenRow] = []
        self.progress: list[tuple[int, int, bytes]] = []
        self.tallies: Counter[tuple[int, int]] = Counter()
        self.moved: set[int] = set()  # users whose documents are old now
        self.unlocking: set[int] = set()  # of these, whose profiles are
        # Who has an invalidated test can have lost a level: earning it again is not told again.
        self.suspects: dict[int, Step] = {}

    def add(self, user_id: int, step: Step) -> None:
        if self.should_notify and step.unlocks and step.progress.invalidated.top:
            self.suspects[user_id] = step
        else:
            self._add(user_id, step, set())

    def add_import(
        self,
        user_id: int,
        step: Step,
        rows: Sequence[UnlockRow],
        gained: Iterable[tuple[int, int]],
        removed: Sequence[tuple[int, int]],
    ) -> None:
        """Add levels that come with a time of their own instead of an event.

        `step.progress` holds them already; `gained` are those that it did not hold before. It
        holds no longer what is `removed`: imported levels that are to be gone.
        """
        gone = [(user_id, *key) for key in removed]
        self._add(
            user_id, step, set(), is_given=bool(rows or gone), revocation_reason=REMOVAL_REASON
        )
        self.imported += rows
        self.removed += gone
        for key in gained:
            self.tallies[key] += 1
        for key in removed:
            self.tallies[key] -= 1

    def write(self) -> BatchResult:
        """Store everything inside the caller's transaction."""
        if self.suspects:
            told = set(unlocks.read_revoked(sorted(self.suspects)))
            for user_id, step in self.suspects.items():
                self._add(user_id, step, told)
        tables.store_progress(sorted(self.progress))
        if self.removed:
            unlocks.remove_imported(self.removed)
        # Revoked first: a level may be lost and earned again in one step.
        if self.revocations:
            unlocks.revoke_unlocks(self.revocations)
        if self.evidence:
            unlocks.renew_evidence(self.evidence)
        unlocks.insert_unlocks(self.unlocks)
        unlocks.put_unlocks(self.imported)
        tables.insert_notifications(self.notifications)
        tables.insert_seen(self.seen)
        # Last, because these rows are shared by all users: locked for the shortest time.
        tables.add_tallies(self.tallies, slot=os.getpid() % tables.TALLY_SLOTS)
        return BatchResult(
            applied=self.applied,
            duplicates=sum(map(len, self.events.values())) - self.applied,
            unlocks=len(self.unlocks),
            revocations=len(self.revocations),
            moved_users=sorted(self.moved),
            unlocking_users=sorted(self.unlocking),
            events=self.events,
        )

    def _add(
        self,
        user_id: int,
        step: Step,
        told: Container[tuple[int, int, int]],
        *,
        is_given: bool = False,
        revocation_reason: str = REVOCATION_REASON,
    ) -> None:
        row, before = step.progress, self.stored[user_id]
        self.applied += step.applied
        is_repeated = step.applied < len(self.events.get(user_id, ()))
        if step.unlocks or step.revoked or step.found or is_repeated or is_given:
            self.unlocking.add(user_id)
        if is_repeated:
            self.moved.add(user_id)
        if step.revoked:
            self._revoke(user_id, step.revoked, revocation_reason)
        if step.unlocks:
            self._unlock(user_id, row, step.unlocks, told)
        if step.found:
            self.evidence += make_evidence_rows(user_id, step)
        if step.leaving:
            self.seen += make_seen_rows(user_id, step.leaving)
        if not before.state:
            self.tallies[tables.USERS_TALLY] += 1
        state = encode_progress(row)
        # An earlier time alone changes the profile too: a document of before must know it is older.
        if state != before.state or is_given:
            if row.rulebook_version != self.rulebook.version:
                row.rulebook_version = self.rulebook.version
                state = encode_progress(row)
            self.progress.append((user_id, before.revision + 1, state))
            self.moved.add(user_id)

    def _revoke(self, user_id: int, revoked: Iterable[tuple[int, int]], reason: str) -> None:
        for achievement_id, level in revoked:
            self.revocations.append(RevocationRow(self.now, reason, user_id, achievement_id, level))
            self.tallies[achievement_id, level] -= 1

    def _unlock(
        self,
        user_id: int,
        row: Progress,
        unlocks: Iterable[Unlock],
        told: Container[tuple[int, int, int]],
    ) -> None:
        for achievement_id, level, event in unlocks:
            at = event.occurred_at if event and event.occurred_at else self.now
            test_id = event.test_result_id if event else None
            self.unlocks.append(
                UnlockRow(user_id, achievement_id, level, at, test_id, self.rulebook.version)
            )
            self.tallies[achievement_id, level] += 1
            if self.should_notify and (user_id, achievement_id, level) not in told:
                row.notified += 1
                self.notifications.append(
                    NotificationRow(user_id, row.notified, achievement_id, level, self.now)
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
