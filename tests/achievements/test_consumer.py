"""The consumer on a real Kafka: batches to the engine, then offsets, and nothing twice."""

from datetime import UTC, datetime
from itertools import product

import pytest
from confluent_kafka import Message, Producer
from django.conf import settings as django_settings

from achievements import failpoints, metrics
from achievements.consumer import MAX_BATCH_EVENTS, EventConsumer
from achievements.dead_letters import TooManyDeadLetters
from achievements.events import Event, encode_event
from achievements.failpoints import parse_failpoints
from achievements.models import Notification, UserAchievement, UserProgress
from achievements.producer import Record
from achievements.topics import EVENTS_TOPIC
from tests.factories import NOON, make_broad_catalogue, make_event, new_user
from tests.faults.fleet import (
    ConsumerThread,
    consuming,
    drain,
    new_group,
    publish,
    publish_records,
    publish_to,
    read_committed,
    read_dead_letters,
    read_topic,
    wait_for_drain,
    wait_until,
)
from tests.invariants import check_invariants

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


def make_events(users: int, tests: int) -> list[Event]:
    ids = [new_user() for _ in range(users)]
    return [
        make_event(user, test, wpm=50.0 + test * 7 % 90, accuracy=90.0 + test % 10)
        for test, user in product(range(1, tests + 1), ids)
    ]


def test_events_are_applied_once_and_offsets_follow(kafka, client) -> None:
    make_broad_catalogue()
    events, group = make_events(30, 10), new_group()
    publish(events)
    drain(group)
    check_invariants(events, client=client)
    assert sum(read_committed(group).values()) == len(events)


def test_each_event_three_times_has_one_effect(kafka) -> None:
    make_broad_catalogue()
    events, group = make_events(20, 8), new_group()
    for _ in range(3):
        publish(events)
    drain(group)
    check_invariants(events)


def test_a_restart_goes_on_where_the_offsets_are(kafka) -> None:
    make_broad_catalogue()
    events, group = make_events(10, 4), new_group()
    publish(events[:20])
    drain(group)
    duplicates = metrics.EVENTS.labels("duplicate")._value.get()
    publish(events[20:])
    drain(group)
    assert metrics.EVENTS.labels("duplicate")._value.get() == duplicates
    check_invariants(events)


def test_a_replay_from_the_beginning_changes_nothing(kafka) -> None:
    make_broad_catalogue()
    events, group = make_events(20, 10), new_group()
    publish(events)
    drain(group)
    before = list(UserProgress.objects.order_by("user_id").values_list("revision", "state"))
    told = Notification.objects.count()
    applied = metrics.EVENTS.labels("duplicate")._value.get()
    with consuming(group, from_beginning=True):
        wait_until(lambda: metrics.EVENTS.labels("duplicate")._value.get() - applied >= len(events))
    assert metrics.EVENTS.labels("duplicate")._value.get() - applied == len(events)
    assert before == list(UserProgress.objects.order_by("user_id").values_list("revision", "state"))
    assert Notification.objects.count() == told
    check_invariants(events)


def test_poison_becomes_dead_letters_and_the_rest_lands(kafka, client) -> None:
    make_broad_catalogue()
    events, group = make_events(50, 20), new_group()
    poison = {
        b"": "Not valid JSON",
        b"null": "object",
        b"\xff\xfe": "Not valid JSON",
        b"[" * 100_000: "larger than",
        b'{"a":' * 3_000: "",
        b"x" * 900_000: "larger than",
        b'{"userId":0,"testResultId":1,"eventType":"test_completed"}': "from 1 to",
        encode_event(make_event(7, 7, at=datetime(2126, 1, 1, tzinfo=UTC))): "5 minutes ahead",
    }
    publish(events[:500])
    publish_records(Record(EVENTS_TOPIC, b"bad", v, [("traceparent", b"00-1")]) for v in poison)
    publish(events[500:])
    drain(group)
    check_invariants(events, client=client)
    letters = read_dead_letters()
    by_value = {letter["value"]: letter for letter in letters}
    assert len(letters) == len(poison)
    places = {
        (m.value() or b"")[:32_768]: (str(m.partition()), str(m.offset())) for m in read_topic()
    }
    for value, reason in poison.items():
        letter = by_value[value[:32_768]]
        assert reason in letter["dlq.reason"]
        assert letter["dlq.topic"] == EVENTS_TOPIC
        assert (letter["dlq.partition"], letter["dlq.offset"]) == places[value[:32_768]]
        assert letter["key"] == b"bad"
        assert letter["traceparent"] == "00-1"
        assert ("dlq.truncated" in letter) == (len(value) > 32_768)


