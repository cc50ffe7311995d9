"""The producer: what it says was acknowledged is on the topic, in order, whatever happens."""

import os
import signal
import time
from threading import Thread

import pytest

from achievements.errors import NotDurable
from achievements.producer import EventProducer, Record, publish_events
from achievements.topics import EVENTS_TOPIC, make_key, make_producer_settings
from deploy.local.process import find_free_port
from tests.factories import make_event, new_user
from tests.faults.fleet import read_events, read_topic
from tests.faults.mock_errors import MESSAGE_TOO_LARGE, REQUEST_TIMED_OUT, push_errors

pytestmark = pytest.mark.real


def make_records(count: int, *, key: bytes = b"7") -> list[Record]:
    return [Record(EVENTS_TOPIC, key, b"%d" % n, [("n", str(n))]) for n in range(count)]


@pytest.fixture
def away(settings) -> None:
    """No cluster answers at this address."""
    settings.KAFKA_BOOTSTRAP_SERVERS = f"127.0.0.1:{find_free_port()}"


def test_events_keep_key_format_and_order(any_kafka) -> None:
    user = new_user()
    events = [make_event(user, n, wpm=50.0 + n) for n in range(1, 40)]
    publish_events(events)
    assert read_events() == events
    messages = read_topic()
    assert {m.key() for m in messages} == {b"%d" % user}
    assert len({m.partition() for m in messages}) == 1


def test_nothing_is_sent_without_every_replica_and_a_sequence() -> None:
    chosen = make_producer_settings(timeout_seconds=5)
    assert (chosen["acks"], chosen["enable.idempotence"]) == ("all", True)
    assert make_key(2**63 - 1) == b"9223372036854775807"


def test_headers_arrive(any_kafka) -> None:
    producer = EventProducer()
    assert producer.publish(make_records(3)) == [True] * 3
    assert [m.headers() for m in read_topic()] == [[("n", b"0")], [("n", b"1")], [("n", b"2")]]
    producer.close()


def test_no_records_ask_for_nothing() -> None:
    assert EventProducer().publish([]) == []


def test_more_than_the_client_holds_at_a_time(any_kafka, monkeypatch) -> None:
    small = {**make_producer_settings(timeout_seconds=20), "queue.buffering.max.messages": 100}
    monkeypatch.setattr("achievements.producer.make_producer_settings", lambda **_: small)
    producer = EventProducer(timeout_seconds=20)
    assert all(producer.publish(make_records(2_000)))
    assert [m.value() for m in read_topic()] == [b"%d" % n for n in range(2_000)]


def test_one_that_is_too_large_keeps_none_behind_it(any_kafka) -> None:
    records = make_records(3)
    records[1] = records[1]._replace(value=b"x" * 1_100_000)
    producer = EventProducer()
    assert producer.publish(records) == [True, False, True]
    assert producer.publish(make_records(1)) == [True]


def test_a_cluster_that_is_away_is_told_in_time(away) -> None:
    producer = EventProducer(timeout_seconds=1)
    began = time.monotonic()
    assert producer.publish(make_records(5)) == [False] * 5
    assert time.monotonic() - began < 5  # unbounded by us, it would be the usual five and one
    with pytest.raises(NotDurable, match="2 of 2"):
        publish_events_in_a_hurry([make_event(1, 1), make_event(1, 2)])


def publish_events_in_a_hurry(events) -> None:
    from achievements import producer

    usual, producer._requests = producer._requests, EventProducer(timeout_seconds=1)
    try:
        publish_events(events)
    finally:
        producer._requests = usual


def test_a_refused_report_is_told_and_the_next_goes_through(mock_kafka) -> None:
    producer = EventProducer()
    assert all(producer.publish(make_records(1)))
    push_errors(mock_kafka, MESSAGE_TOO_LARGE)
    assert producer.publish(make_records(3)) == [False] * 3
    assert producer.publish(make_records(3)) == [True] * 3


def test_what_is_worth_a_retry_is_retried_in_order_and_once(mock_kafka) -> None:
    producer = EventProducer()
    push_errors(mock_kafka, *[REQUEST_TIMED_OUT] * 3)
    assert all(producer.publish(make_records(50)))
    assert [m.value() for m in read_topic()] == [b"%d" % n for n in range(50)]


def test_a_child_process_gets_a_producer_of_its_own(any_kafka) -> None:
    producer = EventProducer()
    assert all(producer.publish(make_records(2)))
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if all(producer.publish(make_records(3))) else 2
            producer.close()
        finally:
            os._exit(code)
    deadline = time.monotonic() + 15
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(done[1]) == 0
    assert all(producer.publish(make_records(1)))
    assert len(read_topic()) == 6


def test_many_threads_share_one_producer(any_kafka) -> None:
    producer = EventProducer()
    producer.publish(make_records(1))
    outcomes: list[bool] = []
    began = time.monotonic()

    def post(number: int) -> None:
        for _ in range(25):
            outcomes.extend(producer.publish(make_records(4, key=b"%d" % number)))

    threads = [Thread(target=post, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outcomes == [True] * 800
    assert time.monotonic() - began < 10  # nobody waited for a report that another one took
