"""Marking notifications as read (services floor); the engine writes them."""

from django.utils import timezone

from achievements.models import Notification


def mark_read(*, user_id: int, up_to: int) -> int:
    """Mark the user's notifications up to this sequence as read; returns how many were not yet."""
    unread = Notification.objects.filter(user_id=user_id, sequence__lte=up_to, read_at=None)
    return unread.update(read_at=timezone.now())
