"""Kafka's side of the site for tests: events in, workers as threads or processes, what is left.

A group's static members stay in it until their session ends, so every test has a group of its own.
"""

import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from django.conf import settings
from django.db import connection

from achievements.consumer import ConsumerOptions, EventConsumer
from achievements.dead_letters import read_headers
from achievements.events import Event, encode_event
from achievements.lag import read_lag
from achievements.producer import EventProducer, Record
from achievements.topics import DEAD_LETTERS_TOPIC, EVENTS_TOPIC, make_key
from deploy.local.process import LocalProcess

ROOT = Path(__file__).resolve().parents[2]
SESSION_SECONDS = 6


def new_group() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


def wait_until(
    is_done: Callable[[], object], *, seconds: float = 30, say: Callable[[], object] = lambda: ""
) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, say()
        time.sleep(0.05)


def publish(events: Iterable[Event | bytes], *, is_keyed: bool = True) -> None:
    """Publish events, or bytes as they are; every one is acknowledged."""
    publish_records(
        Record(EVENTS_TOPIC, b"bad", event)
        if isinstance(event, bytes)
        else Record(
            EVENTS_TOPIC,
            make_key(event.user_id) if is_keyed else os.urandom(4),
            encode_event(event),
        )
        for event in events
    )


def publish_records(records: Iterable[Record]) -> None:
    producer = EventProducer(timeout_seconds=20)
    assert all(producer.publish(list(records)))
    producer.close()


def publish_to(partition: int, values: Iterable[bytes], *, key: bytes | None = None) -> None:
    """Publish to a partition that the test chooses."""
    producer = Producer({"bootstrap.servers": settings.KAFKA_BOOTSTRAP_SERVERS, "log_level": 0})
    for value in values:
        producer.produce(EVENTS_TOPIC, key=key, value=value, partition=partition)
    assert producer.flush(20) == 0


def read_topic(topic: str = EVENTS_TOPIC, *, seconds: float = 20) -> list[Message]:
    """Return everything that a topic holds, in the order of each partition."""
    reader = Consumer(
        {
            "bootstrap.servers": settings.KAFKA_BOOTSTRAP_SERVERS,
            "group.id": new_group(),
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    numbers = reader.list_topics(topic, timeout=10).topics[topic].partitions
    ranges = {
        n: reader.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in numbers
    }
    reader.assign([TopicPartition(topic, n, low) for n, (low, _) in ranges.items()])
    wanted = sum(high - low for low, high in ranges.values())
    messages: list[Message] = []
    deadline = time.monotonic() + seconds
    while len(messages) < wanted:
        assert time.monotonic() < deadline, f"{len(messages)} of {wanted} messages"
        messages += [m for m in reader.consume(1000, timeout=0.2) if not m.error()]
    reader.close()
    return messages


def read_events() -> list[Event]:
    return [msgspec.json.decode(m.value() or b"", type=Event) for m in read_topic()]


def read_dead_letters() -> list[dict[str, Any]]:
    """Return dead letters as their headers, with `key` and `value`."""
    return [
        {
            **{name: _read_text(content) for name, content in read_headers(m)},
            "key": m.key(),
            "value": m.value(),
        }
        for m in read_topic(DEAD_LETTERS_TOPIC)
    ]


def _read_text(content: object) -> str:
    return content.decode() if isinstance(content, bytes) else str(content)


def count_lag(group: str) -> int:
    return sum(row["lagEvents"] for row in read_lag(group))


def read_committed(group: str) -> dict[int, int]:
    return {r["partition"]: r["committed"] for r in read_lag(group) if r["committed"] is not None}


def wait_for_drain(group: str, *, seconds: float = 30) -> None:
    def is_drained() -> bool:
        try:
            return count_lag(group) == 0
        except KafkaException:
            return False  # the broker has only just started to look after groups

    wait_until(is_drained, seconds=seconds, say=lambda: count_lag(group))


def check_offsets(group: str) -> None:
    """I6: nothing is committed beyond the end, and every partition with events is at its end."""
    ends: dict[int, int] = {}
    for message in read_topic(EVENTS_TOPIC):
        partition, offset = message.partition() or 0, message.offset() or 0
        ends[partition] = max(ends.get(partition, 0), offset + 1)
    assert read_committed(group) == ends


class WatchedConsumer(EventConsumer):
    """Tells its partitions: a client that is asked from outside waits for its every consume()."""

    partitions: set[int] = set()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        super()._on_assign(consumer, partitions)
        self.partitions = self.partitions | {p.partition for p in partitions}

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        super()._on_revoke(consumer, partitions)
        self.partitions = self.partitions - {p.partition for p in partitions}


class ConsumerThread:
    """A consumer inside this process: quick to start, and open to the test's eyes."""

    def __init__(self, group: str, instance: str = "one", **options: Any) -> None:
        self.stop = Flag()
        self.consumer = WatchedConsumer(
            ConsumerOptions(
                instance=instance, group=group, **{"session_seconds": SESSION_SECONDS, **options}
            ),
            self.stop,
        )
        self.error: BaseException | None = None
        self.thread = Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.consumer.run()
        except BaseException as error:
            self.error = error
        finally:
            connection.close()

    @property
    def partitions(self) -> set[int]:
        return self.consumer.partitions

    def join(self, *, seconds: float = 25) -> None:
        self.stop.set()
        self.thread.join(seconds)
        assert not self.thread.is_alive()


@contextmanager
def consuming(group: str, instance: str = "one", **options: Any) -> Iterator[ConsumerThread]:
    """A consumer for a while; its failure is the test's unless `error` was taken away."""
    consumer = ConsumerThread(group, instance, **options)
    try:
        yield consumer
    finally:
        consumer.join()
    assert consumer.error is None, consumer.error


def drain(group: str, *, seconds: float = 30, **options: Any) -> None:
    """Consume until nothing waits."""
    with consuming(group, **options):
        wait_for_drain(group, seconds=seconds)


class Command(LocalProcess):
    """A management command as its own process on this test's database and Kafka."""

    stop_timeout_seconds = 25.0

    def __init__(self, *arguments: object, **environment: str) -> None:
        super().__init__()
        self.name = str(arguments[0])
        self.arguments = arguments
        url, _, _ = os.environ["DATABASE_URL"].rpartition("/")
        self.environment = {
            **os.environ,
            "DATABASE_URL": f"{url}/{connection.settings_dict['NAME']}",
            "EVENT_TRANSPORT": "kafka",
            "LOG_LEVEL": "INFO",
            "LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
            **environment,
        }

    def build_environment(self) -> dict[str, str]:
        return self.environment

    def build_command(self) -> list[str]:
        return [sys.executable, str(ROOT / "manage.py"), *map(str, self.arguments)]

    def is_ready(self) -> bool:
        return self.is_running

    def read_log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for(self, text: str, *, count: int = 1, seconds: float = 25) -> None:
        wait_until(
            lambda: self.read_log().count(text) >= count, seconds=seconds, say=self.read_log_end
        )

    def wait(self, *, seconds: float = 25) -> int:
        assert self.process is not None
        return self.process.wait(seconds)


def make_consumer(
    group: str, instance: str = "one", *arguments: object, **environment: str
) -> Command:
    return Command(
        "consume_achievement_events",
        *(f"--group={group}", f"--instance={instance}", f"--session-seconds={SESSION_SECONDS}"),
        *arguments,
        **environment,
    )


def count_by_key(messages: Iterable[Message]) -> Counter[bytes | None]:
    return Counter(message.key() for message in messages)
