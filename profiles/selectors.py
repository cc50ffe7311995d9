"""Reads of what the host site's side holds (services floor)."""

from collections.abc import Sequence

from profiles.models import Profile, TestResult


def find_private(user_ids: Sequence[int]) -> set[int]:
    """Return those of these users whose profile only they and staff may see."""
    rows = Profile.objects.filter(user_id__in=user_ids, is_private=True)
    return set(rows.values_list("user_id", flat=True))


def find_test_result(*, user_id: int, test_result_id: int) -> TestResult | None:
    return TestResult.objects.filter(user_id=user_id, id=test_result_id).first()
