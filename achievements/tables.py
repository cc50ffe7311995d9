"""The engine's statements (storage floor): multi-row SQL for the tables of users.

Raw SQL, because a batch of 500 through model instances costs more than the database does.
Every statement names user_id, so each one touches only the partitions of its users.
Those on unlocks are in unlocks.py.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import connection

from achievements.sources import name_database
from achievements.statements import (
    KEY_LIST,
    fetch_all,
    insert_packed,
    insert_rows,
    is_mysql,
    is_sharded,
    list_keys,
    split_keys,
    update_each,
    write_marks,
)

TALLY_SLOTS: Final = 64
USERS_TALLY: Final = (0, 0)  # the pseudo achievement and level that count users


class StoredProgress(NamedTuple):
    revision: int
    state: bytes


class OutboxKey(NamedTuple):
    id: int
    user_id: int


class NotificationRow(NamedTuple):
    user_id: int
    sequence: int
    achievement_id: int
    level: int
    created_at: datetime


class SeenRow(NamedTuple):
    user_id: int
    is_invalidation: bool
    first_id: int
    last_id: int
    ids: bytes


def lock_progress(user_ids: Sequence[int]) -> dict[int, StoredProgress]:
    """Lock and return the rows of these users, in order; users without a row are left out."""
    rows: dict[int, StoredProgress] = {}
    for part in split_keys(sorted(user_ids)):
        for user_id, revision, state in _lock_part(part):
            rows[user_id] = StoredProgress(revision, bytes(state))
    return rows


def _lock_part(user_ids: list[int]) -> list[Any]:
    if is_sharded():
        # Without partitions a look-up by the primary key goes in its order. The hint keeps a
        # short table from being scanned, which would wait for rows that nobody asked for.
        return fetch_all(
            "SELECT user_id, revision, state FROM user_progress FORCE INDEX (PRIMARY)"
            f" WHERE user_id IN ({write_marks(user_ids)}) ORDER BY user_id FOR UPDATE",
            user_ids,
        )
    if is_mysql():
        # Over partitions, `IN (...) ORDER BY user_id` locks in another order than it returns,
        # and of a short table it locks every row. The join goes through the list as it stands.
        return fetch_all(
            f"SELECT p.user_id, p.revision, p.state FROM {KEY_LIST}"
            " STRAIGHT_JOIN user_progress p ON p.user_id = k.id FOR UPDATE",
            [list_keys(user_ids)],
        )
    # SQLite knows no row locks: its transactions start as the only writer (BEGIN IMMEDIATE).
    return fetch_all(
        "SELECT user_id, revision, state FROM user_progress"
        f" WHERE user_id IN ({write_marks(user_ids)})",
        user_ids,
    )


def lock_outbox(limit: int) -> list[tuple[int, int, bytes]]:
    """Lock and return the oldest rows (id, user_id, event) that nobody else holds."""
    if settings.DATABASE_SHARDING == "tidb":
        lock = " FOR UPDATE"  # TiDB cannot skip: one worker drains at a time
    else:
        lock = " FOR UPDATE SKIP LOCKED" if is_mysql() else ""
    return fetch_all(
        f"SELECT id, user_id, event FROM outbox WHERE failed_at IS NULL ORDER BY id LIMIT %s{lock}",
        [limit],
    )


def delete_outbox(rows: Sequence[OutboxKey]) -> None:
    """Delete these rows without a look at the others, which may be locked."""
    if is_sharded():
        # A list would be scanned for in a short table, and no hint of an index comes through
        # a proxy in a DELETE.
        update_each("DELETE FROM outbox WHERE id = %s AND user_id = %s", rows)
        return
    row_ids = [row.id for row in rows]
    with connection.cursor() as cursor:
        if is_mysql():
            cursor.execute(
                f"DELETE o FROM {KEY_LIST} STRAIGHT_JOIN outbox o ON o.id = k.id",
                [list_keys(row_ids)],
            )
        else:
            cursor.execute(f"DELETE FROM outbox WHERE id IN ({write_marks(row_ids)})", row_ids)


def create_progress(user_ids: Sequence[int]) -> dict[int, StoredProgress]:
    """Create empty rows for these users and return all of them locked.

    Another worker may create one at the same time: whoever comes second waits for the
    first to commit and then reads what it wrote. An empty state means a new user.
    """
    insert_rows(
        "user_progress (user_id, revision, state)",
        [(user_id, 0, b"") for user_id in sorted(user_ids)],
        # Takes the exclusive lock at once; INSERT IGNORE would take a shared one and deadlock.
        mysql_conflict="ON DUPLICATE KEY UPDATE revision = revision",
        other_conflict="ON CONFLICT DO NOTHING",
    )
    return lock_progress(user_ids)


def store_progress(rows: Sequence[tuple[int, int, bytes]]) -> None:
    """Write (user_id, revision, state) of rows that are locked."""
    target = "user_progress (user_id, revision, state)"
    if is_mysql():
        insert_packed(
            target,
            [f"({user_id},{revision},x'{state.hex()}')" for user_id, revision, state in rows],
            "ON DUPLICATE KEY UPDATE revision = VALUES(revision), state = VALUES(state)",
        )
        return
    insert_rows(
        target,
        rows,
        other_conflict=(
            "ON CONFLICT (user_id) DO UPDATE SET revision = excluded.revision,"
            " state = excluded.state"
        ),
    )


def read_revision_rows(user_ids: Sequence[int]) -> list[tuple[int, int]]:
    """Return (user_id, revision) of the users who have a row."""
    rows: list[tuple[int, int]] = []
    for part in split_keys(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT user_id, revision FROM user_progress WHERE user_id IN ({write_marks(part)})",
            part,
            using=name_database(),
        )
    return rows


def read_states(user_ids: Sequence[int]) -> dict[int, bytes]:
    """Return the packed rows of the users who have one, without a lock."""
    rows: dict[int, bytes] = {}
    for part in split_keys(sorted(user_ids)):
        found = fetch_all(
            f"SELECT user_id, state FROM user_progress WHERE user_id IN ({write_marks(part)})", part
        )
        rows.update((user_id, bytes(state)) for user_id, state in found)
    return rows


def insert_notifications(rows: Sequence[NotificationRow]) -> None:
    insert_rows("notifications (user_id, sequence, achievement_id, level, created_at)", rows)


def insert_seen(rows: Sequence[SeenRow]) -> None:
    target = "user_seen_tests (user_id, is_invalidation, first_id, last_id, ids)"
    if is_mysql():
        values = [f"({user},{kind:d},{a},{b},x'{ids.hex()}')" for user, kind, a, b, ids in rows]
        insert_packed(target, values)
    else:
        insert_rows(target, rows)


def read_seen(
    user_ids: Sequence[int], *, lowest: int = 0, highest: int = 2**63 - 1
) -> list[tuple[int, bool, bytes]]:
    """Return (user_id, is_invalidation, packed ids) of the archived runs that touch the range."""
    rows: list[tuple[int, bool, bytes]] = []
    for part in split_keys(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT user_id, is_invalidation, ids FROM user_seen_tests"
            f" WHERE user_id IN ({write_marks(part)}) AND first_id <= %s AND last_id >= %s",
            [*part, highest, lowest],
        )
    return [(user_id, bool(kind), bytes(ids)) for user_id, kind, ids in rows]


def add_tallies(changes: dict[tuple[int, int], int], *, slot: int) -> None:
    """Add to the holders of (achievement_id, level), in order, in this worker's slot."""
    insert_rows(
        "tallies (achievement_id, level, slot, holders)",
        [(*key, slot, change) for key, change in sorted(changes.items()) if change],
        mysql_conflict="ON DUPLICATE KEY UPDATE holders = holders + VALUES(holders)",
        other_conflict=(
            "ON CONFLICT (achievement_id, level, slot)"
            " DO UPDATE SET holders = holders + excluded.holders"
        ),
    )
