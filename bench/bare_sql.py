"""Baseline: the bare statements of a batch whose outcome is known beforehand; no logic at all.

The same driver and server as the engine: a locked read of as many rows, an upsert of states
of the same sizes, as many unlocks and notifications, a commit.
"""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import MySQLdb
from django.db import connection

UPSERT: Final = (
    "INSERT INTO user_progress (user_id, revision, state) VALUES (%s, %s, %s)"
    " ON DUPLICATE KEY UPDATE revision = VALUES(revision), state = VALUES(state)"
)
UNLOCKS: Final = (
    "INSERT INTO user_achievements (user_id, achievement_id, level, unlocked_at, test_result_id,"
    " rulebook_version) VALUES (%s, %s, %s, %s, %s, %s)"
)
NOTIFICATIONS: Final = (
    "INSERT INTO notifications (user_id, sequence, achievement_id, level, created_at)"
    " VALUES (%s, %s, %s, %s, %s)"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the engine would write for one batch."""

    user_ids: list[int]  # ascending
    rows: list[tuple[int, int, bytes]]
    unlocks: list[tuple[int, int, int, datetime, int, int]]
    notifications: list[tuple[int, int, int, int, datetime]]


def connect() -> Any:
    """Return a connection of the driver itself, set up as Django's is."""
    return MySQLdb.connect(**connection.get_connection_params())


def write_outcomes(database: Any, outcomes: list[Outcome]) -> float:
    """Write the batches and return the seconds that it took."""
    started = time.perf_counter()
    for outcome in outcomes:
        cursor = database.cursor()
        cursor.execute(
            "SELECT user_id, revision, state FROM user_progress"
            f" WHERE user_id IN ({','.join(map(str, outcome.user_ids))}) FOR UPDATE"
        )
        cursor.fetchall()
        cursor.executemany(UPSERT, outcome.rows)
        if outcome.unlocks:
            cursor.executemany(UNLOCKS, outcome.unlocks)
            cursor.executemany(NOTIFICATIONS, outcome.notifications)
        cursor.close()
        database.commit()
    return time.perf_counter() - started
