"""Sending dead letters to their topic again (transports floor), once their cause is mended."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from achievements.dead_letters import read_headers
from achievements.errors import AchievementsError
from achievements.producer import EventProducer, Record
from achievements.topics import DEAD_LETTERS_TOPIC, EVENTS_TOPIC, make_admin_settings

TIMEOUT_SECONDS: Final = 10.0
STORY: Final = "dlq."


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which dead letters to take; None takes all."""

    reason: re.Pattern[str] | None = None
    partition: int | None = None  # of the original message
    since_ms: int | None = None  # published there at or after

    def takes(self, letter: "StoredLetter") -> bool:
        return (
            (self.reason is None or bool(self.reason.search(letter.reason)))
            and self.partition in (None, letter.partition)
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
        )


class ReplayFailed(AchievementsError):
    """Kafka went away before all letters were read or sent."""


class StoredLetter(NamedTuple):
    """A dead letter as the topic holds it, with its story read back."""

    message: Message
    reason: str
    partition: int
    offset: int
    timestamp_ms: int
    is_truncated: bool


def count_letters() -> int:
    """Return how many messages the topic of dead letters holds now."""
    reader = _open()
    try:
        return sum(end - start for start, end in _read_ranges(reader).values())
    finally:
        reader.close()


def read_letters() -> Iterator[StoredLetter]:
    """Yield every dead letter that the topic holds at the call. Raises ReplayFailed."""
    reader = _open()
    try:
        left = {n: end for n, (start, end) in _read_ranges(reader).items() if end > start}
        reader.assign([TopicPartition(DEAD_LETTERS_TOPIC, n, OFFSET_BEGINNING) for n in left])
        while left:
            message = reader.poll(TIMEOUT_SECONDS)
            if message is None:
                raise ReplayFailed(f"Kafka fell silent with {len(left)} partitions unread")
            if message.error():
                continue
            number, offset = message.partition() or 0, message.offset() or 0
            if number in left and offset < left[number]:
                yield _read_story(message)
            if number in left and offset >= left[number] - 1:
                del left[number]
    finally:
        reader.close()


def replay_letters(producer: EventProducer, letters: Sequence[StoredLetter]) -> None:
    """Send letters to the events topic as they were. Raises ReplayFailed."""
    acknowledged = producer.publish([_restore(letter.message) for letter in letters])
    if not all(acknowledged):
        raise ReplayFailed(f"{acknowledged.count(False)} letters were not acknowledged")


def _restore(message: Message) -> Record:
    kept = [(name, content) for name, content in read_headers(message) if name[:4] != STORY]
    return Record(EVENTS_TOPIC, message.key(), message.value(), kept)


def _open() -> Consumer:
    return Consumer(
        {**make_admin_settings(), "group.id": "achievement-replay", "enable.auto.commit": False}
    )


def _read_ranges(reader: Consumer) -> dict[int, tuple[int, int]]:
    topic = reader.list_topics(DEAD_LETTERS_TOPIC, timeout=TIMEOUT_SECONDS)
    numbers = topic.topics[DEAD_LETTERS_TOPIC].partitions
    return {
        number: reader.get_watermark_offsets(
            TopicPartition(DEAD_LETTERS_TOPIC, number), timeout=TIMEOUT_SECONDS
        )
        for number in numbers
    }


def _read_story(message: Message) -> StoredLetter:
    story = {
        name: content.decode(errors="replace") if isinstance(content, bytes) else str(content)
        for name, content in read_headers(message)
        if name.startswith(STORY)
    }
    return StoredLetter(
        message,
        story.get("dlq.reason", ""),
        int(story.get("dlq.partition", -1)),
        int(story.get("dlq.offset", -1)),
        int(story.get("dlq.timestamp", 0)),
        "dlq.truncated" in story,
    )
