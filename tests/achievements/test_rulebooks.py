"""Publishing, convergence, and rules that change while users hold things."""

from datetime import timedelta
from threading import Thread

import pytest
from django.core.cache import cache as store
from django.db import connection, transaction

from achievements import cache, keys, rulebooks
from achievements.engine import process_events
from achievements.errors import StaleRulebook
from achievements.models import Accumulator, Publication, Status, UserAchievement
from achievements.rebuild import rebuild_users
from achievements.rulebooks import forget_rulebook, get_rulebook, refresh_rulebook
from tests.factories import (
    NOON,
    invalidate,
    make_achievement,
    make_event,
    new_user,
    publish,
    store_history,
)
from tests.invariants import check_invariants, read_levels, read_row

pytestmark = pytest.mark.django_db


def rebuild() -> int:
    return sum(done.result.unlocks for done in rebuild_users(job_name="test"))


def keep_old_rulebook(monkeypatch, rulebook) -> None:
    """Let this process believe for a while that nothing was published."""
    monkeypatch.setattr(rulebooks._holder, "rulebook", rulebook)
    monkeypatch.setattr(rulebooks._holder, "checked_at", float("inf"))


def test_another_publication_is_seen_within_two_seconds(monkeypatch) -> None:
    make_achievement("first", {"count": "tests", "atLeast": 1})
    version = publish()
    old = get_rulebook()
    assert old.version == version
    make_achievement("second", {"count": "tests", "atLeast": 2})
    newer = publish()
    keep_old_rulebook(monkeypatch, old)
    assert get_rulebook() is old
    monkeypatch.setattr(rulebooks._holder, "checked_at", 0.0)
    monkeypatch.setattr(
        "achievements.rulebooks.time.monotonic", lambda: rulebooks.RECHECK_SECONDS + 0.1
    )
    assert get_rulebook().version == newer


def test_drafts_are_not_published_and_locked_ones_are_not_judged() -> None:
    for status in Status.values:
        make_achievement(status, {"count": "tests", "atLeast": 1}, status=status)
    publish()
    user = new_user()
    process_events([make_event(user, 1)])
    rulebook = get_rulebook()
    assert {d.slug for d in rulebook.definitions.values()} == {"live", "locked", "retired"}
    assert {rulebook.definitions[a].slug for a in read_levels(user)} == {"live"}


@pytest.mark.parametrize("status", [Status.LOCKED, Status.RETIRED])
def test_what_is_closed_stays_with_its_holders_and_their_points(status) -> None:
    closing = make_achievement("closing", {"count": "tests", "atLeast": 1})
    make_achievement("other", {"count": "tests", "atLeast": 2})
    publish()
    user, late = new_user(), new_user()
    process_events([make_event(user, 1)])
    closing.status = status
    closing.save()
    publish()
    process_events([make_event(user, 2), make_event(late, 1)])
    assert closing.pk in read_levels(user)
    assert read_row(user).points == 20
    assert read_levels(late) == {}


def test_an_active_window_is_judged_by_the_events_time() -> None:
    contest = make_achievement(
        "contest",
        {"count": "tests"},
        1,
        2,
        active_from=NOON,
        active_until=NOON + timedelta(hours=1),
    )
    publish()
    user = new_user()
    before = make_event(user, 1, at=NOON - timedelta(seconds=1))
    end = make_event(user, 2, at=NOON + timedelta(hours=1))
    process_events([before, end])
    assert read_levels(user) == {}
    start = make_event(user, 3, at=NOON)
    last = make_event(user, 4, at=NOON + timedelta(minutes=59, seconds=59))
    process_events([last, start])
    assert read_levels(user) == {contest.pk: 2}
    check_invariants([before, end, start, last])


def test_a_worker_that_is_behind_reloads_before_it_touches_a_row(monkeypatch) -> None:
    make_achievement("first", {"count": "tests", "atLeast": 1})
    publish()
    old = get_rulebook()
    make_achievement("clean", {"count": "tests", "where": {"accuracy": {"gte": 98}}}, 1)
    newest = publish()
    user = new_user()
    process_events([make_event(user, 1)])
    keep_old_rulebook(monkeypatch, old)
    process_events([make_event(user, 2, accuracy=99.0)])
    assert get_rulebook().version == newest
    assert len(read_levels(user)) == 2


def test_a_row_from_the_future_is_never_judged(monkeypatch) -> None:
    make_achievement("first", {"count": "tests", "atLeast": 1})
    publish()
    old = get_rulebook()
    make_achievement("clean", {"count": "tests", "where": {"accuracy": {"gte": 98}}}, 1)
    publish()
    user = new_user()
    process_events([make_event(user, 1)])
    monkeypatch.setattr("achievements.engine.get_rulebook_to_write", lambda: old)
    monkeypatch.setattr("achievements.engine.refresh_rulebook", lambda: old)
    before = read_row(user)
    with pytest.raises(StaleRulebook):
        process_events([make_event(user, 2)])
    assert read_row(user) == before


