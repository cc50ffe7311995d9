"""The table of test results as the engine's history."""

import pytest

from achievements.events import TEST_COMPLETED, TEST_INVALIDATED
from profiles.history import TestResultHistory, event_of
from profiles.models import TestResult, make_test_result_id
from tests.factories import (
    TestResultFactory,
    invalidate,
    make_event,
    new_user,
    store_history,
)

pytestmark = pytest.mark.django_db


def test_the_history_holds_the_very_events() -> None:
    user = new_user()
    events = [
        make_event(
            user, 1, wpm=0.1 + 0.2, rawWpm=61.00049999999999, accuracy=99.99999999999999,
            consistency=1e-7, durationSeconds=1 / 3, characters=10_000_000, length=0, mode="Words",
            language="日本語", utc_offset_minutes=-840,
        ),
        make_event(user, 2**63 - 1, wpm=5e-324, accuracy=100.0),
    ]  # fmt: skip
    store_history(events)
    found = TestResultHistory().read_tests([user, new_user()])
    assert list(found) == [user]
    assert sorted(found[user], key=lambda e: e.test_result_id) == events
    results = TestResult.objects.filter(user_id=user).order_by("id")
    assert [event_of(result) for result in results] == events


def test_invalidated_ones_are_marked() -> None:
    user = new_user()
    store_history([make_event(user, 1), make_event(user, 2), invalidate(user, 2)])
    kinds = {e.test_result_id: e.event_type for e in TestResultHistory().read_tests([user])[user]}
    assert kinds == {1: TEST_COMPLETED, 2: TEST_INVALIDATED}


def test_users_are_listed_in_order_from_a_cursor() -> None:
    users = sorted(new_user() for _ in range(5))
    store_history([make_event(user, n) for user in users for n in (1, 2, 3)])
    history = TestResultHistory()
    assert history.list_users(after=0, limit=3) == users[:3]
    assert history.list_users(after=users[2], limit=3) == users[3:]
    assert history.list_users(after=users[-1], limit=3) == []


def test_a_slice_of_users_is_one_query(django_assert_num_queries) -> None:
    users = [new_user() for _ in range(50)]
    store_history([make_event(user, n) for user in users for n in (1, 2)])
    with django_assert_num_queries(1):
        assert len(TestResultHistory().read_tests(users)) == 50


def test_test_ids_grow_and_fit_into_a_double() -> None:
    ids = [make_test_result_id() for _ in range(5_000)]
    assert ids == sorted(set(ids))
    assert ids[-1] < 2**53


def test_results_of_one_user_may_share_an_id_with_another() -> None:
    TestResultFactory.create(user_id=new_user(), id=1)
    TestResultFactory.create(user_id=new_user(), id=1)
    assert TestResult.objects.filter(id=1).count() == 2
