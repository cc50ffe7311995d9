"""Named exceptions: statements that look beyond named users, or read more than they return.

The key is the shape as the report of a failed run prints it. `is_usual_only` marks what is sent
only where nothing is sharded.
"""

from typing import NamedTuple


class Maintenance(NamedTuple):
    shape: str
    reason: str
    is_usual_only: bool = False


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
        "SELECT … FROM outbox WHERE (failed_at < ? AND id > ?) ORDER BY 1 ASC LIMIT ?",
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

# Reads more rows than it returns, of its users alone: why these are few.
HELD = "a user holds a row a level of the catalogue at most"
BOUNDED: dict[str, str] = {
    "SELECT … FROM user_achievements WHERE user_id IN (?) AND NOT revoked_at IS NULL": HELD,
    "SELECT … FROM user_achievements WHERE (revoked_at IS NULL AND test_result_id = ?"
    " AND user_id = ?)": HELD,
    "SELECT user_id AS user_id, MAX(sequence) AS newest FROM notifications WHERE user_id IN (?)"
    " GROUP BY ? ORDER BY NULL": "entries of the primary key, one an unlock",
}
