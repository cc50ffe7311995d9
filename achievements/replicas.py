"""The replicas that display reads may use, and the primary as such reads ask it (storage floor).

Without REPLICA_URLS everything here calls what it is given, on the default database.
"""

import random
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeVar

import structlog
from django.conf import settings
from django.db import OperationalError, connection, connections

from achievements import metrics
from achievements.absence import Absence
from achievements.replica import Replica
from achievements.sources import Source, SourceFailed, get_source, read_from

logger = structlog.get_logger(__name__)
T = TypeVar("T")

# The primary once more: read only, and with the short timeouts of the replicas.
PRIMARY: Final = "primary_reads"
_FROM_PRIMARY: Final = Source(PRIMARY, PRIMARY)
# In seconds, the first and the longest: short, as nothing new is seen before it is asked again.
_PAUSE_SECONDS: Final = (0.25, 2.0)


class _State:
    """What this process knows of the servers."""

    primary_absence = Absence(first_seconds=_PAUSE_SECONDS[0], longest_seconds=_PAUSE_SECONDS[1])


def are_configured() -> bool:
    return bool(settings.REPLICAS)


def is_primary_away() -> bool:
    """Whether the primary failed when it was asked last."""
    return bool(_State.primary_absence)


def is_alone() -> bool:
    """Whether this is read from a replica without a primary to compare it with."""
    source = get_source()
    return source is not None and source.others != PRIMARY


def ask_primary(work: Callable[[], T]) -> T | None:
    """Return what `work` reads on the primary; None while the primary is away.

    What is read is never older than what was committed before the call, also when the primary is
    replaced meanwhile: a server that has handed over is read-only, and then asked over a new
    connection. In a transaction, `work` reads in it. Raises django.db errors where there are no
    replicas.
    """
    if not are_configured() or connection.in_atomic_block:
        return work()
    if not _State.primary_absence.may_ask():
        return None
    asked_at = time.monotonic()
    try:
        result, is_read_only = read_from(_FROM_PRIMARY, lambda: (work(), _is_read_only()))
        if is_read_only:
            connections[PRIMARY].close()
            result = read_from(_FROM_PRIMARY, work)
    except SourceFailed as error:
        if _State.primary_absence.begin(asked_at=asked_at):
            logger.warning("primary_failed", error=str(error))
        return None
    if _State.primary_absence.end(asked_at=asked_at):
        logger.warning("primary_answers")
    return result


def read_on_primary(work: Callable[[], T]) -> T:
    """Return what `work` reads on the primary. Raises OperationalError while it is away."""
    result = ask_primary(work)
    if result is None:
        raise OperationalError("The primary database cannot be reached.")
    metrics.DATABASE_READS.labels("primary").inc()
    return result


def list_replicas() -> list[Replica]:
    """Return the replicas in a new order each time, so that reads are spread over them."""
    replicas = _make_replicas(tuple(settings.REPLICAS))
    return random.sample(replicas, len(replicas))


def read_replica(replica: Replica, work: Callable[[], T | None]) -> T | None:
    """Return what `work` reads of users on this replica; None when it is left out or fails."""
    result = replica.read(work, others=PRIMARY)
    if result is not None:
        metrics.DATABASE_READS.labels(replica.database).inc()
    return result


def read_alone(work: Callable[[], T]) -> T:
    """Return what `work` reads on a replica, while the primary is away: it may be behind.

    Raises OperationalError when no replica answers.
    """
    if is_alone():
        return work()
    # Those that were behind when the primary was last seen come last.
    for replica in sorted(list_replicas(), key=lambda one: bool(one.lag)):
        result = replica.read_alone(work)
        if result is not None:
            metrics.DATABASE_READS.labels(replica.database).inc()
            return result
    raise OperationalError("Neither the primary database nor a replica can be reached.")


def count_answering() -> int:
    """Ask each replica that is not left out; return how many can be read from now."""
    found = [
        replica.read_alone(_is_read_only)
        if is_primary_away()
        else replica.read(_is_read_only, others=PRIMARY)
        for replica in list_replicas()
    ]
    return sum(answer is not None for answer in found)


def forget_replicas() -> None:
    """Forget what is known of every server."""
    _make_replicas.cache_clear()
    _State.primary_absence = Absence(
        first_seconds=_PAUSE_SECONDS[0], longest_seconds=_PAUSE_SECONDS[1]
    )


@lru_cache(maxsize=1)
def _make_replicas(databases: tuple[str, ...]) -> list[Replica]:
    return [Replica(database) for database in databases]


def _is_read_only() -> bool:
    source = get_source()
    assert source is not None
    with connections[source.users].cursor() as cursor:
        cursor.execute("SELECT @@global.read_only")
        return bool(cursor.fetchone()[0])
