"""The outbox relay (transports floor): committed events go to Kafka, acknowledged ones leave.

Of several relays one works at a time, whoever holds the database's lock; the others stand
by. So a user's events are published in the order of their rows. A crash between the
acknowledgement and the deletion publishes events again, which the engine recognises.
"""

from threading import Event as Flag
from typing import Final

import structlog
from django.db import Error as DatabaseFailure  # InterfaceError is no DatabaseError
from django.db import close_old_connections, connection

from achievements import bell, metrics
from achievements.failpoints import reach
from achievements.producer import EventProducer, Record
from achievements.statements import fetch_all, is_mysql
from achievements.tables import OutboxKey, delete_outbox
from achievements.topics import EVENTS_TOPIC, make_key

BATCH_ROWS: Final = 1_000
IDLE_SECONDS: Final = 1.0
LOCK_NAME: Final = "laurel.outbox.relay"
PUBLISH_TIMEOUT_SECONDS: Final = 10.0
MAX_FAILURES: Final = 20
MAX_DELAY_SECONDS: Final = 5.0

logger = structlog.get_logger(__name__)


class RelayFailed(Exception):
    """The database failed too often in a row: the supervisor should start the relay again."""


class Relay:
    """Publishes outbox rows until told to stop."""

    def __init__(self, stop: Flag) -> None:
        self.stop = stop
        self.producer = EventProducer(timeout_seconds=PUBLISH_TIMEOUT_SECONDS)

    def run(self) -> None:
        """Relay until `stop` is set. Raises RelayFailed after 20 failures in a row."""
        failures = 0
        while not self.stop.is_set():
            try:
                published = self.relay_batch() if hold_lock() else None
            except DatabaseFailure as error:
                failures += 1
                logger.warning("relay_database_error", failures=failures, exc_info=True)
                if failures >= MAX_FAILURES:
                    raise RelayFailed(str(error)) from error
                close_old_connections()
                self.stop.wait(min(MAX_DELAY_SECONDS, 0.1 * 2**failures))
                continue
            failures = 0
            if published is None:
                self.stop.wait(IDLE_SECONDS)  # another relay has the lock
            elif published == 0:
                bell.wait(IDLE_SECONDS)
        self.producer.close()

    def relay_batch(self) -> int:
        """Publish the oldest rows and delete what was acknowledged; returns how many went.

        Kafka being away leaves the rows as they are, and costs a pause.
        """
        rows = fetch_all(
            "SELECT id, user_id, event FROM outbox WHERE failed_at IS NULL ORDER BY id LIMIT %s",
            [BATCH_ROWS],
        )
        if not rows:
            return 0
        acknowledged = self.producer.publish(
            [Record(EVENTS_TOPIC, make_key(user_id), bytes(event)) for _, user_id, event in rows]
        )
        reach("relay_after_publish")
        sent = [
            OutboxKey(row_id, user_id)
            for (row_id, user_id, _), is_sent in zip(rows, acknowledged, strict=True)
            if is_sent
        ]
        if sent:
            delete_outbox(sent)
        metrics.RELAYED.inc(len(sent))
        if len(sent) < len(rows):
            metrics.RELAY_FAILURES.inc(len(rows) - len(sent))
            logger.warning("relay_not_acknowledged", rows=len(rows) - len(sent))
            self.stop.wait(IDLE_SECONDS)
        return len(rows)


def hold_lock() -> bool:
    """Whether this connection is the one that relays; takes the lock when it is free.

    It ends with the connection, so a relay that died is followed by another one. Whoever holds
    it gets it again. A server that is read-only is no place to wait in: over a new connection
    its successor may be reached.
    """
    if not is_mysql():
        return True  # SQLite serves one machine: start one relay
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@global.read_only")
        if cursor.fetchone()[0]:
            connection.close()
            return False
        cursor.execute("SELECT GET_LOCK(%s, 0)", [LOCK_NAME])
        return bool(cursor.fetchone()[0])
