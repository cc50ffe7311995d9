"""Named exceptions: statements that look beyond named users, or read more than they return.

The key is the shape as the report of a failed run prints it, and the modules that may send it: the
same words from elsewhere are another statement. In a shape {table} stands for one name, the same
wherever it occurs, {columns} for names, and {values} for columns and texts' hashes.
`is_usual_only` marks what is sent only where nothing is sharded, `is_count` what returns one row
whose first column is the number of rows that it looked at.
"""

import re
from functools import cache
from typing import NamedTuple


class Maintenance(NamedTuple):
    shape: str
    senders: tuple[str, ...]
    reason: str
    is_usual_only: bool = False
    is_count: bool = False


def find_maintenance(shape: str, sender: str) -> Maintenance | None:
    return next(
        (
            named
            for named in MAINTENANCE
            if sender in named.senders and _compile(named.shape).fullmatch(shape)
        ),
        None,
    )


_VALUE = r"COALESCE\((?:\w+|MD5\(\w+\)), \?\)"
_STANDS_FOR = {"{columns}": r"\w+(?:, \w+)*", "{values}": f"{_VALUE}(?:, {_VALUE})*"}


@cache
def _compile(shape: str) -> re.Pattern[str]:
    first, *rest = re.escape(shape).split(re.escape("{table}"))
    pattern = first + "".join(
        (r"(?P=table)" if number else r"(?P<table>\w+)") + part for number, part in enumerate(rest)
    )
    for mark, meaning in _STANDS_FOR.items():
        pattern = pattern.replace(re.escape(mark), meaning)
    return re.compile(pattern)


DRAIN = "who drains the outbox takes the oldest rows of every shard: one read a batch"
WATCH = "operators and pages ask how long the oldest row has waited, on any shard"
# The innermost module of ours around the pages that Django's admin makes: a middleware.
ADMIN = ("config.login_brake", "achievements.admin.outbox")
STAFF = "staff list and retry what was set aside, on any shard"

MAINTENANCE: tuple[Maintenance, ...] = (
    Maintenance(
        "SELECT … FROM user_progress WHERE user_id > ? ORDER BY 1 ASC LIMIT ?",
        ("achievements.rebuild",),
        "rebuild_users takes all users in slices of ids",
    ),
    Maintenance(
        "SELECT DISTINCT … FROM test_results WHERE user_id > ? ORDER BY 1 ASC LIMIT ?",
        ("profiles.history",),
        "rebuild_users and prune take all users with history in slices of ids",
    ),
    Maintenance(
        "SELECT … FROM profiles ORDER BY user_id ASC LIMIT ?",
        ("profiles.views",),
        "the front page lists who can be signed in as, in development alone",
    ),
    Maintenance(
        "SELECT DISTINCT … FROM notifications WHERE user_id > ? ORDER BY 1 ASC LIMIT ?",
        ("achievements.retention",),
        "prune takes all users with notifications in slices of ids",
    ),
    Maintenance(
        "SELECT … FROM outbox WHERE (failed_at < ? AND id > ?) ORDER BY 1 ASC LIMIT ? FOR UPDATE"
        " SKIP LOCKED",
        ("achievements.retention",),
        "prune drops what was set aside long ago, on any shard",
    ),
    Maintenance(
        "SELECT … FROM outbox WHERE failed_at IS NULL ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED",
        ("achievements.tables",),
        DRAIN,
    ),
    Maintenance(
        "SELECT … FROM outbox WHERE failed_at IS NULL ORDER BY id LIMIT ? FOR UPDATE",
        ("achievements.tables",),
        DRAIN,
    ),
    Maintenance(
        "SELECT … FROM outbox WHERE failed_at IS NULL ORDER BY id LIMIT ?",
        ("achievements.relay",),
        DRAIN,
    ),
    Maintenance(
        "DELETE o FROM JSON_TABLE(?, ? COLUMNS(id BIGINT PATH ?)) AS k STRAIGHT_JOIN outbox AS o"
        " ON o.id = k.id",
        ("achievements.tables",),
        "rows that are locked or acknowledged are deleted by their ids",
        is_usual_only=True,
    ),
    Maintenance(
        "SELECT … FROM outbox WHERE failed_at IS NULL ORDER BY id ASC LIMIT ?",
        ("achievements.outcomes", "achievements.tasks"),
        WATCH,
    ),
    Maintenance(
        "SELECT COUNT(id) AS count, MIN(created_at) AS oldest FROM outbox WHERE failed_at IS NULL",
        ("achievements.queue_depth",),
        WATCH,
    ),
    Maintenance(
        "SELECT COUNT(*) AS __count FROM outbox WHERE NOT (failed_at IS NULL)",
        ("achievements.queue_depth",),
        WATCH,
    ),
    Maintenance("SELECT COUNT(*) AS __count FROM outbox WHERE NOT failed_at IS NULL", ADMIN, STAFF),
    Maintenance("SELECT … FROM outbox WHERE NOT failed_at IS NULL ORDER BY id ASC", ADMIN, STAFF),
    Maintenance(
        "SELECT … FROM outbox WHERE (NOT failed_at IS NULL AND id = ?) LIMIT ?", ADMIN, STAFF
    ),
    Maintenance(
        "UPDATE outbox SET failed_at = NULL, error = ? WHERE (NOT failed_at IS NULL AND id IN (?)"
        " AND NOT failed_at IS NULL) ORDER BY id ASC",
        ADMIN,
        STAFF,
    ),
)

