"""One replica (storage floor): whether this process reads from it now, and when again."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Final, NamedTuple, TypeVar

import structlog
from django.conf import settings

from achievements import metrics
from achievements.absence import Absence
from achievements.replication import Replication
from achievements.sources import Source, SourceFailed, read_from
from achievements.tables import read_revision_rows

logger = structlog.get_logger(__name__)
T = TypeVar("T")

CHECK_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = (1.0, 30.0)  # the first and the longest
# After a failover the new primary may never have had the revision that was missed.
LONGEST_WITNESS_SECONDS: Final = 60.0


class Witness(NamedTuple):
    """A user whose row was older here than on the primary."""

    user_id: int
    revision: int
    seen_at: float


class Replica:
    """Left out after a failure, and while it is more than REPLICA_MAX_LAG_SECONDS behind.

    A few milliseconds behind are nothing: the users concerned are read elsewhere. The first of
    them is the witness; whoever reads later finds out whether that revision has arrived in time.
    """

    def __init__(self, database: str) -> None:
        self.database = database
        first, longest = PAUSE_SECONDS
        self.failure = Absence(first_seconds=first, longest_seconds=longest)
        self.lag = Absence(first_seconds=first, longest_seconds=longest)
        self._replication = Replication(database)
        self._lock = Lock()
        self._witness: Witness | None = None
        self._check_due = float("-inf")
        metrics.REPLICA_IN_SERVICE.labels(database).set(1)

    @property
    def is_in_service(self) -> bool:
        return not self.failure and not self.lag

    def read(self, work: Callable[[], T | None], *, others: str) -> T | None:
        """Return what `work` returns, or None: it is left out, or fails now.

        `others` is the database for everything but the tables of users.
        """
        if not self.lag.may_ask() or not self.failure.may_ask():
            return None
        return self._try(work, Source(self.database, others), should_check=True)

    def read_alone(self, work: Callable[[], T]) -> T | None:
        """The same with every read going here, however late it may be: there is no primary."""
        if not self.failure.may_ask():
            return None
        return self._try(work, Source(self.database, self.database), should_check=False)

    def note_behind(self, user_id: int, *, revision: int) -> None:
        """This user's row has not reached the revision that the primary holds."""
        metrics.REPLICA_BEHIND.labels(self.database).inc()
        with self._lock:
            if self._witness is None:
                self._witness = Witness(user_id, revision, time.monotonic())

    def _try(self, work: Callable[[], T | None], source: Source, *, should_check: bool) -> T | None:
        asked_at = time.monotonic()

        def check_and_work() -> T | None:
            return None if should_check and not self._keeps_up(asked_at) else work()

        try:
            result = read_from(source, check_and_work)
        except SourceFailed as error:
            if self.failure.begin(asked_at=asked_at):
                self._say("replica_failed", error=str(error))
            return None
        if self.failure.end(asked_at=asked_at):
            self._say("replica_answers")
        return result

    def _keeps_up(self, now: float) -> bool:
        """Look once a second, by one of those who want to read."""
        with self._lock:
            if now < self._check_due and not self.lag:
                return True
            self._check_due = now + CHECK_SECONDS
        if reason := self._find_fault(now):
            if self.lag.begin(asked_at=now):
                self._say("replica_behind", reason=reason)
            return False
        if self.lag.end(asked_at=now):
            self._say("replica_caught_up")
        return True

    def _find_fault(self, now: float) -> str | None:
        max_lag: int = settings.REPLICA_MAX_LAG_SECONDS
        witness = self._witness
        if witness and now - witness.seen_at > max_lag:
            revisions = dict(read_revision_rows([witness.user_id]))
            is_old = now - witness.seen_at > LONGEST_WITNESS_SECONDS
            if revisions.get(witness.user_id, 0) < witness.revision and not is_old:
                return f"more than {max_lag} s behind"
            self._witness = None
        return self._replication.find_fault(max_lag_seconds=max_lag)

    def _say(self, event: str, **details: str) -> None:
        metrics.REPLICA_IN_SERVICE.labels(self.database).set(self.is_in_service)
        logger.warning(event, database=self.database, **details)
