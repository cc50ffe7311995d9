"""The Kafka consumer (transports floor): batches to the engine, then offsets.

Offsets of a batch are committed when its transaction is, so a crash delivers it again
and the engine applies nothing twice. While the database is away the partitions are paused
and the group membership is kept alive; what the engine cannot apply becomes a dead letter.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any, Final

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from django.db import Error as DatabaseFailure  # InterfaceError is no DatabaseError
from django.db import close_old_connections, connection

from achievements import metrics
from achievements.batches import BatchApplier
from achievements.collector import rest_collector
from achievements.errors import AchievementsError, NotDurable, StaleRulebook
from achievements.failpoints import reach
from achievements.lag import forget_lag, measure_lag
from achievements.messages import is_readable, place_of, read_published_at
from achievements.offsets import OffsetLedger
from achievements.topics import CONSUMER_GROUP, EVENTS_TOPIC, make_consumer_settings

BATCH_EVENTS: Final = 100
MAX_BATCH_EVENTS: Final = 500
FILL_SECONDS: Final = 0.05
FIRST_DELAY_SECONDS: Final = 0.2
MAX_DELAY_SECONDS: Final = 5.0
LAG_EVERY_SECONDS: Final = 5.0
HEARTBEAT_EVERY_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 12.0

logger = structlog.get_logger(__name__)


class ConsumerFailed(AchievementsError):
    """Too many failures in a row: the supervisor should start the consumer again."""


@dataclass(frozen=True, kw_only=True)
class ConsumerOptions:
    """How one consumer works; sizes in events, times in seconds."""

    instance: str  # its name in the group; the same after a restart
    group: str = CONSUMER_GROUP
    batch_events: int = BATCH_EVENTS
    max_batch_events: int = MAX_BATCH_EVENTS  # up to which a batch grows while there is lag
    session_seconds: int = 20
    max_failures: int = 30
    from_beginning: bool = False
    heartbeat_file: Path | None = None


class EventConsumer:
    """Consumes `achievement-events` until told to stop."""

    def __init__(self, options: ConsumerOptions, stop: Flag) -> None:
        self.options = options
        self.stop = stop
        self.applier = BatchApplier()
        self.ledger = OffsetLedger()
        self.size = options.batch_events
        self.held: list[Message] = []  # taken from Kafka, not applied yet
        self.is_paused = False
        self.rewound: set[int] = set()  # partitions that were set to their start once
        self.lag_due = self.heartbeat_due = 0.0
        self.consumer = Consumer(
            {
                **make_consumer_settings(
                    group=options.group,
                    instance=options.instance,
                    session_seconds=options.session_seconds,
                ),
                "on_commit": self._on_commit,
            }
        )

    def run(self) -> None:
        """Work until `stop` is set, then finish the batch and leave.

        Raises ConsumerFailed after `max_failures` in a row, TooManyDeadLetters, and
        KafkaException for what a restart has to mend.
        """
        self.consumer.subscribe(
            [EVENTS_TOPIC],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        rest_collector()
        try:
            while not self.stop.is_set():
                self._beat()
                messages = self._take()
                if messages:
                    self._finish(messages)
        finally:
            self._commit_last(self.ledger.ends)
            # A static member that closes keeps its partitions until its session ends, so that
            # a restart moves nothing.
            self._close()
            self.applier.close()

    def _close(self) -> None:
        """Leave, in time also when the cluster is away: nothing that is committed depends on it."""
        closing = Thread(target=self.consumer.close, name="close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():
            logger.warning("kafka_not_left", seconds=CLOSE_SECONDS)

    def _take(self) -> list[Message]:
        """Return the next batch: larger while there is a backlog, smaller when it is gone."""
        messages = self.consumer.consume(self.size, timeout=FILL_SECONDS)
        is_full = len(messages) == self.size
        wanted = self.size * 2 if is_full else len(messages)
        self.size = min(self.options.max_batch_events, max(self.options.batch_events, wanted))
        return [message for message in messages if is_readable(message)]

    def _finish(self, messages: list[Message]) -> None:
        """Apply a batch, waiting for the database as long as that takes, and commit.

        What a rebalance takes away meanwhile leaves `held`; what still arrives joins it.
        """
        self.held = messages
        failures = 0
        while self.held:
            try:
                self.applier.apply(self.held)
                reach("consumer_before_commit")
                break
            except (DatabaseFailure, StaleRulebook, NotDurable) as error:
                failures += 1
                metrics.CONSUMER_FAILURES.inc()
                logger.warning("batch_failed", failures=failures, error=str(error))
                if failures >= self.options.max_failures:
                    raise ConsumerFailed(str(error)) from error
                self._rest(min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2**failures))
                if self.stop.is_set():
                    return  # uncommitted: the batch is delivered again
        self._resume()
        self._commit(self.held)
        self.held = []
        self.applier.finish()

    def _commit(self, messages: Sequence[Message]) -> None:
        """Note the position after each partition's last message, and commit it when it is due."""
        # Those of a partition are in its order: the last one says it for all of them.
        for message in {message.partition(): message for message in messages}.values():
            self.ledger.record(*place_of(message), published_at=read_published_at(message))
        self._commit_due()

    def _commit_due(self) -> None:
        """Commit without waiting."""
        if due := self.ledger.take_due(time.monotonic()):
            self._commit_ends(due, asynchronous=True)

    def _commit_last(self, partitions: Iterable[int]) -> None:
        """Wait for the last offsets, so that whoever comes next repeats nothing."""
        if last := self.ledger.find_ends(partitions):
            # On the way out closing waits for the answer, and knows when to give up.
            self._commit_ends(last, asynchronous=self.stop.is_set())

    def _commit_ends(self, ends: Mapping[int, int], *, asynchronous: bool) -> None:
        offsets = [TopicPartition(EVENTS_TOPIC, number, end) for number, end in ends.items()]
        try:
            if asynchronous:
                self.consumer.commit(offsets=offsets, asynchronous=True)
            else:
                self.consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            self._count_rejected(error.args[0])

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        failed = error or next((p.error for p in partitions if p.error), None)
        if failed is not None and failed.code() != KafkaError._NO_OFFSET:
            self._count_rejected(failed)
            # Those that are still ours are tried again: no further message may ever come.
            self.ledger.put_back(p.partition for p in partitions)

    def _count_rejected(self, error: Any) -> None:
        """In a rebalance. A partition's next owner gets the batch again, harmlessly."""
        metrics.REJECTED_COMMITS.inc()
        logger.info("commit_rejected", error=str(error))

    def _rest(self, seconds: float) -> None:
        """Let the database recover while the group still hears from us."""
        close_old_connections()
        connection.close()
        if not self.is_paused:
            self.consumer.pause(self.consumer.assignment())
            self.is_paused = True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.stop.is_set():
            message = self.consumer.poll(0.1)
            if message is not None and is_readable(message):
                self.held.append(message)
            self._beat()

    def _resume(self) -> None:
        if self.is_paused:
            self.consumer.resume(self.consumer.assignment())
            self.is_paused = False

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            if self.options.from_beginning and partition.partition not in self.rewound:
                partition.offset = OFFSET_BEGINNING
                self.rewound.add(partition.partition)
        consumer.incremental_assign(partitions)
        if self.is_paused:
            consumer.pause(partitions)
        logger.info("partitions_assigned", partitions=sorted(p.partition for p in partitions))

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """What is held of these partitions belongs to their next owner now."""
        gone = {p.partition for p in partitions}
        self._commit_last(self.ledger.uncommitted & gone)
        self.ledger.forget(gone)
        self.held = [m for m in self.held if place_of(m)[0] not in gone]
        forget_lag(gone)
        logger.info("partitions_revoked", partitions=sorted(gone))

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """The group took them while we were away: no commit of ours would be heard."""
        self.ledger.forget(p.partition for p in partitions)
        self._on_revoke(consumer, partitions)

    def _beat(self) -> None:
        self._commit_due()
        now = time.monotonic()
        if self.options.heartbeat_file and now >= self.heartbeat_due:
            self.heartbeat_due = now + HEARTBEAT_EVERY_SECONDS
            self.options.heartbeat_file.touch()
        if now >= self.lag_due:
            self.lag_due = now + LAG_EVERY_SECONDS
            measure_lag(
                self.consumer,
                self.ledger.ends,
                self.ledger.newest_at,
                is_paused=self.is_paused,
            )
