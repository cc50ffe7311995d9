import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from achievements.topics import DEAD_LETTERS_TOPIC, EVENTS_PARTITIONS, EVENTS_TOPIC
from deploy.local.kafka import Kafka
from deploy.local.process import StartError
from tests.deploy.test_servers import can_connect, wait_until_gone
from tests.kafka import MockCluster

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.kafka


def publish(
    server: Kafka | MockCluster, values: list[bytes], *, timeout_seconds: float = 20
) -> int:
    """How many of the values the broker has acknowledged."""
    from confluent_kafka import Producer

    acknowledged: list[bool] = []
    producer = Producer(
        {
            "bootstrap.servers": server.bootstrap_servers,
            "enable.idempotence": True,
            "message.timeout.ms": int(timeout_seconds * 1000),
            "log_level": 0,
        }
    )
    for value in values:
        producer.produce(
            EVENTS_TOPIC,
            key=value,
            value=value,
            on_delivery=lambda error, _: acknowledged.append(error is None),
        )
    producer.flush(timeout_seconds + 1)
    return acknowledged.count(True)


def read_all(server: Kafka, *, timeout_seconds: float = 30) -> list[bytes | None]:
    """Everything between the first and the last offset of every partition."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap_servers,
            "group.id": "read-all",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    partitions = [TopicPartition(EVENTS_TOPIC, number) for number in range(EVENTS_PARTITIONS)]
    ranges = [consumer.get_watermark_offsets(partition, timeout=10) for partition in partitions]
    wanted = sum(high - low for low, high in ranges)
    for partition, (low, _) in zip(partitions, ranges, strict=True):
        partition.offset = low
    consumer.assign(partitions)
    values: list[bytes | None] = []
    deadline = time.monotonic() + timeout_seconds
    while len(values) < wanted and time.monotonic() < deadline:
        values += [message.value() for message in consumer.consume(1000, timeout=0.2)]
    consumer.close()
    return values


def test_the_topics_are_those_that_the_site_uses(kafka: Kafka) -> None:
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    topics = client.list_topics(timeout=10).topics
    assert len(topics[EVENTS_TOPIC].partitions) == EVENTS_PARTITIONS == 50
    assert DEAD_LETTERS_TOPIC in topics
    # A misspelt topic must not come into being.
    assert client.list_topics("misspelt", timeout=10).topics["misspelt"].error is not None


@pytest.mark.parametrize("end", [Kafka.kill, Kafka.stop])
def test_what_was_acknowledged_outlives_the_end_of_the_broker(kafka: Kafka, end) -> None:
    values = [b"%d" % number for number in range(20_000)]
    address = kafka.bootstrap_servers
    assert publish(kafka, values) == len(values)
    end(kafka)
    assert not kafka.is_running
    assert not can_connect(kafka.port)
    kafka.start()
    assert kafka.bootstrap_servers == address
    assert Counter(read_all(kafka)) == Counter(values)


def test_killed_while_it_is_written_to_it_keeps_what_it_acknowledged(kafka: Kafka) -> None:
    from confluent_kafka import Producer

    acknowledged: list[bytes] = []
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "enable.idempotence": True,
            "linger.ms": 1,
            "log_level": 0,
        }
    )

    def report(error: object, message) -> None:
        if error is None:
            acknowledged.append(message.value())

    values = [b"%d" % number for number in range(30_000)]
    for position, value in enumerate(values):
        producer.produce(EVENTS_TOPIC, key=value, value=value, on_delivery=report)
        producer.poll(0)
        if position == len(values) // 2:
            kafka.kill()
            kafka.start()
    assert producer.flush(60) == 0
    assert sorted(acknowledged) == sorted(values)
    assert Counter(read_all(kafka)) == Counter(values)  # none lost, and none twice


def test_a_paused_broker_acknowledges_nothing_until_it_goes_on(kafka: Kafka) -> None:
    kafka.pause()
    assert publish(kafka, [b"1"], timeout_seconds=2) == 0
    kafka.resume()
    assert publish(kafka, [b"2"]) == 1


def test_a_test_begins_with_empty_topics(kafka: Kafka) -> None:
    assert publish(kafka, [b"1", b"2", b"3"]) == 3
    kafka.empty_topics()
    assert read_all(kafka) == []
    kafka.kill()
    kafka.start()
    assert read_all(kafka) == []


def test_killing_the_parent_leaves_no_broker() -> None:
    program = (
        "import time\n"
        "from deploy.local.kafka import Kafka\n"
        "with Kafka(topics={}) as kafka:\n"
        "    print(kafka.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_until_gone(pid)


def test_the_command_line_names_the_broker_in_the_environment() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "deploy.local", "kafka", "--"),
            *("sh", "-c", "echo $KAFKA_BOOTSTRAP_SERVERS"),
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    host, _, port = done.stdout.strip().rpartition(":")
    assert host == "127.0.0.1"
    assert not can_connect(int(port))


def test_a_wrong_option_is_reported_with_the_brokers_own_words() -> None:
    with pytest.raises(StartError, match=r"num\.io\.threads"), Kafka({"num.io.threads": "many"}):
        pass
