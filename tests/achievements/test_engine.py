"""process_events on the database: exact effects, few statements, whatever the delivery."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as run_settings
from hypothesis import strategies as st
from msgspec.structs import replace

from achievements import failpoints, metrics
from achievements.engine import process_events
from achievements.models import Notification, SeenTests, Tally, UserAchievement, UserProgress
from achievements.shown import fetch_profile
from tests.achievements.strategies import deliveries, lives, sorted_stream
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
from tests.memory_history import MemoryHistory

pytestmark = pytest.mark.django_db
few = run_settings(
    max_examples=20,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def catalogue(db: None) -> None:
    make_broad_catalogue()


@pytest.fixture
def in_memory(settings) -> None:
    """The history is the very events, metrics missing as they may be."""
    settings.ACHIEVEMENTS = {"HISTORY": "tests.memory_history.MemoryHistory"}


def count_statements(events, table: str) -> tuple[int, int]:
    """Return how often the table is read and written for a batch."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        process_events(events)
    own = [q["sql"].strip() for q in queries if table in q["sql"]]
    reads = sum(sql.startswith("SELECT") for sql in own)
    return reads, len(own) - reads


@pytest.mark.parametrize("size", [1, 10, 500])
def test_a_batch_reads_and_writes_progress_once(catalogue, size: int) -> None:
    users = [new_user() for _ in range(size)]
    process_events([make_event(user, 1) for user in users])
    events = [make_event(user, test, wpm=95.0) for user in users for test in (2, 3)]
    assert count_statements(events, "user_progress") == (1, 1)
    assert UserAchievement.objects.count() == 5 * size  # first, fast 1 and 2, many 1, steady


def test_the_number_of_statements_does_not_grow_with_the_batch(catalogue) -> None:
    counts = []
    for size in (2, 400):
        users = [new_user() for _ in range(size)]
        process_events([make_event(user, 1) for user in users])
        with CaptureQueriesContext(connection) as queries:
            process_events([make_event(user, 2, wpm=150.0, accuracy=100.0) for user in users])
        # The look whether a rulebook was published comes by the clock.
        counts.append(sum("publications" not in query["sql"] for query in queries))
    assert counts[0] == counts[1] <= 8, counts


def test_unlocks_notifications_points_and_tallies_are_exact(catalogue) -> None:
    user, other = new_user(), new_user()
    events = [
        *(make_event(user, n, wpm=50.0 + n, accuracy=99.0, durationSeconds=30) for n in range(20)
          if n),
        make_event(other, 7, wpm=125.0, accuracy=100.0, language="german"),
    ]  # fmt: skip
    result = process_events(events)
    held = check_invariants(events)
    assert result.applied == len(events)
    assert result.unlocks == sum(sum(levels.values()) for levels in held.values())
    assert result.unlocking_users == [user, other]


def test_an_unlock_tells_when_and_by_which_test(catalogue) -> None:
    user = new_user()
    version = publish()
    process_events([make_event(user, 5), make_event(user, 9, wpm=91.0)])
    unlock = UserAchievement.objects.get(user_id=user, level=2)  # fast
    assert unlock.test_result_id == 9
    assert unlock.unlocked_at == NOON + timedelta(minutes=9)
    assert unlock.rulebook_version == version


def test_duplicates_within_and_across_batches_have_one_effect(catalogue) -> None:
    user = new_user()
    events = [make_event(user, n, wpm=61.0, accuracy=98.5) for n in range(1, 13)]
    first = process_events(events * 3)
    assert (first.applied, first.duplicates) == (12, 24)
    state = UserProgress.objects.get(user_id=user).state
    again = process_events([*reversed(events)])
    assert (again.applied, again.unlocks) == (0, 0)
    # Whoever applied them may have died before it dropped the documents.
    assert again.moved_users == again.unlocking_users == [user]
    assert UserProgress.objects.get(user_id=user).state == state
    check_invariants(events)


@pytest.mark.parametrize("order", ["rising", "falling", "random"])
def test_thousands_of_tests_of_one_user(catalogue, order: str) -> None:
    user = new_user()
    ids = list(range(1, 2_001))
    rising = order == "rising"
    if order == "random":
        ids = [n * 7_919 % 2_003 for n in ids]
    elif order == "falling":
        ids.reverse()
    events = [
        make_event(user, test, wpm=59.0 + test % 7, accuracy=90.0 + test % 11) for test in ids
    ]
    store_history(events)  # known to be whole: late ones are replayed
    size = 100 if rising else 500
    for start in range(0, len(events), size):
        batch = events[start : start + size]
        process_events([*batch, *batch[:20]])
    assert SeenTests.objects.filter(user_id=user).count() > 1
    again = process_events(events[:: 7 if rising else 97])
    assert again.applied == 0
    check_invariants(events)


