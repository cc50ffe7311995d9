"""Statements on tables of users that look beyond named users: each with the reason why it may.

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
)
