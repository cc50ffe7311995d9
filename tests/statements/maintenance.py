"""Named exceptions: statements that look beyond named users, or read more than they return.

The key is the shape as the report of a failed run prints it; a * stands for anything.
`is_usual_only` marks what is sent only where nothing is sharded, `is_sum` what returns one row of
the whole slice that it reads.
"""

from fnmatch import fnmatchcase
from typing import NamedTuple


class Maintenance(NamedTuple):
    shape: str
    reason: str
    is_usual_only: bool = False
    is_sum: bool = False


def find_maintenance(shape: str) -> Maintenance | None:
    return next((named for named in MAINTENANCE if fnmatchcase(shape, named.shape)), None)


DRAIN = "who drains the outbox takes the oldest rows of every shard: one read a batch"
WATCH = "operators and pages ask how long the oldest row has waited, on any shard"
STAFF = "staff list and retry what was set aside, on any shard"

MAINTENANCE: tuple[Maintenance, ...] = (
    Maintenance(
        "SELECT … FROM user_progress WHERE user_id > ? ORDER BY 1 ASC LIMIT ?",
        "rebuild_users takes all users in slices of ids",
    ),
    Maintenance(
        "SELECT DISTINCT … FROM test_results WHERE user_id > ? ORDER BY 1 ASC LIMIT ?",
        "rebuild_users takes all users with history in slices of ids",
    ),
    Maintenance(
        "SELECT … FROM profiles ORDER BY user_id ASC LIMIT ?",
        "the front page lists who can be signed in as, in development alone",
    ),
    Maintenance(
        "SELECT DISTINCT … FROM notifications WHERE user_id > ? ORDER BY 1 ASC LIMIT ?",
        "prune takes all users with notifications in slices of ids",
    ),
    Maintenance(
        "SELECT … FROM outbox WHERE (failed_at < ? AND id > ?) ORDER BY 1 ASC LIMIT ? FOR UPDATE"
        " SKIP LOCKED",
        "prune drops what was set aside long ago, on any shard",
    ),
    Maintenance(
        "SELECT … FROM outbox WHERE failed_at IS NULL ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED",
        DRAIN,
    ),
    Maintenance(
        "SELECT … FROM outbox WHERE failed_at IS NULL ORDER BY id LIMIT ? FOR UPDATE", DRAIN
    ),
    Maintenance("SELECT … FROM outbox WHERE failed_at IS NULL ORDER BY id LIMIT ?", DRAIN),
    Maintenance(
        "DELETE o FROM JSON_TABLE(?, ? COLUMNS(id BIGINT PATH ?)) AS k STRAIGHT_JOIN outbox AS o"
        " ON o.id = k.id",
        "rows that are locked or acknowledged are deleted by their ids",
        is_usual_only=True,
    ),
    Maintenance("SELECT … FROM outbox WHERE failed_at IS NULL ORDER BY id ASC LIMIT ?", WATCH),
    Maintenance(
        "SELECT COUNT(id) AS count, MIN(created_at) AS oldest FROM outbox WHERE failed_at IS NULL",
        WATCH,
    ),
    Maintenance("SELECT COUNT(*) AS __count FROM outbox WHERE NOT (failed_at IS NULL)", WATCH),
    Maintenance("SELECT COUNT(*) AS __count FROM outbox WHERE NOT failed_at IS NULL", STAFF),
    Maintenance("SELECT … FROM outbox WHERE NOT failed_at IS NULL ORDER BY id ASC", STAFF),
    Maintenance("SELECT … FROM outbox WHERE (NOT failed_at IS NULL AND id = ?) LIMIT ?", STAFF),
    Maintenance(
        "UPDATE outbox SET failed_at = NULL, error = ? WHERE (NOT failed_at IS NULL AND id IN (?)"
        " AND NOT failed_at IS NULL) ORDER BY id ASC",
        STAFF,
    ),
)

# Everything of a table, in slices of users; refused where something shards the database.
MAINTENANCE += tuple(
    Maintenance(shape, "repartition " + reason, is_usual_only=True, is_sum=is_sum)
    for shape, reason, is_sum in (
        ("SELECT … FROM * WHERE user_id > ? ORDER BY user_id LIMIT ?", "walks a table", False),
        ("SELECT … FROM * WHERE user_id > ? ORDER BY user_id LIMIT ? OFFSET ?", "cuts it", True),
        (
            "SELECT COUNT(*), COALESCE(SUM(CAST(CONV(LEFT(MD5(* WHERE user_id > ? AND user_id <= ?",
            "compares a slice with its copy",
            True,
        ),
        ("INSERT IGNORE INTO *__new (*) SELECT * STRAIGHT_JOIN * ON t.user_id = k.id FOR SHARE",
         "copies a slice", False),
        ("INSERT INTO *__trial (*) SELECT … FROM * LIMIT ?", "tries it on a few rows", True),
        ("SELECT COUNT(*) FROM (SELECT ? FROM * LIMIT ?) AS counted", "counts up to a limit", True),
    )
)  # fmt: skip

# Reads more rows than it returns, of its users alone: why these are few.
HELD = "a user holds a row a level of the catalogue at most"
BOUNDED: dict[str, str] = {
    "SELECT … FROM user_achievements WHERE user_id IN (?) AND NOT revoked_at IS NULL": HELD,
    "SELECT … FROM user_achievements WHERE (revoked_at IS NULL AND test_result_id = ?"
    " AND user_id = ?)": HELD,
    "SELECT user_id AS user_id, MAX(sequence) AS newest FROM notifications WHERE user_id IN (?)"
    " GROUP BY ? ORDER BY NULL": "entries of the primary key, one an unlock",
}
