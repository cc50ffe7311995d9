"""Faults of Kafka, of its workers and of the database behind them; afterwards I1 to I6 hold."""

import random
import time
from functools import partial
from itertools import product
from threading import Thread

import pytest
from django.db import connection, transaction

from achievements import metrics
from achievements.consumer import ConsumerFailed
from achievements.events import Event
from achievements.models import Outbox, UserProgress
from achievements.outbox import accept_events, drain_outbox, record_events
from achievements.relay import Relay
from achievements.topics import EVENTS_TOPIC
from profiles.services import save_test_result
from tests.api import create_key
from tests.factories import PLAIN_TEST, make_broad_catalogue, make_event, new_user
from tests.faults.fleet import (
    Command,
    ConsumerThread,
    consuming,
    count_lag,
    drain,
    make_consumer,
    new_group,
    publish,
    read_committed,
    read_events,
    wait_for_drain,
    wait_until,
)
from tests.invariants import check_invariants

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _kafka_transport(settings) -> None:
    settings.EVENT_TRANSPORT = "kafka"


def make_events(users: int, tests: int) -> list[Event]:
    ids = [new_user() for _ in range(users)]
    return [
        make_event(user, test, wpm=50.0 + test * 7 % 90, accuracy=90.0 + test % 10)
        for test, user in product(range(1, tests + 1), ids)
    ]


def is_relayed() -> bool:
    return not Outbox.objects.exists()


# Kafka away (16), the relay dies (18)


@pytest.mark.parametrize("way", ["paused", "killed"])
def test_kafka_away_fails_no_request_and_the_outbox_drains_in_order(kafka, way: str) -> None:
    make_broad_catalogue()
    users, group = [new_user() for _ in range(5)], new_group()

    def type_tests(count: int) -> None:
        for _ in range(count):
            for user in users:
                with transaction.atomic():
                    save_test_result(user_id=user, **as_fields(PLAIN_TEST))

    with Command("relay_outbox"):
        type_tests(4)
        wait_until(is_relayed)
        kafka.pause() if way == "paused" else kafka.kill()
        began = time.monotonic()
        type_tests(4)
        assert time.monotonic() - began < 10  # 20 commits; none of them waits for Kafka
        time.sleep(1)
        assert Outbox.objects.count() == 20
        kafka.resume() if way == "paused" else kafka.start()
        type_tests(2)
        wait_until(is_relayed, seconds=40)
    events = read_events()
    assert len({(e.user_id, e.test_result_id) for e in events}) == 50
    for user in users:
        ids = [e.test_result_id for e in events if e.user_id == user]
        assert list(dict.fromkeys(ids)) == sorted(set(ids))
    drain(group)
    check_invariants(events)


def as_fields(metrics_sent: dict) -> dict:
    names = {"durationSeconds": "duration_seconds"}
    return {names.get(name, name): value for name, value in metrics_sent.items()}


def test_a_relay_that_dies_after_the_acknowledgement_sends_duplicates_only(kafka) -> None:
    make_broad_catalogue()
    events, group = make_events(10, 5), new_group()
    record_events(events)
    for _ in range(2):
        relay = Command("relay_outbox", FAILPOINT="relay_after_publish:kill")
        with relay:
            assert relay.wait() == -9
        assert Outbox.objects.count() == len(events)
    with Command("relay_outbox") as relay:
        wait_until(is_relayed)
        relay.stop()
        assert relay.wait() == 0
    assert len(read_events()) == 3 * len(events)
    drain(group)
    check_invariants(events)


# The endpoint


def test_the_endpoint_answers_when_kafka_has_the_events(kafka, client) -> None:
    make_broad_catalogue()
    user, group = new_user(), new_group()
    key = {"HTTP_AUTHORIZATION": f"Api-Key {create_key('events:write')}"}
    body = {
        "events": [
            {"userId": user, "testResultId": n, "eventType": "test_completed",
             "metrics": {"wpm": 85.5, "accuracy": 98.2}}
            for n in range(1, 4)
        ]
    }  # fmt: skip
    body["events"].append({"userId": -1})
    answer = client.post("/api/v1/events", body, "application/json", **key)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 3
    assert len(answer.json()["rejected"]) == 1
    assert len(read_events()) == 3  # at once: the reports had come
    drain(group)
    shown = client.get(f"/api/v1/users/{user}/achievements").json()
    assert {a["slug"] for a in shown["achievements"]} >= {"first", "many", "fast"}
    kafka.pause()
    began = time.monotonic()
    answer = client.post("/api/v1/events", body, "application/json", **key)
    assert time.monotonic() - began < 20
    kafka.resume()
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    wait_until(
        lambda: client.post("/api/v1/events", body, "application/json", **key).status_code == 202
    )


# Stopping (3), crashing (1, 2), being passed over (19, 20)


