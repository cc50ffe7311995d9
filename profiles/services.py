"""Writes of the host site's side (services floor)."""

from datetime import UTC, datetime

import structlog
from django.db import transaction
from django.utils import timezone

from profiles.models import Profile, TestResult

logger = structlog.get_logger(__name__)


def save_test_result(
    *,
    user_id: int,
    wpm: float,
    accuracy: float,
    duration_seconds: float,
    raw_wpm: float | None = None,
    consistency: float | None = None,
    characters: int | None = None,
    mode: str | None = None,
    length: int | None = None,
    language: str | None = None,
    completed_at: datetime | None = None,
    utc_offset_minutes: int = 0,
) -> TestResult:
    """Save a finished test; its event is recorded in the same transaction (signals.py).

    The values must be within the bounds of the event contract. Raises django.db errors when
    nothing could be kept.
    """
    at = (completed_at or timezone.now()).astimezone(UTC)
    chosen = {"mode": mode, "language": language}
    with transaction.atomic():
        # create() inserts outright; save() would first try to update a row with this key.
        return TestResult.objects.create(
            user_id=user_id,
            wpm=wpm,
            raw_wpm=raw_wpm,
            accuracy=accuracy,
            consistency=consistency,
            duration_seconds=duration_seconds,
            characters=characters,
            length=length,
            completed_at=at,
            utc_offset_minutes=utc_offset_minutes,
            **{name: value for name, value in chosen.items() if value is not None},
        )


def invalidate_test_result(*, user_id: int, test_result_id: int, reason: str) -> bool:
    """Take a test back; False when there is none, or it was taken back before.

    Saving records the event test_invalidated in the same transaction (signals.py).
    """
    with transaction.atomic():
        result = (
            TestResult.objects.select_for_update()
            .filter(user_id=user_id, id=test_result_id, invalidated_at=None)
            .first()
        )
        if result is None:
            return False
        result.invalidated_at = timezone.now()
        result.save(update_fields=["invalidated_at"])
    logger.info(
        "test_result_invalidated", user_id=user_id, test_result_id=test_result_id, reason=reason
    )
    return True


def set_privacy(*, user_id: int, is_private: bool) -> None:
    """Open or close a profile; what is cached with the other setting is dropped (signals.py)."""
    Profile.objects.update_or_create(
        user_id=user_id,
        defaults={"is_private": is_private},
        create_defaults={"is_private": is_private, "display_name": ""},
    )
