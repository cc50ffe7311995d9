"""From which database something is read (storage floor): the default one, unless it is told.

Only what displays is ever told: the engine, and everything that writes, reads what it writes to.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as DatabaseFailure  # InterfaceError is no DatabaseError

T = TypeVar("T")

QUICK_SECONDS: Final = 0.3


class SourceFailed(Exception):
    """The database that was read from did not answer, or not as it should."""


class Source(NamedTuple):
    """Names of databases: of the tables of users, and of all the others (definitions, tallies)."""

    users: str
    others: str


_source: ContextVar[Source | None] = ContextVar("source", default=None)


def get_source() -> Source | None:
    return _source.get()


def name_database() -> str:
    """Return the database that a display read of a user table goes to."""
    source = _source.get()
    return DEFAULT_DB_ALIAS if source is None else source.users


def read_from(source: Source, work: Callable[[], T]) -> T:
    """Call `work`, which only reads, with its reads going to `source`.

    Raises SourceFailed where `source.users` is to blame, else what `work` raises. A connection
    that was kept may have ended unseen, as when its server was restarted: a failure that comes at
    once is tried again over a new one.
    """
    was_kept, began = connections[source.users].connection is not None, time.monotonic()
    with _reading(source):
        try:
            return _work(work, source.users)
        except SourceFailed:
            if not was_kept or time.monotonic() - began > QUICK_SECONDS:
                raise
        return _work(work, source.users)


def _work(work: Callable[[], T], database: str) -> T:
    try:
        return work()
    except DatabaseFailure as error:
        connection = connections[database]
        if not connection.errors_occurred:
            raise
        connection.close()  # or the next one would meet it again
        connection.errors_occurred = False
        raise SourceFailed(str(error)) from error


@contextmanager
def _reading(source: Source) -> Iterator[None]:
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)
