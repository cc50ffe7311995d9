"""Publishing to Kafka (transports floor): a message counts when its delivery report says so."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from achievements.errors import NotDurable
from achievements.events import Event, encode_event
from achievements.topics import EVENTS_TOPIC, make_key, make_producer_settings

REQUEST_TIMEOUT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05


Header = tuple[str, str | bytes | None]
Headers = Sequence[Header]
Report = Callable[[KafkaError | None, Message], None]


class Record(NamedTuple):
    """One message to publish."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class EventProducer:
    """An idempotent producer that waits for every delivery report.

    After a fork, and after an error that ends librdkafka's producer, a new one is made.
    """

    def __init__(self, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> None:
        self.timeout_seconds = timeout_seconds
        self._producer: Producer | None = None
        self._pid = 0
        self._inherited: list[Producer] = []

    def publish(self, records: Sequence[Record]) -> list[bool]:
        """Publish records in order; returns for each whether the cluster has acknowledged it.

        One that is not acknowledged may still have arrived: send it again, duplicates are
        recognised. Never raises for a cluster that is away.
        """
        acknowledged = [False] * len(records)
        pending = len(records)
        fatal = False

        def make_report(index: int) -> Report:
            def report(error: KafkaError | None, message: Message) -> None:
                nonlocal pending, fatal
                pending -= 1
                acknowledged[index] = error is None
                fatal = fatal or (error is not None and error.fatal())

            return report

        producer = self._get()
        deadline = time.monotonic() + self.timeout_seconds + 1
        for index, record in enumerate(records):
            try:
                _produce(producer, record, make_report(index), deadline)
            except BufferError:
                pending -= len(records) - index
                break
            except KafkaException as error:
                # One that is too large keeps none behind it; a dead client takes none at all.
                pending -= 1
                fatal = fatal or error.args[0].fatal()
        while pending > 0 and time.monotonic() < deadline:
            producer.poll(_POLL_SECONDS)
        if pending > 0 or fatal:
            self._producer = None
        return acknowledged

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(self.timeout_seconds)
            self._producer = None

    def _get(self) -> Producer:
        if self._producer is not None and self._pid != os.getpid():
            # Its threads stayed in the parent: ending it here would wait for them for ever.
            self._inherited.append(self._producer)
            self._producer = None
        if self._producer is None:
            self._producer = Producer(make_producer_settings(timeout_seconds=self.timeout_seconds))
            self._pid = os.getpid()
        return self._producer


def _produce(producer: Producer, record: Record, report: Report, deadline: float) -> None:
    """Hand a record to the client, waiting while its queue is full.

    Raises BufferError when it stays full, KafkaException when the client refuses the record.
    """
    while True:
        try:
            producer.produce(
                record.topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                on_delivery=report,
            )
            return
        except BufferError:
            if time.monotonic() > deadline:
                raise
            producer.poll(_POLL_SECONDS)


_requests = EventProducer()


def publish_events(events: Sequence[Event]) -> None:
    """Publish events; returns when all are acknowledged. Raises NotDurable otherwise."""
    records = [Record(EVENTS_TOPIC, make_key(e.user_id), encode_event(e)) for e in events]
    missing = _requests.publish(records).count(False)
    if missing:
        raise NotDurable(f"{missing} of {len(records)} events were not acknowledged by Kafka")