def test_old_duplicates_are_found_in_the_archive_without_a_history(catalogue, settings) -> None:
    settings.ACHIEVEMENTS = {"HISTORY": ""}
    user = new_user()
    events = [make_event(user, test * 1_000) for test in range(1, 1_201)]
    for start in range(0, 1_200, 150):
        process_events(events[start : start + 150])
    assert process_events(events[::3]).applied == 0
    late = make_event(user, 1_500)
    assert process_events([late, events[0]]).applied == 1
    assert process_events([late]).applied == 0
    assert read_row(user).values[0] == 1_201


@few
@given(data=st.data())
def test_any_delivery_is_what_the_oracle_says(catalogue, in_memory, data: st.DataObject) -> None:
    """The history is held. An invalidation is the last word: runs reached meanwhile may go."""
    life = data.draw(lives(max_tests=40))
    user = new_user()
    stream = [[replace(e, user_id=user) for e in batch] for batch in data.draw(deliveries(life))]
    events = [e for batch in stream for e in batch]
    MemoryHistory.tests[user] = [replace(e, user_id=user) for e in life.tests]
    for batch in stream:
        process_events(batch)
    # Late tests can break what was reached before; those stay. A last word settles it.
    sentinel = make_event(user, 2**63 - 5, event_type="test_invalidated")
    process_events([sentinel])
    check_invariants([*events, sentinel], are_told=False)


@few
@given(data=st.data())
def test_users_of_events_alone_are_counted_without_order(catalogue, data: st.DataObject) -> None:
    life = data.draw(lives(max_tests=30, can_invalidate=False))
    user = new_user()
    stream = [[replace(e, user_id=user) for e in batch] for batch in data.draw(deliveries(life))]
    for batch in stream:
        process_events(batch)
    one = new_user()
    process_events(sorted_stream([replace(e, user_id=one) for e in life.tests]))
    ours, theirs = read_row(user), read_row(one)
    for key, position in _positions().items():
        if not key.startswith(("run", "average")):
            assert ours.values[position] == theirs.values[position], key
    assert ours.is_partial
    assert process_events([e for batch in stream for e in batch]).applied == 0


def _positions() -> dict[str, int]:
    from achievements.rulebooks import get_rulebook

    return dict(get_rulebook().positions)


def test_an_invalidation_takes_back_softly_and_it_can_be_earned_again(db) -> None:
    fast = make_achievement("fast", {"best": "wpm"}, 60, 90)
    publish()
    user = new_user()
    good, great = make_event(user, 1, wpm=70.0), make_event(user, 2, wpm=95.0)
    store_history([good, great])
    process_events([good, great])
    assert read_row(user).points == 30

    result = process_events([invalidate(user, 2)])
    assert (result.revocations, result.unlocks) == (1, 0)
    lost = UserAchievement.objects.get(user_id=user, level=2)
    assert lost.revoked_at is not None
    assert lost.revoked_reason
    assert (lost.test_result_id, lost.unlocked_at) == (2, great.occurred_at)
    assert read_levels(user) == {fast.pk: 1}
    assert read_row(user).points == 10
    assert sum(t.holders for t in Tally.objects.filter(achievement_id=fast.pk, level=2)) == 0

    assert process_events([invalidate(user, 2), great]).applied == 0
    again = make_event(user, 3, wpm=96.0)
    store_history([again])
    assert process_events([again]).unlocks == 1
    renewed = UserAchievement.objects.get(user_id=user, level=2)
    assert (renewed.revoked_at, renewed.revoked_reason) == (None, None)
    assert (renewed.test_result_id, renewed.unlocked_at) == (3, again.occurred_at)
    assert Notification.objects.filter(user_id=user).count() == 2
    check_invariants([good, great, invalidate(user, 2), again])


def test_an_invalidation_that_comes_first_keeps_its_test_out(catalogue) -> None:
    user = new_user()
    events = [invalidate(user, 8), make_event(user, 8, wpm=130.0), make_event(user, 9, wpm=61.0)]
    store_history(events)
    for event in events:
        process_events([event])
    held = check_invariants(events)
    assert sum(held[user].values()) == 2  # first, fast 1


def test_a_late_test_replays_runs_and_averages(catalogue) -> None:
    user = new_user()
    events = [make_event(user, n, wpm=75.0, accuracy=96.0) for n in (1, 2, 4, 5)]
    late = make_event(user, 6, wpm=75.0, accuracy=96.0, at=NOON + timedelta(minutes=3))
    store_history([*events, late])
    for event in [*events, late]:
        process_events([event])
    check_invariants([*events, late])


def test_a_new_user_brings_the_history_that_nobody_processed(catalogue) -> None:
    user = new_user()
    past = [make_event(user, n, wpm=92.0, accuracy=99.0) for n in range(1, 60)]
    store_history(past)
    now = make_event(user, 100, wpm=40.0)
    store_history([now])
    result = process_events([now])
    assert result.applied == 1
    check_invariants([*past, now])
    assert process_events(past).applied == 0  # learned with the history


