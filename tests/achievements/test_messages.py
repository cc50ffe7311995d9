"""Messages of Kafka: the time that one gives its event, and the client's own troubles."""

import time
from datetime import UTC, datetime

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from achievements.events import Event, EventError, encode_event
from achievements.messages import decode_message, is_readable, place_of
from achievements.topics import EVENTS_TOPIC
from tests.factories import make_event


def as_message(event: Event | bytes, *, milliseconds: int = 0) -> Message:
    value = event if isinstance(event, bytes) else encode_event(event)
    return Message(
        topic=EVENTS_TOPIC, partition=3, offset=41, value=value, timestamp=(1, milliseconds)
    )


@pytest.mark.parametrize(
    ("milliseconds", "is_believed"),
    [
        (1_772_452_800_123, True),
        (0, False),
        (1, False),  # 1970: before there were tests
        (4_102_444_800_000, False),  # tomorrow is nobody's past
        (2**62, False),  # no year at all
    ],
)
def test_the_time_of_an_event_without_one(milliseconds: int, is_believed: bool) -> None:
    body = b'{"userId":1,"testResultId":2,"eventType":"test_completed","metrics":{"wpm":50}}'
    event = decode_message(as_message(body, milliseconds=milliseconds))
    assert event.occurred_at is not None
    if is_believed:
        assert event.occurred_at == datetime.fromtimestamp(milliseconds / 1000, UTC)
    else:
        assert abs((event.occurred_at - datetime.now(UTC)).total_seconds()) < 5


def test_a_sender_whose_clock_is_a_day_ahead_is_refused() -> None:
    """It says so twice: in the event and in the message."""
    tomorrow = datetime.fromtimestamp(time.time() + 86_400, UTC)
    event = make_event(1, 1, at=tomorrow)
    with pytest.raises(EventError, match="5 minutes ahead"):
        decode_message(as_message(event, milliseconds=int(tomorrow.timestamp() * 1000)))


def test_a_message_of_the_topic_is_readable_and_has_a_place() -> None:
    message = as_message(b"{")
    assert is_readable(message)
    assert place_of(message) == (3, 41)


@pytest.mark.parametrize(
    "error",
    [
        KafkaError(KafkaError._PARTITION_EOF),
        KafkaError(KafkaError._ALL_BROKERS_DOWN),
        KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART),
        KafkaError(KafkaError._TRANSPORT, "away", False, True),
    ],
)
def test_what_passes_by_itself_is_stepped_over(error: KafkaError) -> None:
    assert not is_readable(Message(error=error))


def test_what_only_a_restart_mends_is_raised() -> None:
    with pytest.raises(KafkaException, match="fenced"):
        is_readable(Message(error=KafkaError(KafkaError.FENCED_INSTANCE_ID, "fenced", True)))
