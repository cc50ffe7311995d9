"""A saved test result records its event, with what the database keeps."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import serializers
from django.db import transaction
from django.utils import timezone

from achievements.models import Outbox, UserAchievement, UserProgress
from achievements.rebuild import rebuild_user
from profiles.history import TestResultHistory
from profiles.models import TestResult
from profiles.services import invalidate_test_result, save_test_result
from tests.factories import (
    NOON,
    TestResultFactory,
    make_broad_catalogue,
    make_event,
    new_user,
)
from tests.invariants import check_invariants, read_row

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _catalogue(db: None) -> None:
    make_broad_catalogue()


def test_a_saved_result_is_applied_when_it_is_committed() -> None:
    user = new_user()
    with transaction.atomic():
        result = TestResultFactory.create(user_id=user, id=5, wpm=95.0, accuracy=99.0)
        assert not UserProgress.objects.exists()
    assert result.pk == (user, 5)
    event = make_event(user, 5, wpm=95.0, accuracy=99.0, durationSeconds=30.0)
    check_invariants([event])


def test_a_rolled_back_result_leaves_nothing() -> None:
    class Undo(Exception):
        pass

    def save_and_fail() -> None:
        with transaction.atomic():
            TestResultFactory.create()
            raise Undo

    with pytest.raises(Undo):
        save_and_fail()
    assert not TestResult.objects.exists()
    assert not Outbox.objects.exists()
    assert not UserProgress.objects.exists()


def test_saving_again_changes_nothing() -> None:
    result = TestResultFactory.create(wpm=65.0)
    before = UserProgress.objects.get().revision
    result.wpm = 200.0
    result.save()
    assert UserProgress.objects.get().revision == before
    assert not Outbox.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"wpm": Decimal("95.50"), "accuracy": Decimal("99.1"), "duration_seconds": 30},
        {"wpm": "95.5", "accuracy": "99.1", "duration_seconds": "30.0", "characters": "150"},
        {"completed_at": "2026-03-02T12:00:00Z", "utc_offset_minutes": "60"},
    ],
    ids=["decimals", "texts", "a time as text"],
)
def test_what_the_database_understands_the_event_understands(values) -> None:
    user = new_user()
    TestResult.objects.create(
        **{"user_id": user, "wpm": 95.5, "accuracy": 99.1, "duration_seconds": 30.0, **values}
    )
    assert not Outbox.objects.exists()
    [[event]] = TestResultHistory().read_tests([user]).values()
    assert UserAchievement.objects.filter(user_id=user).exists()
    check_invariants([event])


def test_an_invalidated_result_takes_its_effect_back() -> None:
    user = new_user()
    test: dict[str, Any] = {
        "user_id": user,
        "accuracy": 97.0,
        "duration_seconds": 30.0,
        "completed_at": NOON,
    }
    kept = save_test_result(wpm=65.0, **test)
    great = save_test_result(wpm=130.0, **test)
    points = read_row(user).points
    assert invalidate_test_result(user_id=user, test_result_id=great.id, reason="a script")
    assert not invalidate_test_result(user_id=user, test_result_id=great.id, reason="again")
    assert not invalidate_test_result(user_id=user + 1, test_result_id=kept.id, reason="not his")
    assert read_row(user).points == points - 60  # fast 2 and 3, hours 1
    assert UserAchievement.objects.filter(user_id=user).exclude(revoked_at=None).count() == 3


def test_a_result_that_is_born_invalid_never_counts() -> None:
    result = TestResultFactory.create(invalidated_at=NOON + timedelta(hours=1))
    assert read_row(result.user_id).values[0] == 0
    assert not UserAchievement.objects.exists()


def test_fixtures_record_nothing() -> None:
    result = TestResultFactory.build(user_id=new_user(), id=1)
    [loaded] = serializers.deserialize("json", serializers.serialize("json", [result]))
    loaded.save()
    assert TestResult.objects.count() == 1
    assert not UserProgress.objects.exists()


def test_what_breaks_the_contract_is_set_aside() -> None:
    TestResultFactory.create(wpm=5_000.0)
    row = Outbox.objects.get()
    assert row.failed_at is not None
    assert "/metrics/wpm" in row.error


def test_what_breaks_the_contract_does_not_come_back_by_a_replay() -> None:
    """The history must not count what the live path refused."""
    user = new_user()
    TestResultFactory.create(user_id=user, id=1, wpm=5_000.0)
    TestResultFactory.create(user_id=user, id=2, completed_at=timezone.now() + timedelta(days=2))
    assert Outbox.objects.exclude(failed_at=None).count() == 2
    Outbox.objects.all().delete()
    TestResultFactory.create(user_id=user, id=3, wpm=61.0)
    rebuild_user(user)
    check_invariants([make_event(user, 3, wpm=61.0, accuracy=97.0, durationSeconds=30.0)])
