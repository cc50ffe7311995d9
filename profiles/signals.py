"""A saved test result records its event (transports floor); no work is done here.

bulk_create, update and raw SQL send no signals: whoever uses them records the events with
achievements.outbox.record_events, or runs rebuild_users afterwards.
"""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from achievements import cache
from achievements.events import TEST_COMPLETED, TEST_INVALIDATED
from achievements.outbox import record_events
from profiles.history import event_of
from profiles.models import Profile, TestResult


@receiver(post_save, sender=TestResult, dispatch_uid="profiles.record_test_event")
def record_test_event(
    sender: type[TestResult], instance: TestResult, created: bool, raw: bool, **kwargs: Any
) -> None:
    """Record test_completed for a new test, test_invalidated for one that was invalidated.

    Saving an invalidated test again records it again: the engine applies it once.
    """
    if raw:  # a fixture; rebuild_users reads what it loaded
        return
    if created:
        record_events([event_of(instance, event_type=TEST_COMPLETED)])
    if instance.invalidated_at is not None:
        record_events([event_of(instance, event_type=TEST_INVALIDATED)])


@receiver([post_save, post_delete], sender=Profile, dispatch_uid="profiles.forget_documents")
def forget_documents(sender: type[Profile], instance: Profile, **kwargs: Any) -> None:
    """Whether a profile is private is part of its cached documents."""
    user_id = instance.user_id
    transaction.on_commit(lambda: cache.forget_user(user_id), robust=True)
