"""The outbox: rows go with their cause, are applied and deleted at once, or set aside."""

from datetime import timedelta
from threading import Thread

import pytest
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from achievements import failpoints
from achievements.engine import apply_batch
from achievements.events import Event, encode_event
from achievements.models import Notification, Outbox, UserAchievement, UserProgress
from achievements.outbox import accept_events, drain_outbox, process_pending, record_events
from achievements.tasks import process_outbox, sweep_outbox
from tests.factories import (
    make_achievement,
    make_broad_catalogue,
    make_event,
    new_user,
    publish,
    store_history,
)
from tests.invariants import check_invariants

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def catalogue(db: None) -> None:
    make_broad_catalogue()


@pytest.fixture
def calls(monkeypatch, settings) -> list[str]:
    """The Celery transport, with a bell that is only heard."""
    settings.EVENT_TRANSPORT = "celery"
    rung: list[str] = []
    monkeypatch.setattr("achievements.wakeup.current_app.send_task", rung.append)
    return rung


def put(*events) -> None:
    Outbox.objects.bulk_create(Outbox(user_id=e.user_id, event=encode_event(e)) for e in events)


def arm(monkeypatch, text: str) -> None:
    monkeypatch.setattr(failpoints, "armed", failpoints.parse_failpoints(text))


def test_inline_events_are_applied_when_their_cause_commits(catalogue) -> None:
    events = [make_event(new_user(), 1, wpm=61.0) for _ in range(3)]
    with transaction.atomic():
        record_events(events)
        assert Outbox.objects.count() == 3
        assert not UserProgress.objects.exists()
    check_invariants(events)


def test_a_rolled_back_cause_leaves_nothing(catalogue) -> None:
    class Undo(Exception):
        pass

    def save_and_fail() -> None:
        with transaction.atomic():
            record_events([make_event(new_user(), 1)])
            raise Undo

    with pytest.raises(Undo):
        save_and_fail()
    assert not Outbox.objects.exists()
    assert not UserProgress.objects.exists()


def test_a_rolled_back_savepoint_leaves_nothing_of_itself(catalogue) -> None:
    kept, lost = new_user(), new_user()
    with transaction.atomic():
        record_events([make_event(kept, 1)])
        try:
            with transaction.atomic():
                record_events([make_event(lost, 1)])
                raise ValueError
        except ValueError:
            pass
    assert list(UserProgress.objects.values_list("user_id", flat=True)) == [kept]


def test_nothing_to_record() -> None:
    record_events([])
    accept_events([])
    assert process_pending() == 0


def test_a_long_backlog_is_drained_in_batches(catalogue) -> None:
    users = [new_user() for _ in range(30)]
    events = [make_event(user, n, wpm=50.0 + n) for n in range(1, 9) for user in users]
    put(*events, *events[::3])
    drain_outbox()
    check_invariants(events)


def test_an_event_keeps_what_the_site_sent(catalogue) -> None:
    event = make_event(
        new_user(), 2**63 - 1, wpm=61.00049999999999, language="français", testCount=7,
        utc_offset_minutes=-570,
    )  # fmt: skip
    accept_events([event])
    check_invariants([event])


@pytest.mark.parametrize("position", [0, 57, 149])
def test_a_poison_row_is_set_aside_and_the_others_land(catalogue, monkeypatch, position) -> None:
    events = [make_event(new_user(), 1, wpm=61.0) for _ in range(150)]
    bad = events.pop(position)
    arm(monkeypatch, f"apply_user@{bad.user_id}:raise")
    put(*events[:position], bad, *events[position:])
    drain_outbox()
    row = Outbox.objects.get()
    assert (row.user_id, row.failed_at is None) == (bad.user_id, False)
    assert row.error == f"InjectedFault: apply_user for user {bad.user_id}"
    assert UserAchievement.objects.filter(user_id=bad.user_id).count() == 0
    Outbox.objects.all().delete()
    check_invariants(events)


def test_unreadable_rows_are_set_aside(catalogue) -> None:
    good = [make_event(new_user(), 1) for _ in range(4)]
    put(*good[:2])
    for event in (b"", b"{}", b"\xff", b'{"userId":1,"testResultId":1,"eventType":"?"}'):
        Outbox.objects.create(user_id=1, event=event)
    put(*good[2:])
    drain_outbox()
    assert Outbox.objects.exclude(error="").exclude(failed_at=None).count() == 4
    Outbox.objects.all().delete()
    check_invariants(good)


@pytest.mark.parametrize("error", [IntegrityError, DataError])
def test_a_row_that_the_database_refuses_does_not_stop_the_others(
    catalogue, monkeypatch, error
) -> None:
    """For instance notifications of a user whose progress was deleted by hand."""
    bad, good = new_user(), new_user()
    events = [make_event(good, 1)]
    if error is IntegrityError:
        Notification.objects.create(
            user_id=bad, sequence=1, achievement_id=1, level=1, created_at=timezone.now()
        )
    else:
        real = apply_batch

        def apply(rulebook, batch):
            if any(event.user_id == bad for event in batch):
                raise DataError("out of range")
            return real(rulebook, batch)

        monkeypatch.setattr("achievements.outbox.apply_batch", apply)
    put(make_event(bad, 1), *events)
    drain_outbox()
    assert Outbox.objects.get().error.startswith(error.__name__)
    Outbox.objects.all().delete()
    check_invariants(events)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, ProgrammingError])
