"""One transaction that is tried again as a whole (storage floor)."""

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from django.db import DataError, IntegrityError, OperationalError, transaction
from django.db import Error as DatabaseFailure  # InterfaceError is no DatabaseError

from achievements import metrics
from achievements.errors import StaleRulebook

MAX_ATTEMPTS: Final = 6
FIRST_DELAY_SECONDS: Final = 0.02
LOCK_WAIT_TIMEOUT: Final = 1205
DEADLOCK: Final = 1213

Result = TypeVar("Result")


def run_transaction(work: Callable[[], Result]) -> Result:
    """Run `work` in a transaction of its own; after a deadlock or a lock wait, run it again.

    `work` must have no effect outside the database. Raises what it raises, and the
    deadlock itself after the sixth attempt.
    """
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            with transaction.atomic():
                return work()
        except OperationalError as error:
            if not is_lock_conflict(error) or attempt == MAX_ATTEMPTS:
                raise
            if transaction.get_connection().in_atomic_block:
                raise  # the caller's transaction is gone with ours: only it can start again
            metrics.RETRIES.inc()
            # Jitter, so that two that met once do not meet again.
            time.sleep(FIRST_DELAY_SECONDS * 2**attempt * random.random())
    raise AssertionError("unreachable")


def is_lock_conflict(error: OperationalError) -> bool:
    """Whether the database gave up this transaction for another one's sake."""
    code = error.args[0] if error.args else None
    return code in (LOCK_WAIT_TIMEOUT, DEADLOCK) or "database is locked" in str(error)


def is_fault_of_events(error: Exception) -> bool:
    """Whether the same events would fail again; a database that is away is nobody's fault."""
    if isinstance(error, IntegrityError | DataError):
        return True
    return not isinstance(error, DatabaseFailure | StaleRulebook)