# Everything of a table, in slices of users; refused where something shards the database.
MAINTENANCE += tuple(
    Maintenance(
        shape,
        (f"achievements.{module}",),
        f"repartition {reason}",
        is_usual_only=True,
        is_count="COUNT(*)" in shape,
    )
    for shape, module, reason in (
        (
            "SELECT … FROM {table} WHERE user_id > ? ORDER BY user_id LIMIT ?",
            "shadow_rows",
            "walks a table",
        ),
        (
            "SELECT … FROM {table} WHERE user_id > ? ORDER BY user_id LIMIT ? OFFSET ?",
            "shadow_rows",
            "cuts it into slices",
        ),
        (
            "SELECT COUNT(*), COALESCE(SUM(CAST(CONV(LEFT(MD5(CONCAT_WS(?, {values})), ?), ?, ?)"
            " AS UNSIGNED)), ?) FROM {table} WHERE user_id > ? AND user_id <= ?",
            "shadow_rows",
            "compares a slice with its copy",
        ),
        (
            "INSERT IGNORE INTO {table}__new ({columns}) SELECT … FROM JSON_TABLE(?,"
            " ? COLUMNS(id BIGINT PATH ?)) AS k STRAIGHT_JOIN {table} AS t ON t.user_id = k.id"
            " FOR SHARE",
            "shadow_rows",
            "copies a slice",
        ),
        (
            "INSERT INTO {table}__trial ({columns}) SELECT … FROM {table} LIMIT ?",
            "repartition_trial",
            "tries it on a few rows",
        ),
        (
            "SELECT COUNT(*) FROM (SELECT ? FROM {table} LIMIT ?) AS counted",
            "repartition_plan",
            "counts up to a limit",
        ),
    )
)

# Reads more rows than it returns, of its users alone: why these are few.
HELD = "a user holds a row a level of the catalogue at most"
BOUNDED: dict[str, str] = {
    "SELECT … FROM user_achievements WHERE user_id IN (?) AND NOT revoked_at IS NULL": HELD,
    "SELECT … FROM user_achievements WHERE (revoked_at IS NULL AND test_result_id = ?"
    " AND user_id = ?)": HELD,
    "SELECT user_id AS user_id, MAX(sequence) AS newest FROM notifications WHERE user_id IN (?)"
    " GROUP BY ? ORDER BY NULL": "entries of the primary key, one an unlock",
}
