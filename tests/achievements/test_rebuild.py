"""rebuild_users: what users already meet, silently, in slices that can be stopped."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from achievements import failpoints
from achievements.engine import process_events
from achievements.models import Job, Notification, SeenTests, UserAchievement, UserProgress
from achievements.rebuild import rebuild_user, rebuild_users
from profiles.models import TestResult
from tests.factories import (
    make_achievement,
    make_broad_catalogue,
    make_event,
    new_user,
    publish,
    store_history,
)
from tests.invariants import check_invariants, read_levels, read_row

pytestmark = pytest.mark.django_db
CLEAN = {"count": "tests", "where": {"accuracy": {"gte": 98}}}


def run(**options) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("rebuild_users", stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def make_past(user: int, tests: int = 12) -> list:
    return [
        make_event(user, n, wpm=50.0 + user % 7 * 10 + n % 9, accuracy=94.0 + n % 7)
        for n in range(1, tests + 1)
    ]


@pytest.fixture
def users(db: None) -> dict[int, list]:
    """Users who typed before there was the achievement `clean`."""
    make_achievement("first", {"count": "tests", "atLeast": 1})
    publish()
    past = {user: make_past(user) for user in (new_user() for _ in range(25))}
    events = [event for own in past.values() for event in own]
    store_history(events)
    process_events(events)
    return past


def test_a_new_achievement_reaches_those_who_meet_it_silently(users) -> None:
    clean = make_achievement("clean", CLEAN, 2, 100)
    publish()
    told = Notification.objects.count()
    out, _ = run(slice=7)
    assert out == "25 users, 25 rows changed, 25 levels unlocked.\n"
    assert Notification.objects.count() == told
    unlock = UserAchievement.objects.get(user_id=next(iter(users)), achievement_id=clean.pk)
    tests = [e for e in users[unlock.user_id] if e.metrics.accuracy >= 98]
    assert (unlock.test_result_id, unlock.unlocked_at) == (
        tests[1].test_result_id,
        tests[1].occurred_at,
    )
    check_invariants([e for own in users.values() for e in own], are_told=False)
    assert run(slice=7)[0] == "25 users, 0 rows changed, 0 levels unlocked.\n"


def test_users_are_told_when_asked(users) -> None:
    make_achievement("clean", CLEAN, 2)
    publish()
    run(notify=True)
    check_invariants([e for own in users.values() for e in own])
    run(notify=True)
    check_invariants([e for own in users.values() for e in own])


@pytest.mark.parametrize("with_new_measure", [True, False])
def test_a_lowered_target_is_found(users, with_new_measure) -> None:
    first = make_achievement("many", {"count": "tests"}, 13)
    publish()
    assert run()[0].endswith("0 levels unlocked.\n")
    first.levels[0]["target"] = 12
    first.save()
    if with_new_measure:
        make_achievement("clean", CLEAN, 50)
    publish()
    assert run()[0].endswith("25 levels unlocked.\n")
    check_invariants([e for own in users.values() for e in own], are_told=False)


def test_replay_equals_what_the_live_path_did(db) -> None:
    make_broad_catalogue()
    events = []
    for user in (new_user() for _ in range(6)):
        own = make_past(user, tests=60)
        own[3].metrics.wpm = 61.00049999999999
        own[4].metrics.accuracy = 98.00000000000001
        own[5].metrics.duration_seconds = 0.1 + 0.2
        events += own
    for event in events:  # by the ORM, so that every value passes through the database
        store_history([event])
    for start in range(0, len(events), 37):
        process_events(events[start : start + 37])
    before = list(UserProgress.objects.order_by("user_id").values_list("user_id", "state"))
    unlocks = list(UserAchievement.objects.order_by("pk").values())
    out, _ = run(replay=True)
    assert out == "6 users, 0 rows changed, 0 levels unlocked.\n"
    after = list(UserProgress.objects.order_by("user_id").values_list("user_id", "state"))
    assert [(u, bytes(s)) for u, s in after] == [(u, bytes(s)) for u, s in before]
    assert list(UserAchievement.objects.order_by("pk").values()) == unlocks
    check_invariants(events)


def test_a_replay_repairs_a_row(users) -> None:
    user = next(iter(users))
    row = UserProgress.objects.get(user_id=user)
    broken = read_row(user)
    broken.values[0] = 3
    from achievements.progress import encode_progress

    row.state = encode_progress(broken)
    row.save()
    run(replay=True)
    check_invariants([e for own in users.values() for e in own])


def test_users_with_history_but_no_row_get_one(db) -> None:
    make_achievement("first", {"count": "tests", "atLeast": 1})
    publish()
    users = [new_user() for _ in range(5)]
    events = [e for user in users for e in make_past(user, 40)]
    store_history(events)
    assert run(slice=2)[0] == "5 users, 5 rows changed, 5 levels unlocked.\n"
    assert SeenTests.objects.count() == 5
    assert process_events(events).applied == 0  # their events arrive after all
    check_invariants(events, are_told=False)


def test_a_user_of_events_alone_gains_from_what_was_counted(db, settings) -> None:
    settings.ACHIEVEMENTS = {"HISTORY": ""}
    make_achievement("first", {"count": "tests", "atLeast": 1})
    publish()
    user = new_user()
    process_events(make_past(user))
    clean = make_achievement("clean", CLEAN, 1, 3)
    many = make_achievement("many", {"count": "tests"}, 10)
    publish()
    process_events([make_event(user, n, accuracy=99.0) for n in (100, 101)])
    assert len(read_levels(user)) == 1
    run()
    assert read_levels(user)[many.pk] == 1  # this count was held all along
    assert read_levels(user)[clean.pk] == 1  # two since the publication: not the third
    process_events([make_event(user, 102, accuracy=99.0)])
    assert read_levels(user)[clean.pk] == 2
    points = read_row(user).points
    run(replay=True)
    assert read_row(user).points == points


def test_a_run_that_was_stopped_resumes_behind_its_last_slice(users, monkeypatch) -> None:
    make_achievement("clean", CLEAN, 2)
    version = publish()
    name = f"rebuild rulebook {version}"
    run_of = rebuild_users(job_name=name, slice_users=10)
    first = next(run_of)
    del run_of
    assert Job.objects.get(name=name).cursor == first.last_user_id == sorted(users)[9]
    out, _ = run(slice=10)
    assert out.startswith(f"Resuming after user {first.last_user_id}")
    assert out.endswith("15 users, 15 rows changed, 15 levels unlocked.\n")
    assert not Job.objects.exists()
    check_invariants([e for own in users.values() for e in own], are_told=False)


def test_a_slice_that_fails_leaves_the_cursor_before_it(users, monkeypatch) -> None:
    make_achievement("clean", CLEAN, 2)
    publish()
    run_of = rebuild_users(job_name="job", slice_users=10)
    next(run_of)
    monkeypatch.setattr(failpoints, "armed", failpoints.parse_failpoints("before_commit:raise"))
    with pytest.raises(failpoints.InjectedFault):
        next(run_of)
    assert Job.objects.get(name="job").cursor == sorted(users)[9]
    monkeypatch.setattr(failpoints, "armed", {})
    assert sum(s.user_count for s in rebuild_users(job_name="job", slice_users=10)) == 15


def test_one_user_can_be_rebuilt(users) -> None:
    clean = make_achievement("clean", CLEAN, 2)
    publish()
    user = next(iter(users))
    assert rebuild_user(user).unlocks == 1
    assert clean.pk in read_levels(user)
    assert UserAchievement.objects.filter(achievement_id=clean.pk).count() == 1


def test_nobody_to_rebuild(db) -> None:
    assert run()[0] == "0 users, 0 rows changed, 0 levels unlocked.\n"
    assert not TestResult.objects.exists()


@pytest.mark.parametrize("size", [0, 5_001])
def test_a_slice_has_bounds(db, size) -> None:
    with pytest.raises(CommandError, match="--slice"):
        run(slice=size)