def test_sigterm_finishes_the_batch_and_leaves(kafka) -> None:
    make_broad_catalogue()
    events, group = make_events(20, 10), new_group()
    publish(events)
    with make_consumer(
        group, "one", "--batch=40", "--max-batch=40", FAILPOINT="before_commit:sleep 1"
    ) as consumer:
        wait_until(UserProgress.objects.exists)
        time.sleep(0.3)  # in the middle of the next one
        began = time.monotonic()
        consumer.stop()
        assert consumer.wait() == 0
        assert time.monotonic() - began < 25
    committed = sum(read_committed(group).values())
    assert 40 < committed < len(events)
    before = metrics.EVENTS.labels("duplicate")._value.get()
    drain(group)
    assert metrics.EVENTS.labels("duplicate")._value.get() == before  # nothing was repeated
    check_invariants(events)


def test_sigterm_while_kafka_is_away_is_obeyed_in_time(kafka) -> None:
    make_broad_catalogue()
    events, group = make_events(5, 2), new_group()
    publish(events)
    with make_consumer(group) as consumer:
        wait_for_drain(group)
        kafka.pause()
        time.sleep(0.5)
        began = time.monotonic()
        consumer.stop()
        took = time.monotonic() - began
        code = consumer.wait()
        kafka.resume()
        print(f"left in {took:.1f} s")
        assert (code, took < 25) == (0, True), consumer.read_log_end()


@pytest.mark.parametrize("place", ["before_commit", "after_commit", "consumer_before_commit"])
def test_a_crash_at_each_step_repeats_a_batch_and_changes_nothing(kafka, place: str) -> None:
    make_broad_catalogue()
    events, group = make_events(20, 6), new_group()
    publish(events)
    with make_consumer(group, FAILPOINT=f"{place}:kill") as consumer:
        assert consumer.wait() == -9
    assert read_committed(group) == {}
    assert UserProgress.objects.exists() == (place != "before_commit")
    drain(group)  # the same name in the group: no session has to end
    check_invariants(events)


def test_a_zombie_s_writes_change_nothing_and_its_commit_is_refused(kafka) -> None:
    make_broad_catalogue()
    events, group = make_events(20, 10), new_group()
    publish(events)
    zombie = make_consumer(group, "zombie", "--batch=20", FAILPOINT="after_commit:sleep 2")
    with zombie:
        wait_until(UserProgress.objects.exists)
        zombie.pause()
        with consuming(group, "other") as other:
            wait_until(lambda: other.partitions, seconds=45)  # its session ended
            wait_for_drain(group)
            committed = read_committed(group)
            zombie.resume()
            zombie.wait_for("commit_rejected")
            publish(events[:50])
            wait_for_drain(group)
        after = read_committed(group)
        assert all(after[number] >= offset for number, offset in committed.items())
        zombie.stop()
    check_invariants(events)


def has_partitions(consumer: ConsumerThread) -> bool:
    return bool(consumer.partitions)


def test_workers_come_and_go_in_the_middle_of_batches(kafka) -> None:
    make_broad_catalogue()
    events, group = make_events(60, 25), new_group()
    rejected = metrics.REJECTED_COMMITS._value.get()
    publish(events)
    with consuming(group, "one", batch_events=10, max_batch_events=20):
        for number in range(3):
            with consuming(group, f"guest-{number}", batch_events=10, max_batch_events=20) as guest:
                wait_until(partial(has_partitions, guest), seconds=45)
                time.sleep(0.3)
        wait_for_drain(group, seconds=40)
    print(f"{metrics.REJECTED_COMMITS._value.get() - rejected:.0f} commits were rejected")
    check_invariants(events)


# The database


def test_a_database_that_is_away_pauses_and_keeps_the_group(kafka, monkeypatch) -> None:
    from django.db import OperationalError

    from achievements.transactions import run_transaction

    make_broad_catalogue()
    events, group = make_events(20, 10), new_group()
    away = True

    def fail_while_away(work):
        if away:
            raise OperationalError(2006, "Server has gone away")
        return run_transaction(work)

    monkeypatch.setattr("achievements.engine.run_transaction", fail_while_away)
    publish(events)
    with consuming(group) as consumer, consuming(group, "beside") as beside:
        wait_until(lambda: consumer.consumer.is_paused and beside.consumer.is_paused)
        partitions = set(consumer.partitions), set(beside.partitions)
        time.sleep(7)  # longer than a session
        assert (consumer.partitions, beside.partitions) == partitions
        assert read_committed(group) == {}
        away = False
        wait_for_drain(group)
        wait_until(lambda: not (consumer.consumer.is_paused or beside.consumer.is_paused))
    check_invariants(events)
    away = True
    publish(events[:1])
    tired = ConsumerThread(group, "one", max_failures=3)
    wait_until(lambda: tired.error, seconds=45)  # after the session of who had the partition
    tired.join()
    assert isinstance(tired.error, ConsumerFailed)


