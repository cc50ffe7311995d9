"""Marks notifications as read (services floor)."""

from django.utils import timezone

from achievements.models import Notification


def mark_read(*, user_id: int, up_to: int) -> int:
    """Mark everything up to this sequence as read; returns how many were not. Repeatable."""
    return Notification.objects.filter(user_id=user_id, sequence__lte=up_to, read_at=None).update(
        read_at=timezone.now()
    )
