"""What is displayed of users, from a replica where one is as new as the primary (services floor).

How new a user's data are is their revision: the engine raises it in the transaction of whatever it
changes of them. The primary is asked for it by key, and what a replica then shows of a user is
taken if its own revision, read before, is not lower. So nobody ever sees less than was committed
when they asked, however far a replica lags.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from achievements import replicas
from achievements.documents import Stamp
from achievements.privacy import find_private
from achievements.replica import Replica
from achievements.selectors import read_revisions

T = TypeVar("T")
Reader = Callable[[Sequence[int]], Mapping[int, T]]


class Found(NamedTuple, Generic[T]):
    """By user: what was read, and the stamp that was read before it.

    It is unsure when the primary is away: a replica may be behind, and nobody can tell.
    """

    rows: Mapping[int, T]
    stamps: Mapping[int, Stamp]
    is_sure: bool = True


def read_users(
    user_ids: Sequence[int], read: Reader[T], *, revision_of: Callable[[T], int] | None = None
) -> Found[T]:
    """Return what `read` finds of these users, wherever it is read.

    `read` may be called several times, each time for some of the users. Where its rows tell their
    own revision (`revision_of`), one database is not asked for it twice.
    """
    if not replicas.are_configured():
        return read_here(user_ids, read, revision_of=revision_of)
    stamps = replicas.ask_primary(lambda: _read_stamps(user_ids))
    if stamps is None:
        found = replicas.read_alone(lambda: read_here(user_ids, read, revision_of=revision_of))
        return found._replace(is_sure=False)
    rows: dict[int, T] = {}
    left = list(user_ids)
    for replica in replicas.list_replicas():
        current: Callable[[], Mapping[int, T] | None]
        current = partial(_read_current, replica, left, stamps, read)
        rows |= replicas.read_replica(replica, current) or {}
        left = [user_id for user_id in user_ids if user_id not in rows]
        if not left:
            return Found(rows, stamps)
    return Found(rows | dict(replicas.read_on_primary(lambda: read(left))), stamps)


def read_here(
    user_ids: Sequence[int], read: Reader[T], *, revision_of: Callable[[T], int] | None = None
) -> Found[T]:
    """The same from one database: the stamps first, then the rest."""
    if revision_of is None:
        stamps = _read_stamps(user_ids)
        return Found(read(user_ids), stamps)
    private = find_private(user_ids)
    rows = read(user_ids)
    return Found(rows, {u: Stamp(revision_of(row), u in private) for u, row in rows.items()})


def read_user(user_id: int, read: Callable[[], T]) -> T:
    """Return what `read` finds of one user, where nobody asks for a stamp."""
    if not replicas.are_configured():
        return read()
    return read_users([user_id], lambda user_ids: {user_id: read()}).rows[user_id]


def _read_current(
    replica: Replica, user_ids: Sequence[int], stamps: Mapping[int, Stamp], read: Reader[T]
) -> Mapping[int, T] | None:
    """Return the rows of those users who are as new on this replica as on the primary."""
    revisions = read_revisions(user_ids)
    current = []
    for user_id in user_ids:
        if revisions[user_id] >= stamps[user_id].revision:
            current.append(user_id)
        else:
            replica.note_behind(user_id, revision=stamps[user_id].revision)
    return read(current) if current else None


def _read_stamps(user_ids: Sequence[int]) -> dict[int, Stamp]:
    private = find_private(user_ids)
    return {u: Stamp(revision, u in private) for u, revision in read_revisions(user_ids).items()}
