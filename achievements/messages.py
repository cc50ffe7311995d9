"""Messages as Kafka's client hands them over (transports floor): place, time, event or error."""

from datetime import UTC, datetime

import structlog
from confluent_kafka import KafkaError, KafkaException, Message

from achievements.events import EARLIEST, Event, decode_event

Place = tuple[int, int]  # a partition and an offset in it

logger = structlog.get_logger(__name__)


def is_readable(message: Message) -> bool:
    """Whether it is one of the topic's; the client tells its own troubles as messages too.

    Raises KafkaException for those that only a restart mends.
    """
    error = message.error()
    if error is None:
        return True
    if error.code() == KafkaError._PARTITION_EOF or error.retriable():
        return False
    # Unknown topics and all brokers away pass by themselves; the client keeps trying.
    logger.warning("kafka_error", error=str(error))
    if error.fatal():
        raise KafkaException(error)
    return False


def place_of(message: Message) -> Place:
    """Return the partition and the offset of a message that was received."""
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return partition, offset


def read_published_at(message: Message) -> float:
    """Return when it was published, in seconds since 1970, as its sender or broker tells."""
    return message.timestamp()[1] / 1000


def decode_message(message: Message) -> Event:
    """Decode a message; one without occurredAt happened when it was published."""
    # Its own time, not ours: a message that is replayed means the same as the first time. But it
    # is the sender's clock that says so, and a time that cannot be is not believed.
    at = now = datetime.now(UTC)
    milliseconds = message.timestamp()[1]
    if EARLIEST.timestamp() * 1000 <= milliseconds <= now.timestamp() * 1000:
        at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return decode_event(message.value() or b"", now=at)