def test_a_database_that_is_away_sets_nothing_aside(catalogue, monkeypatch, error) -> None:
    def apply(rulebook, batch):
        raise error(2013, "Lost connection to server during query")

    put(*(make_event(new_user(), 1) for _ in range(3)))
    monkeypatch.setattr("achievements.outbox.apply_batch", apply)
    with pytest.raises(error):
        drain_outbox()
    assert Outbox.objects.filter(failed_at=None).count() == 3


def test_inline_trouble_does_not_fail_the_request(catalogue, monkeypatch) -> None:
    event = make_event(new_user(), 1)
    arm(monkeypatch, "before_commit:raise")
    accept_events([event])
    assert Outbox.objects.exclude(failed_at=None).count() == 1
    arm(monkeypatch, "")
    Outbox.objects.update(failed_at=None, error="")
    accept_events([make_event(new_user(), 1)])  # takes the waiting one along
    check_invariants([event])


def test_commits_ring_once_until_a_worker_starts(catalogue, calls) -> None:
    events = [make_event(new_user(), 1) for _ in range(5)]
    for event in events:
        accept_events([event])
    assert calls == ["achievements.process_outbox"]
    process_outbox()
    assert len(calls) == 1
    accept_events([make_event(new_user(), 1)])
    assert len(calls) == 2
    process_outbox()
    check_invariants(events)


def test_a_full_batch_calls_another_worker(catalogue, calls) -> None:
    events = [make_event(new_user(), 1) for _ in range(230)]
    accept_events(events)
    process_outbox()
    assert len(calls) == 2
    check_invariants(events)


def test_a_lost_task_is_found_by_the_sweeper(catalogue, calls, monkeypatch) -> None:
    monkeypatch.setattr("achievements.tasks.LATE", timedelta(minutes=1))
    accept_events([make_event(new_user(), 1)])
    sweep_outbox()
    assert len(calls) == 1  # it has not waited for long
    Outbox.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    sweep_outbox()
    assert len(calls) == 2
    process_outbox()
    sweep_outbox()
    assert len(calls) == 2


def test_the_sweeper_leaves_rows_that_were_set_aside(catalogue, calls) -> None:
    past = timezone.now() - timedelta(hours=1)
    row = Outbox.objects.create(user_id=1, event=b"", failed_at=past)
    Outbox.objects.filter(pk=row.pk).update(created_at=past)
    sweep_outbox()
    assert calls == []


@pytest.mark.parametrize(
    "trouble", ["kombu", "redis"], ids=["the client gave up", "the connection broke"]
)
def test_a_broker_that_is_away_costs_no_event(catalogue, calls, monkeypatch, trouble) -> None:
    from kombu.exceptions import OperationalError as BrokerError

    def fail(name: str) -> None:
        raise BrokerError("away") if trouble == "kombu" else RedisConnectionError("away")

    monkeypatch.setattr("achievements.wakeup.current_app.send_task", fail)
    event = make_event(new_user(), 1)
    accept_events([event])
    assert Outbox.objects.count() == 1
    monkeypatch.setattr("achievements.wakeup.current_app.send_task", calls.append)
    accept_events([make_event(event.user_id, 1)])
    assert calls  # nobody waits for a task that was never sent
    process_outbox()
    check_invariants([event])


def test_a_row_and_its_effect_go_together(catalogue, monkeypatch) -> None:
    """A crash between them is impossible: the delete is part of the transaction."""
    put(make_event(new_user(), 1))
    arm(monkeypatch, "before_commit:raise")
    with pytest.raises(failpoints.InjectedFault):
        drain_outbox()  # an empty batch fails as well: it sets the row aside and goes on to raise
    assert Outbox.objects.count() == 1
    assert not UserProgress.objects.exists()


@pytest.mark.real
def test_rows_that_another_worker_holds_are_skipped(catalogue) -> None:
    from achievements.models import Outbox as Rows

    events = [make_event(new_user(), 1) for _ in range(4)]
    put(*events)
    first = Rows.objects.order_by("pk")[0]
    other = connection.copy()
    other.connect()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT id FROM outbox WHERE id = %s FOR UPDATE", [first.pk])
        assert process_pending() == 3
        other.rollback()  # the rows of a closed connection are free when the server gets to it
    finally:
        other.close()
    assert process_pending() == 1
    check_invariants(events)


def test_retired_rules_do_not_matter_to_what_waits(db) -> None:
    make_achievement("first", {"count": "tests", "atLeast": 1})
    publish()
    event = make_event(new_user(), 1)
    put(event)
    make_achievement("second", {"best": "wpm", "atLeast": 40})
    publish()
    drain_outbox()
    check_invariants([event])


def test_results_that_are_saved_at_once_are_all_applied(catalogue) -> None:
    """Each thread saves and drains for itself, as the threads of a web server do."""
    users = [new_user() for _ in range(4)]
    events = [make_event(user, n, wpm=50.0 + n) for user in users for n in range(1, 9)]
    store_history(events)  # so that no order of arrival matters
    failures: list[BaseException] = []

    def save(part: list[Event]) -> None:
        try:
            for event in part:
                accept_events([event])
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [Thread(target=save, args=(events[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    drain_outbox()
    check_invariants(events)