@pytest.mark.parametrize(
    "criteria",
    [
        {"streak": "days", "atLeast": 2},
        {"run": "tests", "atLeast": 2},
        {"average": "wpm", "last": 2, "atLeast": 30},
        {"distinct": "language", "atLeast": 1},
    ],
    ids=lambda c: next(iter(c)),
)
def test_a_worker_that_missed_a_retirement_reloads(monkeypatch, criteria) -> None:
    """The newer worker leaves a blank where the older one would count on."""
    going = make_achievement("going", criteria)
    make_achievement("first", {"count": "tests", "atLeast": 1})
    publish()
    old = get_rulebook()
    going.status = Status.RETIRED
    going.save()
    newest = publish()
    user = new_user()
    process_events([make_event(user, 1)])
    keep_old_rulebook(monkeypatch, old)
    process_events([make_event(user, 2), make_event(user, 3)])
    assert get_rulebook().version == newest
    assert going.pk not in read_levels(user)


def test_a_new_accumulator_is_not_judged_before_its_history_is_there() -> None:
    make_achievement("first", {"count": "tests", "atLeast": 1})
    publish()
    user = new_user()
    past = [make_event(user, n, accuracy=99.0) for n in range(1, 6)]
    store_history(past)
    process_events(past)
    clean = make_achievement("clean", {"count": "tests", "where": {"accuracy": {"gte": 98}}}, 2, 7)
    publish()
    more = [make_event(user, n, accuracy=99.0) for n in range(6, 9)]
    store_history(more)
    for event in more:
        process_events([event])
    assert clean.pk not in read_levels(user)
    assert rebuild() == 2
    assert read_levels(user)[clean.pk] == 2
    check_invariants([*past, *more], are_told=False)


def test_a_measure_that_was_retired_and_comes_back_is_counted_again() -> None:
    rule = {"count": "tests", "where": {"wpm": {"gte": 50}}}
    fast = make_achievement("fast", rule, 2, 4)
    publish()
    user = new_user()
    events = [make_event(user, n, wpm=60.0) for n in range(1, 5)]
    store_history(events[:1])
    process_events(events[:1])
    store_history(events[1:])
    for status in (Status.LOCKED, Status.LIVE):
        fast.status = status
        fast.save()
        publish()
        process_events(events[1:2])
    assert Accumulator.objects.filter(key=next(iter(get_rulebook().positions))).count() == 2
    process_events(events[2:])
    assert read_levels(user) == {}
    rebuild()
    assert read_levels(user) == {fast.pk: 2}
    check_invariants(events, are_told=False)


def test_a_harder_rule_takes_nothing_away() -> None:
    fast = make_achievement("fast", {"best": "wpm"}, 60, 90)
    publish()
    user = new_user()
    events = [make_event(user, 1, wpm=95.0), make_event(user, 2, wpm=40.0)]
    store_history(events)
    process_events(events)
    fast.criteria = {"best": "wpm", "where": {"accuracy": {"gte": 99}}}
    fast.save()
    publish()
    rebuild()
    process_events([make_event(user, 3, wpm=50.0), invalidate(user, 2)])
    assert read_levels(user) == {fast.pk: 2}
    assert read_row(user).points == 30


def test_a_retraction_is_judged_by_the_rule_that_unlocked_and_by_todays() -> None:
    fast = make_achievement("fast", {"best": "wpm"}, 60, 90)
    publish()
    user = new_user()
    events = [make_event(user, 1, wpm=95.0), make_event(user, 2, wpm=65.0)]
    store_history(events)
    process_events(events)
    fast.criteria = {"best": "rawWpm"}
    fast.save()
    publish()
    rebuild()
    process_events([invalidate(user, 1)])
    assert read_levels(user) == {fast.pk: 1}  # test 2 earned it, as the rule was then
    process_events([invalidate(user, 2)])
    assert read_levels(user) == {}
    assert UserAchievement.objects.filter(user_id=user).count() == 2


def test_of_two_rulebooks_the_cache_holds_the_newest(django_capture_on_commit_callbacks) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        make_achievement("first", {"count": "tests", "atLeast": 1})
        version = publish()
    document = Publication.objects.get(version=version).document
    assert cache.read_rulebook(version) == document
    assert cache.read_rulebook(version - 1) is None
    forget_rulebook()
    assert refresh_rulebook().version == version
    store.set(keys.RULEBOOK, b'{"version": 1}', None)
    forget_rulebook()
    assert refresh_rulebook().version == version


def test_a_publication_that_is_rolled_back_is_forgotten() -> None:
    make_achievement("first", {"count": "tests", "atLeast": 1})
    version = publish()
    try:
        with transaction.atomic():
            make_achievement("phantom", {"count": "tests", "atLeast": 1})
            publish()
            get_rulebook()
            raise RuntimeError
    except RuntimeError:
        pass
    make_achievement("second", {"count": "tests", "atLeast": 1})
    assert publish() > version
    assert {d.slug for d in get_rulebook().definitions.values()} == {"first", "second"}


@pytest.mark.django_db(transaction=True)
def test_two_publications_at_a_time_lose_nothing() -> None:
    publish()
    failures: list[Exception] = []

    def add(name: str) -> None:
        try:
            for number in range(4):
                with transaction.atomic():
                    where = {"wpm": {"gte": number + (100 if name == "a" else 0)}}
                    make_achievement(f"{name}-{number}", {"count": "tests", "where": where}, 1)
                    publish()
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [Thread(target=add, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    rulebook = refresh_rulebook()
    assert len(rulebook.rules) == 8
    positions = sorted(rulebook.positions.values())
    assert positions == list(range(8))
    assert Accumulator.objects.count() == 8
