"""The rows of a user table and of its shadow, slice by slice (storage floor): copied, compared."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from achievements.shadow import execute, list_columns, name_shadow, quote_columns
from achievements.statements import KEY_LIST, fetch_all, list_keys

HIGHEST_USER: Final = 2**63 - 1
_TEXT_TYPES: Final = ("char", "text", "binary", "blob", "json", "enum", "set")


class Checksum(NamedTuple):
    rows: int
    total: int


def list_row_users(table: str, after: int, limit: int) -> list[int]:
    """Return the users of the next `limit` rows, ascending; a user of many rows many times."""
    rows = fetch_all(
        f"SELECT user_id FROM `{table}` WHERE user_id > %s ORDER BY user_id LIMIT %s",
        [after, limit],
    )
    return [int(user_id) for (user_id,) in rows]


def make_copier(table: str) -> Callable[[Sequence[int]], None]:
    """Return what copies all rows of some users, inside the caller's transaction.

    The rows are read with a shared lock, so that none is deleted between the reading and
    the writing, and in the order in which the engine locks users. What a trigger has
    written already is as new as the row itself: IGNORE leaves it.
    """
    columns = list_columns(table)
    statement = (
        f"INSERT IGNORE INTO `{name_shadow(table)}` ({quote_columns(columns)})"
        f" SELECT {quote_columns(columns, 't.')} FROM {KEY_LIST}"
        f" STRAIGHT_JOIN `{table}` t ON t.user_id = k.id LOCK IN SHARE MODE"
    )
    return lambda user_ids: execute(statement, [list_keys(sorted(set(user_ids)))])


def find_slice_end(table: str, after: int, limit: int) -> int:
    """Return the last user of about `limit` rows; at the end, the highest id there can be."""
    rows = fetch_all(
        f"SELECT user_id FROM `{table}` WHERE user_id > %s ORDER BY user_id LIMIT %s, 1",
        [after, limit - 1],
    )
    return int(rows[0][0]) if rows else HIGHEST_USER


def make_comparer(table: str) -> Callable[[int, int], tuple[Checksum, Checksum]]:
    """Return what takes the checksums of (after, last] of the table and of its shadow, at once.

    Both are read in one snapshot: a writer's change is in both or in neither. Every column
    counts, NULL apart from every value, texts by their bytes. The row's hash is MD5, because
    CRC32 is linear: two rows that exchanged their values could have the same sum.
    """
    values = ", ".join(
        f"IFNULL(MD5(`{name}`), '-')"
        if any(kind in data_type for kind in _TEXT_TYPES)
        else f"IFNULL(`{name}`, '-')"
        for name, data_type in list_columns(table)
    )
    row = f"CAST(CONV(LEFT(MD5(CONCAT_WS(',', {values})), 15), 16, 10) AS UNSIGNED)"
    statements = [
        f"SELECT COUNT(*), COALESCE(SUM({row}), 0) FROM `{name}`"
        " WHERE user_id > %s AND user_id <= %s"
        for name in (table, name_shadow(table))
    ]

    def compare(after: int, last: int) -> tuple[Checksum, Checksum]:
        execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        try:
            ours, shadows = (fetch_all(sql, [after, last])[0] for sql in statements)
        finally:
            execute("COMMIT")
        return Checksum(*map(int, ours)), Checksum(*map(int, shadows))

    return compare
