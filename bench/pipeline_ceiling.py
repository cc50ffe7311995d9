"""The ceiling: the bare SQL of the engine's batches, two processes, outcomes known beforehand.

No topic, no decoding, no rules: a locked read, the upsert of the very rows that the engine
would write, the unlocks and notifications, a commit. The fastest statements known are used.
"""

import multiprocessing
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection

from bench.bare_sql import NOTIFICATIONS, UNLOCKS, connect
from bench.pipeline_users import Taken

PROCESSES: Final = 2
BATCH_EVENTS: Final = 500


class Batch:
    """What is written for one batch; every user occurs once."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[int, bytes]] = {}
        self.unlocks: list[tuple[Any, ...]] = []
        self.notifications: list[tuple[Any, ...]] = []

    def add(self, event: Taken, now: datetime) -> None:
        link = event.link
        self.rows[event.user_id] = event.position + 2, link.row
        for number, unlock in enumerate(link.unlocks):
            place = event.user_id, unlock.achievement_id, unlock.level
            self.unlocks.append((*place, now, link.test_id, 1))
            sequence = link.notified - len(link.unlocks) + number + 1
            self.notifications.append((event.user_id, sequence, *place[1:], now))


def measure_ceiling(events: Iterable[Taken]) -> float:
    """Write what these events lead to, two processes at a time; return events a second."""
    now = datetime.now(UTC).replace(tzinfo=None)
    shares: list[list[Batch]] = [[Batch()] for _ in range(PROCESSES)]
    sizes = [0] * PROCESSES
    count = 0
    for event in events:
        # As the partitions of the topic do: a user belongs to one process.
        number = event.user_id % PROCESSES
        if sizes[number] == BATCH_EVENTS:
            shares[number].append(Batch())
            sizes[number] = 0
        shares[number][-1].add(event, now)
        sizes[number] += 1
        count += 1
    connection.close()  # its socket must not be shared with those that are forked
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(PROCESSES + 1)
    processes = [
        context.Process(target=_write_share, args=(share, barrier), daemon=True) for share in shares
    ]
    for process in processes:
        process.start()
    barrier.wait(60)
    started = time.monotonic()
    for process in processes:
        process.join()
        assert process.exitcode == 0, "A process of the ceiling failed."
    return count / (time.monotonic() - started)


def _write_share(share: list[Batch], barrier: Any) -> None:
    database = connect()
    barrier.wait(60)
    for batch in share:
        _write_batch(database, batch)
    database.close()


def _write_batch(database: Any, batch: Batch) -> None:
    user_ids = sorted(batch.rows)
    cursor = database.cursor()
    cursor.execute(
        "SELECT user_id, revision, state FROM user_progress"
        f" WHERE user_id IN ({','.join(map(str, user_ids))}) FOR UPDATE"
    )
    cursor.fetchall()
    rows = (
        f"({user_id},{batch.rows[user_id][0]},x'{batch.rows[user_id][1].hex()}')"
        for user_id in user_ids
    )
    cursor.execute(
        f"INSERT INTO user_progress (user_id, revision, state) VALUES {','.join(rows)}"
        " ON DUPLICATE KEY UPDATE revision = VALUES(revision), state = VALUES(state)"
    )
    if batch.unlocks:
        cursor.executemany(UNLOCKS, batch.unlocks)
        cursor.executemany(NOTIFICATIONS, batch.notifications)
    cursor.close()
    database.commit()
