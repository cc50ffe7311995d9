"""The relay: rows in their order to Kafka, and only what was acknowledged leaves."""

import time
from statistics import median
from threading import Event as Flag
from threading import Thread

import pytest
from confluent_kafka import Consumer, TopicPartition
from django.db import connection, transaction

from achievements import metrics
from achievements.events import Event, encode_event
from achievements.models import Outbox
from achievements.outbox import record_events
from achievements.producer import EventProducer
from achievements.relay import LOCK_NAME, Relay, hold_lock
from achievements.topics import EVENTS_TOPIC
from tests.factories import make_event, new_user
from tests.faults.fleet import Command, new_group, read_events, wait_until
from tests.faults.mock_errors import MESSAGE_TOO_LARGE, push_errors

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _kafka_transport(settings) -> None:
    settings.EVENT_TRANSPORT = "kafka"


def make_stream(users: int, tests: int) -> list[Event]:
    ids = [new_user() for _ in range(users)]
    return [make_event(user, test) for test in range(1, tests + 1) for user in ids]


def check_order(sent: list[Event], published: list[Event]) -> None:
    """Each user's events are there once and in the order of their rows."""
    for user in {e.user_id for e in sent}:
        assert [e.test_result_id for e in published if e.user_id == user] == [
            e.test_result_id for e in sent if e.user_id == user
        ]


def is_drained() -> bool:
    return not Outbox.objects.exists()


class RelayThread:
    def __init__(self) -> None:
        self.stop = Flag()
        self.thread = Thread(target=self._run)

    def _run(self) -> None:
        try:
            Relay(self.stop).run()
        finally:
            connection.close()

    def __enter__(self) -> "RelayThread":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()


def test_rows_are_published_in_order_and_leave(any_kafka) -> None:
    events = make_stream(20, 60)
    for start in range(0, len(events), 100):
        record_events(events[start : start + 100])
    with RelayThread():
        wait_until(is_drained)
    check_order(events, read_events())


def test_what_was_rolled_back_is_never_published(any_kafka) -> None:
    events = make_stream(2, 2)
    with transaction.atomic():
        record_events(events[:3])
        transaction.set_rollback(True)
    record_events(events[3:])
    with RelayThread():
        wait_until(is_drained)
    assert read_events() == events[3:]


def test_rows_that_were_set_aside_stay(any_kafka) -> None:
    from django.utils import timezone

    row = Outbox.objects.create(user_id=1, event=b"{", failed_at=timezone.now())
    with RelayThread():
        record_events(make_stream(1, 1))
        wait_until(lambda: Outbox.objects.count() == 1)
    assert Outbox.objects.get() == row


def test_only_what_was_acknowledged_is_deleted(mock_kafka, monkeypatch) -> None:
    """The first request is refused: its rows stay, and go with the next round."""
    events = make_stream(40, 5)  # on each of four partitions
    record_events(events)
    refused = metrics.RELAY_FAILURES._value.get()
    relay = Relay(Flag())
    assert all(relay.producer.publish([]))
    push_errors(mock_kafka, MESSAGE_TOO_LARGE)
    monkeypatch.setattr(relay.stop, "wait", lambda seconds: False)
    assert relay.relay_batch() == len(events)
    left = list(Outbox.objects.order_by("pk"))
    assert len(left) > 0
    assert metrics.RELAY_FAILURES._value.get() - refused == len(left)
    there = read_events()
    assert len(there) == len(events) - len(left)
    kept = [bytes(row.event) for row in left]
    assert not {encode_event(e) for e in there} & set(kept)
    assert relay.relay_batch() == len(left)
    assert is_drained()
    assert relay.relay_batch() == 0
    assert sorted(map(encode_event, read_events())) == sorted(map(encode_event, events))
    relay.producer.close()


def test_one_relay_works_and_the_other_takes_over(any_kafka) -> None:
    first, second = Command("relay_outbox"), Command("relay_outbox")
    events = make_stream(5, 10)
    with first:
        wait_until(find_lock_holder)
        holder = find_lock_holder()
        with second:
            record_events(events[:25])
            wait_until(is_drained)
            assert find_lock_holder() == holder
            time.sleep(1)  # the second stands by
            first.kill()
            record_events(events[25:])
            wait_until(is_drained)
            assert find_lock_holder() not in (None, holder)
            second.stop()
            assert second.wait() == 0
    check_order(events, read_events())


def find_lock_holder() -> int | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT IS_USED_LOCK(%s)", [LOCK_NAME])
        return cursor.fetchone()[0]


def test_the_lock_is_held_by_one_connection(any_kafka) -> None:
    wait_until(hold_lock)  # the relay of another test may be leaving
    assert hold_lock()  # it stays with us
    others: list[bool] = []

    def ask() -> None:
        others.append(hold_lock())
        connection.close()

    thread = Thread(target=ask)
    thread.start()
    thread.join()
    assert others == [False]
    connection.close()  # the lock ends with the connection, when the server gets to it
    wait_until(lambda: not find_lock_holder())
    thread = Thread(target=ask)
    thread.start()
    thread.join()
    assert others == [False, True]


def test_a_connection_that_is_cut_is_made_anew(any_kafka) -> None:
    with RelayThread():
        record_events(make_stream(1, 1))
        wait_until(is_drained)
        with connection.cursor() as cursor:
            cursor.execute(f"KILL {find_lock_holder()}")
        record_events(make_stream(1, 1))
        wait_until(is_drained)
    assert len(read_events()) == 2


@pytest.mark.kafka
def test_an_idle_relay_publishes_at_once(kafka) -> None:
    """From the commit to the topic: under 200 ms by design, 1 s on any machine."""
    user = new_user()
    reader = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": new_group(),
         "fetch.wait.max.ms": 20}
    )  # fmt: skip
    reader.assign([TopicPartition(EVENTS_TOPIC, n, 0) for n in range(50)])
    delays: list[float] = []
    with RelayThread():
        for number in range(1, 13):
            began = time.monotonic()
            record_events([make_event(user, number)])
            message = reader.poll(10)
            assert message is not None
            assert message.error() is None
            delays.append(time.monotonic() - began)
            time.sleep(0.15)
    reader.close()
    waits = sorted(delays[2:])
    print(f"commit to topic: median {median(waits) * 1000:.0f} ms, worst {waits[-1] * 1000:.0f} ms")
    assert median(waits) < 1


def test_a_relay_with_nothing_to_do_does_little(any_kafka) -> None:
    relay = Command("relay_outbox")
    with relay:
        wait_until(find_lock_holder)
        for _ in range(5):  # it imports what it needs, and is quiet then
            before = read_cpu_seconds(relay.pid)
            time.sleep(2)
            if (spent := read_cpu_seconds(relay.pid) - before) < 0.2:
                break
        assert spent < 0.2


def read_cpu_seconds(pid: int) -> float:
    from pathlib import Path

    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_without_a_cluster_the_command_says_so() -> None:
    from django.core.management import CommandError, call_command

    with pytest.raises(CommandError, match="KAFKA_BOOTSTRAP_SERVERS"):
        call_command("relay_outbox")


def test_its_producer_gives_up_before_a_supervisor_does() -> None:
    from achievements.relay import PUBLISH_TIMEOUT_SECONDS

    assert EventProducer(timeout_seconds=PUBLISH_TIMEOUT_SECONDS).timeout_seconds * 2 < 25