def test_keys_and_headers_that_fill_a_message_do_not_stop_the_worker(kafka) -> None:
    """What the cluster took as a message, it must take as a letter that tells more."""
    make_broad_catalogue()
    event, group = make_event(new_user(), 1), new_group()
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "message.max.bytes": 1_048_000}
    )
    for arguments in (
        {"value": b"{", "key": b"k" * 1_040_000},
        {"value": b"{", "headers": [("h", b"h" * 1_040_000)]},
    ):
        producer.produce(EVENTS_TOPIC, partition=0, **arguments)
    assert producer.flush(10) == 0
    publish_to(0, [encode_event(event)])
    drain(group)
    check_invariants([event])
    assert len(read_dead_letters()) == 2


def test_when_everything_is_bad_the_worker_stops_and_diverts_nothing(kafka) -> None:
    make_broad_catalogue()
    group = new_group()
    publish_to(3, [b"bad %d" % n for n in range(1_000)])
    consumer = ConsumerThread(group)
    wait_until(lambda: consumer.error)
    assert isinstance(consumer.error, TooManyDeadLetters)
    consumer.join()
    # At most a first handful that was fetched before the rest.
    diverted = len(read_dead_letters())
    assert diverted < 100
    assert read_committed(group).get(3, 0) == diverted


def test_an_event_that_makes_the_engine_fail_is_found_and_set_aside(kafka, monkeypatch) -> None:
    make_broad_catalogue()
    events, group = make_events(40, 5), new_group()
    sick = events[17].user_id
    monkeypatch.setattr(failpoints, "armed", parse_failpoints(f"apply_user@{sick}:raise"))
    publish(events)
    drain(group)
    letters = read_dead_letters()
    assert len(letters) == 5
    assert {letter["key"] for letter in letters} == {b"%d" % sick}
    assert {letter["dlq.reason"] for letter in letters} == {
        f"InjectedFault: apply_user for user {sick}"
    }
    check_invariants([e for e in events if e.user_id != sick])
    assert not UserProgress.objects.filter(user_id=sick).exists()


def test_a_message_of_the_far_future_does_not_stop_the_worker(kafka) -> None:
    make_broad_catalogue()
    event, group = make_event(new_user(), 1), new_group()
    producer = Producer({"bootstrap.servers": django_settings.KAFKA_BOOTSTRAP_SERVERS})
    producer.produce(EVENTS_TOPIC, encode_event(event), timestamp=2**62, partition=0)
    assert producer.flush(10) == 0
    drain(group)
    check_invariants([event])


def test_batches_grow_with_the_backlog_and_shrink_again(kafka, monkeypatch) -> None:
    make_broad_catalogue()
    group = new_group()
    publish(make_events(100, 40))
    sizes: list[int] = []
    take = EventConsumer._take

    def take_and_note(consumer: EventConsumer) -> list[Message]:
        messages = take(consumer)
        sizes.append(consumer.size)
        return messages

    monkeypatch.setattr(EventConsumer, "_take", take_and_note)
    with consuming(group, batch_events=20, max_batch_events=160) as consumer:
        wait_for_drain(group)
        wait_until(lambda: consumer.consumer.size == 20)
    assert max(sizes) == 160 <= MAX_BATCH_EVENTS


def test_the_heartbeat_file_is_touched_while_nothing_comes(kafka, tmp_path) -> None:
    file = tmp_path / "alive"
    with consuming(new_group(), heartbeat_file=file):
        wait_until(file.exists)
        first = file.stat().st_mtime
        wait_until(lambda: file.stat().st_mtime > first)


def test_two_workers_of_one_user_decide_by_the_row(kafka) -> None:
    """Keys are random here, so a user's events are everywhere."""
    make_broad_catalogue(is_ordered=False)
    events, group = make_events(5, 60), new_group()
    for _ in range(2):
        publish(events, is_keyed=False)
    with consuming(group, "one"), consuming(group, "two"):
        wait_for_drain(group)
    check_invariants(events)
    unlocks = UserAchievement.objects.count()
    assert Notification.objects.count() == unlocks


def test_out_of_order_and_late_events_count_alike(kafka) -> None:
    make_broad_catalogue(is_ordered=False)
    events, group = make_events(10, 20), new_group()
    publish(events[::-1])
    drain(group)
    check_invariants(events)
    assert events[0].occurred_at > NOON  # type: ignore[operator]