def test_deadlocks_and_killed_connections_under_load(kafka) -> None:
    """A second writer locks the users in the other order, and connections are cut."""
    make_broad_catalogue(is_ordered=False)
    events, group = make_events(30, 30), new_group()
    retries = metrics.RETRIES._value.get()
    publish(events)
    is_over = False

    def disturb() -> None:
        users = sorted({e.user_id for e in events}, reverse=True)
        chance = random.Random(4)
        with connection.cursor() as cursor:
            while not is_over:
                try:
                    cursor.execute("BEGIN")
                    for user in chance.sample(users, 4):
                        cursor.execute(
                            "SELECT 1 FROM user_progress WHERE user_id = %s FOR UPDATE", [user]
                        )
                        time.sleep(0.005)
                except Exception:
                    time.sleep(0.001)  # it was the one that the database gave up
                finally:
                    cursor.execute("ROLLBACK")
        connection.close()

    thread = Thread(target=disturb)
    thread.start()
    try:
        with consuming(group), consuming(group, "two"):
            wait_for_drain(group)
    finally:
        is_over = True
        thread.join(10)
    print(f"{metrics.RETRIES._value.get() - retries:.0f} transactions ran again")
    check_invariants(events)


# The dead letters' topic is away


def test_offsets_wait_for_the_dead_letters(kafka, monkeypatch) -> None:
    from achievements.producer import EventProducer

    make_broad_catalogue()
    events, group = make_events(10, 3), new_group()
    real, is_refusing = EventProducer.publish, True

    def refuse(self, records):
        return [False] * len(records) if is_refusing else real(self, records)

    publish([*events[:10], b"{", *events[10:]])
    monkeypatch.setattr(EventProducer, "publish", refuse)
    with consuming(group) as consumer:
        wait_until(lambda: consumer.consumer.is_paused)
        time.sleep(0.5)
        assert count_lag(group) >= 1
        is_refusing = False
        wait_for_drain(group)
        assert sum(consumer.consumer.applier.limit.newest) == 1  # counted once
    check_invariants(events)


# More partitions (29), another transport


def test_partitions_are_added_under_load(kafka, monkeypatch) -> None:
    from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

    from achievements.topics import make_consumer_settings

    monkeypatch.setattr(
        "achievements.consumer.make_consumer_settings",
        lambda **options: {
            **make_consumer_settings(**options),
            "topic.metadata.refresh.interval.ms": 500,
        },
    )
    make_broad_catalogue(is_ordered=False)
    events, group = make_events(60, 20), new_group()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    try:
        with consuming(group), consuming(group, "two"):
            publish(events[:500])
            for result in admin.create_partitions([NewPartitions(EVENTS_TOPIC, 60)]).values():
                result.result(10)
            # A producer that is told of 50 sends to none of the new ones.
            wait_until(
                lambda: len(admin.list_topics(EVENTS_TOPIC).topics[EVENTS_TOPIC].partitions) == 60
            )
            publish(events[500:])
            wait_for_drain(group, seconds=90)
            assert max(read_committed(group)) >= 50
    finally:
        for result in admin.delete_topics([EVENTS_TOPIC]).values():
            result.result(10)
        kafka._wait_until_listed(lambda found: EVENTS_TOPIC not in found)
        kafka.create_topics(kafka.topics)
    check_invariants(events)


def test_the_transport_is_switched_with_events_in_flight(kafka, settings) -> None:
    """celery -> kafka -> inline: what is on its way by the old one arrives beside the new one."""
    make_broad_catalogue(is_ordered=False)
    events, group = make_events(30, 12), new_group()
    settings.EVENT_TRANSPORT = "celery"
    accept_events(events[:120])  # nobody consumes: rows and a task are left
    settings.EVENT_TRANSPORT = "kafka"
    accept_events(events[100:200])
    record_events(events[180:240])
    with consuming(group):
        with Command("relay_outbox"):
            drain_outbox(max_batches=2)  # a Celery worker that is still there
            wait_until(is_relayed)
        settings.EVENT_TRANSPORT = "inline"
        accept_events(events[220:])
        wait_for_drain(group)
    check_invariants(events)


def test_the_relay_stops_in_time_while_kafka_is_away(kafka) -> None:
    from threading import Event as Flag

    record_events(make_events(2, 2))
    kafka.pause()
    stop = Flag()
    relay = Relay(stop)
    relay.producer.timeout_seconds = 2

    def run() -> None:
        relay.run()
        connection.close()

    thread = Thread(target=run)
    thread.start()
    time.sleep(0.5)
    stop.set()
    thread.join(20)
    kafka.resume()
    assert not thread.is_alive()
    assert Outbox.objects.count() == 4
