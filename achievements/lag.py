"""How far behind the consumers are (transports floor): in events and in seconds."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition

from achievements import metrics
from achievements.topics import CONSUMER_GROUP, EVENTS_TOPIC, make_admin_settings

TIMEOUT_SECONDS: Final = 10.0
GAUGE_TIMEOUT_SECONDS: Final = 0.5


def measure_lag(
    consumer: Consumer,
    applied: Mapping[int, int],
    newest_at: Mapping[int, float],
    *,
    is_paused: bool = False,
) -> None:
    """Set the gauges of this process's partitions.

    `applied` is the offset up to which a partition is applied: what was only fetched still
    waits. `newest_at` says when the newest applied message was published; the lag in seconds
    is its age while something waits behind it.
    """
    try:
        assigned = consumer.assignment()
        # Where nothing has come since the assignment, only the group knows how far it is.
        unknown = [p for p in assigned if p.partition not in applied]
        done = {p.partition: p.offset for p in _read_committed(consumer, unknown)} | dict(applied)
        for one in assigned:
            # Each fetch tells the end of its partition; a paused one has to be asked for.
            low, high = consumer.get_watermark_offsets(
                one, timeout=GAUGE_TIMEOUT_SECONDS, cached=not is_paused
            )
            if high >= 0:
                _set_lag(one.partition, high - max(low, done[one.partition]), newest_at)
    except KafkaException:
        return  # between two assignments, or the cluster is away: the next time


def _read_committed(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
    return consumer.committed(partitions, timeout=GAUGE_TIMEOUT_SECONDS) if partitions else []


def _set_lag(partition: int, lag: int, newest_at: Mapping[int, float]) -> None:
    name, at = str(partition), newest_at.get(partition)
    metrics.LAG_EVENTS.labels(name).set(max(0, lag))
    metrics.LAG_SECONDS.labels(name).set(max(0.0, time.time() - at) if lag > 0 and at else 0)


def forget_lag(partitions: Iterable[int]) -> None:
    """Another process reports these partitions now."""
    for number in partitions:
        for gauge in (metrics.LAG_EVENTS, metrics.LAG_SECONDS):
            with suppress(KeyError):
                gauge.remove(str(number))


def read_lag(group: str = CONSUMER_GROUP) -> list[dict[str, Any]]:
    """Ask the cluster: per partition the end, what is committed, the lag in events and seconds.

    The seconds are the age of the oldest message that is not committed. Raises
    KafkaException when the cluster does not answer.
    """
    reader = Consumer(
        {
            **make_admin_settings(),
            "group.id": group,
            "enable.auto.commit": False,
            "fetch.message.max.bytes": 32_768,  # one message of each partition is enough
        }
    )
    try:
        topic = reader.list_topics(EVENTS_TOPIC, timeout=TIMEOUT_SECONDS).topics[EVENTS_TOPIC]
        partitions = [TopicPartition(EVENTS_TOPIC, number) for number in sorted(topic.partitions)]
        rows = []
        for committed in reader.committed(partitions, timeout=TIMEOUT_SECONDS):
            low, high = reader.get_watermark_offsets(committed, timeout=TIMEOUT_SECONDS)
            done = low if committed.offset == OFFSET_INVALID else max(low, committed.offset)
            rows.append(
                {
                    "partition": committed.partition,
                    "end": high,
                    "committed": None if committed.offset == OFFSET_INVALID else committed.offset,
                    "lagEvents": max(0, high - done),
                    "lagSeconds": 0.0,
                }
            )
        _add_seconds(reader, rows)
        return rows
    finally:
        reader.close()


def _add_seconds(reader: Consumer, rows: list[dict[str, Any]]) -> None:
    """Read the first message that waits in each partition that lags."""
    waiting = {row["partition"]: row for row in rows if row["lagEvents"]}
    if not waiting:
        return
    reader.assign(
        [
            TopicPartition(EVENTS_TOPIC, number, row["end"] - row["lagEvents"])
            for number, row in waiting.items()
        ]
    )
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while waiting and time.monotonic() < deadline:
        message = reader.poll(0.5)
        if message is None or message.error():
            continue
        row = waiting.pop(message.partition() or 0, None)
        if row is not None:
            row["lagSeconds"] = round(max(0.0, time.time() - message.timestamp()[1] / 1000), 3)
            reader.incremental_unassign([TopicPartition(EVENTS_TOPIC, row["partition"])])