def test_a_cascade_unlocks_in_one_batch(catalogue) -> None:
    user = new_user()
    events = [make_event(user, n, wpm=61.0, accuracy=98.0) for n in (1, 2)]
    store_history(events)
    process_events(events)
    slugs = _slugs(user)
    assert {"fast", "clean", "collector", "either"} <= slugs
    taken = [invalidate(user, 2)]
    process_events(taken)
    assert not {"clean", "collector", "either"} & _slugs(user)
    check_invariants([*events, *taken], are_told=False)


def _slugs(user: int) -> set[str]:
    from achievements.models import Achievement

    return set(Achievement.objects.filter(pk__in=read_levels(user)).values_list("slug", flat=True))


def test_a_test_count_is_believed_and_survives_replay(db) -> None:
    many = make_achievement("many", {"count": "tests"}, 100, 200)
    publish()
    user = new_user()
    events = [make_event(user, 1, testCount=150), make_event(user, 2, testCount=120)]
    store_history(events)
    process_events([events[0]])
    assert read_levels(user) == {many.pk: 1}
    process_events([events[1], invalidate(user, 1)])
    assert read_levels(user) == {many.pk: 1}
    assert read_row(user).reported == 150


def test_an_empty_batch_and_a_batch_of_one_user_at_the_bounds(catalogue) -> None:
    assert process_events([]).applied == 0
    events = [
        make_event(2**63 - 1, 2**63 - 1, wpm=420.0, accuracy=100.0, utcOffset=0),
        make_event(1, 1, wpm=0.0, accuracy=0.0, utc_offset_minutes=-840),
    ]
    process_events(events)
    check_invariants(events)


def test_an_unlock_that_stays_names_a_test_that_still_counts(settings) -> None:
    make_achievement("fast", {"best": "wpm", "atLeast": 50})
    publish()
    user = new_user()
    first, second = make_event(user, 1, wpm=90), make_event(user, 2, wpm=60)
    store_history([first, second])
    process_events([first, second])
    assert UserAchievement.objects.get(user_id=user).test_result_id == 1
    process_events([invalidate(user, 1)])
    unlock = UserAchievement.objects.get(user_id=user)
    assert (unlock.test_result_id, unlock.revoked_at) == (2, None)
    assert unlock.unlocked_at == second.occurred_at


def test_a_cache_that_fails_does_not_fail_an_unlock(catalogue, monkeypatch) -> None:
    def fail(names: object) -> None:
        raise ConnectionError("the cache is away")

    monkeypatch.setattr("achievements.effects.cache.forget", fail)
    before = metrics.EFFECT_FAILURES.labels("cache")._value.get()
    event = make_event(new_user(), 1)
    assert process_events([event]).unlocks == 1
    assert metrics.EFFECT_FAILURES.labels("cache")._value.get() == before + 1
    check_invariants([event])


def test_an_event_that_fails_leaves_its_batch_undone(catalogue, monkeypatch) -> None:
    """Of a batch without an outbox all or nothing is applied: the sender sends it again."""
    good, bad = new_user(), new_user()
    events = [make_event(good, 1), make_event(bad, 1)]
    armed = failpoints.parse_failpoints(f"apply_user@{bad}:raise")
    monkeypatch.setattr(failpoints, "armed", armed)
    with pytest.raises(failpoints.InjectedFault):
        process_events(events)
    assert not UserProgress.objects.exists()
    monkeypatch.setattr(failpoints, "armed", {})
    process_events(events)
    check_invariants(events)


def test_a_delivery_with_old_and_new_drops_what_the_old_made_old(catalogue, monkeypatch) -> None:
    """Whoever applied the old one died between its commit and the effects."""
    user = new_user()
    first, second = make_event(user, 1, wpm=61.0), make_event(user, 2, wpm=10.0)
    before = fetch_profile(user).body
    with monkeypatch.context() as patch:
        patch.setattr("achievements.engine.run_effects", lambda result: None)
        process_events([first])
    assert fetch_profile(user).body == before
    result = process_events([first, second])
    assert (result.applied, result.duplicates, result.unlocking_users) == (1, 1, [user])
    assert fetch_profile(user).body != before


def test_renewed_evidence_is_seen_on_the_profile() -> None:
    make_achievement("quick", {"best": "wpm", "atLeast": 50})
    publish()
    user = new_user()
    first, second = make_event(user, 1, wpm=90), make_event(user, 2, wpm=60)
    store_history([first, second])
    process_events([first, second])
    before = fetch_profile(user).body
    process_events([invalidate(user, 1)])
    assert fetch_profile(user).body != before
