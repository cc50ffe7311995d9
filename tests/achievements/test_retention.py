"""Dropping by age: what was dropped stays counted, and a rebuild says what it said before."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, InterfaceError, OperationalError
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from achievements import failpoints, metrics
from achievements.definition import Definition
from achievements.engine import process_events
from achievements.events import TEST_INVALIDATED, Event, order_of
from achievements.management.commands import prune as prune_command
from achievements.models import Job, Notification, Outbox, Snapshot, UserAchievement, UserProgress
from achievements.progress import Base, derive, encode_progress
from achievements.reasons import explain_achievement
from achievements.rebuild import rebuild_user
from achievements.retention import prune_notifications, prune_tests
from profiles.models import TestResult
from tests.achievements.strategies import Life, compile_rulebook, definition_lists, lives
from tests.factories import (
    NOON,
    invalidate,
    make_achievement,
    make_broad_catalogue,
    make_event,
    new_user,
    publish,
    store_history,
)
from tests.invariants import check_invariants, read_levels, read_row

CUT = NOON + timedelta(days=20)


def run(*options: str) -> str:
    out = StringIO()
    call_command("prune", *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def type_tests(user: int, first: int, count: int) -> list[Event]:
    """A test every seven hours, of many kinds; the first day is that of NOON."""
    return [
        make_event(
            user,
            n,
            at=NOON + timedelta(hours=7 * n),
            wpm=45.0 + user % 5 + n * 37 % 80,
            accuracy=93.0 + n * 5 % 8,
            language=("english", "german", "french")[n // 25 % 3],
        )
        for n in range(first, first + count)
    ]


def process(events: Sequence[Event]) -> None:
    for start in range(0, len(events), 17):
        process_events(events[start : start + 17])


def prune(before: datetime = CUT, **options: int) -> int:
    return sum(done.rows for done in prune_tests(before=before, **options))


def list_states() -> list[tuple[int, bytes]]:
    rows = UserProgress.objects.order_by("user_id").values_list("user_id", "state")
    return [(user_id, bytes(state)) for user_id, state in rows]


@settings(max_examples=150, deadline=None)
@given(definition_lists(), lives(can_invalidate=False, with_test_count=False), st.data())
def test_a_replay_from_a_base_equals_one_from_nothing(
    definitions: list[Definition], life: Life, data: st.DataObject
) -> None:
    rulebook = compile_rulebook(definitions)
    tests = sorted(life.tests, key=order_of)
    cut = data.draw(st.integers(0, len(tests)))
    whole = derive(rulebook, tests).progress
    first = derive(rulebook, tests[:cut]).progress
    rest = derive(rulebook, tests[cut:], base=Base(encode_progress(first), cut)).progress
    assert (rest.values, rest.unlocked) == (whole.values, whole.unlocked)
    assert (rest.last_at, rest.last_id, rest.held) == (whole.last_at, whole.last_id, whole.held)


@pytest.fixture
def past(db: None) -> list[Event]:
    """Tests over forty days, half of them before the cut, all counted."""
    make_broad_catalogue()
    events = [e for user in (new_user() for _ in range(7)) for e in type_tests(user, 1, 137)]
    store_history(events)
    process(events)
    return events


def test_what_was_dropped_stays_counted(past) -> None:
    users = sorted({e.user_id for e in past})
    before, held = list_states(), list(UserAchievement.objects.order_by("pk").values())
    old = [e for e in past if e.occurred_at < CUT]
    assert prune(slice_size=3) == len(old)
    assert TestResult.objects.count() == len(past) - len(old)
    assert not Job.objects.exists()
    assert list_states() == before, "the row does not change"
    call_command("rebuild_users", replay=True, stdout=StringIO(), stderr=StringIO())
    assert list_states() == before, "nor does a replay change it"
    assert list(UserAchievement.objects.order_by("pk").values()) == held
    more = [e for user in users for e in type_tests(user, 138, 30)]
    store_history(more)
    process(more)
    check_invariants([*past, *more])
    for row in UserProgress.objects.all():  # a repair still finds what is right
        broken = read_row(row.user_id)
        broken.values[0] = 1
        UserProgress.objects.filter(user_id=row.user_id).update(state=encode_progress(broken))
    call_command("rebuild_users", replay=True, stdout=StringIO(), stderr=StringIO())
    check_invariants([*past, *more])


def test_two_cuts_add_up(past) -> None:
    first = prune(CUT - timedelta(days=9))
    assert first > 0
    second = prune()
    assert (first + second) == sum(e.occurred_at < CUT for e in past)
    assert prune() == 0
    assert {s.dropped for s in Snapshot.objects.all()} == {(first + second) // 7}
    call_command("rebuild_users", replay=True, stdout=StringIO(), stderr=StringIO())
    check_invariants(past)


def test_a_held_test_can_still_be_taken_back(past) -> None:
    prune()
    user = past[0].user_id
    kept = [e for e in past if e.user_id == user and e.occurred_at >= CUT]
    undone = [invalidate(user, e.test_result_id) for e in kept[3:50:4]]
    TestResult.objects.filter(user_id=user, id__in=[e.test_result_id for e in undone]).update(
        invalidated_at=NOON
    )
    process(undone)
    check_invariants([*past, *undone], are_told=False)
    rebuild_user(user)
    check_invariants([*past, *undone], are_told=False)


def test_a_dropped_test_cannot_be_taken_back_and_that_is_counted(past) -> None:
    prune()
    user = past[0].user_id
    before, counted = read_row(user), metrics.UNREPLAYABLE._value.get()
    process([invalidate(user, 1)])
    assert read_row(user).values == before.values
    assert read_row(user).unlocked == before.unlocked
    assert metrics.UNREPLAYABLE._value.get() == counted + 1


def test_what_only_dropped_tests_earned_is_never_taken_back(past) -> None:
    """Also by a rule that is no longer in force: the tests that met it are gone."""
    user = past[0].user_id
    odd = make_achievement("odd", {"count": "tests", "where": {"wpm": {"gte": 46}}}, 2)
    publish()
    rebuild_user(user)
    assert read_levels(user)[odd.pk] == 1
    UserAchievement.objects.filter(achievement_id=odd.pk).update(unlocked_at=NOON)
    odd.criteria = {"best": "wpm", "atLeast": 400}
    odd.levels[0]["target"] = 400
    odd.save()
    publish()
    prune()
    kept = next(e for e in past if e.user_id == user and e.occurred_at >= CUT)
    TestResult.objects.filter(user_id=user, id=kept.test_result_id).update(invalidated_at=NOON)
    process([invalidate(user, kept.test_result_id)])
    assert read_levels(user)[odd.pk] == 1


@pytest.mark.parametrize(
    "criteria",
    [
        {"count": "tests", "where": {"wpm": {"gte": 46}}, "atLeast": 100},
        {"streak": "days", "where": {"wpm": {"gte": 44}}, "atLeast": 25},
    ],
    ids=["count", "streak"],
)
def test_a_level_of_a_former_rule_rests_on_dropped_tests_too(past, criteria) -> None:
    """It was earned after the cut, by an accumulator that nothing feeds when the cut is made."""
    user = past[0].user_id
    old = make_achievement("old", criteria)
    publish()
    rebuild_user(user)
    unlock = UserAchievement.objects.get(user_id=user, achievement_id=old.pk)
    assert unlock.unlocked_at > CUT
    old.criteria = {"best": "wpm", "atLeast": 400}
    old.save()
    publish()
    prune()
    kept = [e for e in past if e.user_id == user and e.occurred_at > unlock.unlocked_at]
    process([invalidate(user, kept[-1].test_result_id)])
    assert read_levels(user)[old.pk] == 1, "that test had nothing to do with it"


def test_a_later_run_with_an_earlier_day_leaves_the_day_that_is_told(past) -> None:
    prune()
    user = past[0].user_id
    store_history([make_event(user, 9_000, at=CUT - timedelta(days=15))])
    assert prune(CUT - timedelta(days=10)) == 1
    assert Snapshot.objects.get(user_id=user).cut_at == CUT


def test_a_user_whom_the_engine_refuses_keeps_the_tests_and_holds_up_nobody(
    past, monkeypatch
) -> None:
    bad, good = new_user(), new_user()
    for user in (bad, good):
        store_history(type_tests(user, 1, 20))
    fault = failpoints.Fault("raise", user_id=bad)
    monkeypatch.setitem(failpoints.armed, failpoints.APPLY_USER, fault)
    prune()
    assert TestResult.objects.filter(user_id=bad).count() == 20
    assert not TestResult.objects.filter(user_id=good).exists()
    assert not Job.objects.exists()


def test_a_new_achievement_counts_from_the_cut_and_says_so(past) -> None:
    prune()
    clean = make_achievement("newer", {"count": "tests", "where": {"accuracy": {"gte": 99}}}, 1000)
    publish()
    user = past[0].user_id
    rebuild_user(user)
    explained = explain_achievement(user_id=user, slug=clean.slug)
    expected = sum(
        e.metrics.accuracy >= 99 for e in past if e.user_id == user and e.occurred_at >= CUT
    )
    assert explained is not None
    assert explained["conditions"][0]["current"] == expected
    assert f"{CUT:%Y-%m-%d}" in explained["note"]


def test_tests_that_were_not_counted_yet_are_counted_first(past) -> None:
    """Their events are still on the way: they come to nothing when they arrive."""
    user = new_user()
    late = type_tests(user, 1, 90)
    undone = replace(late[5], event_type=TEST_INVALIDATED)
    store_history([*late, invalidate(user, undone.test_result_id)])
    assert prune() > 0
    everything = [*past, *late, undone]
    check_invariants(everything)
    process([*late, undone])
    check_invariants(everything)


def test_a_user_with_tests_that_are_not_held_keeps_what_was_counted(past) -> None:
    user = past[0].user_id
    process(type_tests(user, 500, 5))  # by the API alone: not in the history
    before = read_row(user)
    prune()
    rebuild_user(user)
    assert read_row(user).values == before.values
    assert read_row(user).is_partial


def test_a_row_that_was_lost_gets_its_levels_back(past) -> None:
    prune()
    user = past[0].user_id
    before = read_row(user)
    UserProgress.objects.filter(user_id=user).delete()
    rebuild_user(user)
    assert read_row(user).values == before.values
    assert read_row(user).unlocked == before.unlocked


def test_a_slice_that_fails_drops_nothing(past, monkeypatch) -> None:
    monkeypatch.setitem(failpoints.armed, failpoints.BEFORE_COMMIT, failpoints.Fault("raise"))
    with pytest.raises(Exception, match=failpoints.BEFORE_COMMIT):
        prune()
    assert TestResult.objects.count() == len(past)
    assert not Snapshot.objects.exists()


def test_notifications_and_failed_events_go_by_age(past) -> None:
    now = datetime.now(UTC)
    users = sorted({e.user_id for e in past})
    Notification.objects.filter(user_id__in=users[:3]).update(created_at=now - timedelta(days=90))
    kept = Notification.objects.filter(user_id__in=users[3:]).count()
    for days in (100, 1):
        row = Outbox.objects.create(user_id=1, event=b"{}", failed_at=now - timedelta(days=days))
    Outbox.objects.create(user_id=1, event=b"{}")
    out = run("--notifications=60d", "--failed-events=60d")
    assert "failed events: 1 dropped" in out
    assert Notification.objects.count() == kept
    assert Outbox.objects.filter(pk=row.pk).exists()
    assert Outbox.objects.count() == 2


def test_a_stopped_run_over_notifications_goes_on_where_it_was(past) -> None:
    now = datetime.now(UTC)
    users = sorted(set(Notification.objects.values_list("user_id", flat=True)))
    assert len(users) > 2
    Notification.objects.update(created_at=now - timedelta(days=90))
    before = now - timedelta(days=60)
    assert next(prune_notifications(before=before, slice_size=1)).users == 1
    rest = list(prune_notifications(before=before, slice_size=1))
    assert sum(done.users for done in rest) == len(users) - 1
    assert not Notification.objects.exists()
    assert not Job.objects.exists()


def test_the_command_says_what_it_did(past) -> None:
    day = CUT.replace(hour=0)
    old = sum(e.occurred_at < day for e in past)
    assert run(f"--tests={day:%Y-%m-%d}") == f"tests: {old} dropped from before {day:%Y-%m-%d}.\n"


def test_what_no_event_may_tell_goes_too_and_is_told(past) -> None:
    """Saved by the host without a look at the contract: it never counted."""
    user = past[0].user_id
    odd = {"wpm": 999.0, "accuracy": 950.0, "duration_seconds": 30.0, "completed_at": NOON}
    TestResult.objects.bulk_create(
        TestResult(user_id=user_id, id=90_000, **odd) for user_id in (user, -5, 0)
    )
    day = CUT.replace(hour=0)
    old = sum(e.occurred_at < day for e in past) + 3
    assert run(f"--tests={day:%Y-%m-%d}").startswith(f"tests: {old} dropped")
    assert not TestResult.objects.filter(completed_at__lt=day).exists()
    check_invariants(past)


@pytest.mark.parametrize(
    ("failure", "code", "told"),
    [
        (OperationalError(2013, "Lost connection to server"), 1, "connection to the database was"),
        (OperationalError(1205, "Lock wait timeout exceeded"), 1, "innodb_trx"),
        (OperationalError("database is locked"), 1, "Rows stay locked"),
        (InterfaceError(0, ""), 1, "The connection to the database was lost. A slice"),
        (DatabaseError(1142, "DELETE command denied"), 1, "DATABASE_URL may not .*DELETE command"),
        (KeyboardInterrupt(), 130, "Stopped"),
    ],
)
def test_a_failure_is_one_sentence_and_says_how_to_go_on(monkeypatch, failure, code, told) -> None:
    def fail(**options: object) -> None:
        raise failure

    monkeypatch.setitem(prune_command.KINDS, "tests", ("tests", fail))
    with pytest.raises(CommandError, match=f"{told}.* The same command goes on") as raised:
        run("--tests=2026-01-31")
    assert raised.value.returncode == code


@pytest.mark.parametrize(
    "day", ["yesterday", "2026-02-30", "1999-12-31", "0d", "2999-01-01", "-3d"]
)
def test_a_day_that_is_none_is_refused(day) -> None:
    with pytest.raises(CommandError, match="--tests"):
        call_command("prune", f"--tests={day}")


def test_a_host_that_keeps_its_history_is_told(db, settings) -> None:
    settings.ACHIEVEMENTS = {"HISTORY": "tests.memory_history.MemoryHistory"}
    with pytest.raises(CommandError, match="without drop_tests"):
        run("--tests=2026-01-31")


def test_nothing_named_is_refused() -> None:
    with pytest.raises(CommandError, match="--notifications"):
        call_command("prune")
