"""Reads of what the host site's side holds (services floor)."""

from profiles.models import Profile, TestResult


def is_private(*, user_id: int) -> bool:
    """Whether only the owner and staff may see this profile."""
    return Profile.objects.filter(user_id=user_id, is_private=True).exists()


def find_test_result(*, user_id: int, test_result_id: int) -> TestResult | None:
    return TestResult.objects.filter(user_id=user_id, id=test_result_id).first()
