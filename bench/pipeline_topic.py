"""The topic of events as the bench sees it: fill it, and watch how far the group has come."""

import time
from collections.abc import Iterable
from typing import Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from achievements.topics import (
    CONSUMER_GROUP,
    EVENTS_PARTITIONS,
    EVENTS_TOPIC,
    make_admin_settings,
    make_key,
    make_producer_settings,
)
from bench.pipeline_users import Taken

LOOK_SECONDS: Final = 0.1
TIMEOUT_SECONDS: Final = 10.0


class Topic:
    """What was published, and what a group has committed of it."""

    def __init__(self, group: str = CONSUMER_GROUP) -> None:
        self._reader = Consumer(
            {**make_admin_settings(), "group.id": group, "enable.auto.commit": False}
        )
        self._partitions = [TopicPartition(EVENTS_TOPIC, n) for n in range(EVENTS_PARTITIONS)]
        self.published = 0

    def close(self) -> None:
        self._reader.close()

    def fill(self, events: Iterable[Taken]) -> None:
        """Publish a backlog and wait until the cluster has acknowledged all of it."""
        producer = make_producer()
        for event in events:
            produce(producer, event)
            self.published += 1
        assert producer.flush(60) == 0, "Kafka did not take the backlog"

    def count_committed(self) -> int:
        while True:
            try:
                found = self._reader.committed(self._partitions, timeout=TIMEOUT_SECONDS)
                break
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
                time.sleep(LOOK_SECONDS)  # the coordinator is only now being made
        return sum(max(0, partition.offset) for partition in found)

    def wait_until(self, wanted: int, *, timeout_seconds: float) -> list[tuple[float, int]]:
        """Watch until so many are committed; returns (time, committed) of every look."""
        looks = [(time.monotonic(), self.count_committed())]
        while looks[-1][1] < wanted:
            if time.monotonic() > looks[0][0] + timeout_seconds:
                raise TimeoutError(f"{looks[-1][1]} of {wanted} events are committed")
            time.sleep(LOOK_SECONDS)
            committed = self.count_committed()
            looks.append((time.monotonic(), committed))
        return looks


def make_producer() -> Producer:
    return Producer(make_producer_settings(timeout_seconds=30))


def produce(producer: Producer, event: Taken) -> None:
    while True:
        try:
            producer.produce(EVENTS_TOPIC, key=make_key(event.user_id), value=event.body)
        except BufferError:
            producer.poll(0.05)
        else:
            return
