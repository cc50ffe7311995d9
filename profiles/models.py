"""The host site's side (storage floor): who types, and every finished test."""

import secrets
import time
from threading import Lock
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.utils import timezone

_ID_EPOCH_MS = 1_577_836_800_000  # 2020-01-01
_ID_RANDOM_BITS = 11
_id_lock = Lock()
_last_id = 0


def make_test_result_id() -> int:
    """Return a growing id below 2**53: milliseconds since 2020, then 11 random bits.

    Growing, because the engine recognises a fresh test by an id above all it has seen;
    below 2**53, because JavaScript reads JSON numbers as doubles. Unique per user (the
    primary key is user_id and id), never twice in one process.
    """
    global _last_id
    milliseconds = time.time_ns() // 1_000_000 - _ID_EPOCH_MS
    candidate = milliseconds << _ID_RANDOM_BITS | secrets.randbits(_ID_RANDOM_BITS)
    with _id_lock:
        _last_id = max(candidate, _last_id + 1)
        return _last_id


class Profile(models.Model):
    """What the site shows of a user; without a row the profile is public and unnamed."""

    user_id = models.BigIntegerField(primary_key=True)
    display_name = models.CharField(max_length=40)
    is_private = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "profiles"

    def __str__(self) -> str:
        return self.display_name


class RecentSubmissions(models.Model):
    """The idempotency keys that a user's tests were sent with lately, one row a user."""

    user_id = models.BigIntegerField(primary_key=True)
    packed = models.BinaryField(default=b"")  # profiles/submissions.py

    class Meta:
        db_table = "recent_submissions"
        verbose_name_plural = "recent submissions"

    def __str__(self) -> str:
        return f"submissions of user {self.user_id}"


class TestResult(models.Model):
    """One finished test. Saving it records its event in the same transaction (signals.py).

    Floats are stored as doubles: the replay must read the very number the live path saw.
    """

    __test__ = False  # pytest: this is a model

    pk = models.CompositePrimaryKey("user_id", "id")
    user_id = models.BigIntegerField(validators=[MinValueValidator(1)])
    id = models.BigIntegerField(default=make_test_result_id)
    wpm = models.FloatField(validators=[MinValueValidator(0), MaxValueValidator(420)])
    raw_wpm = models.FloatField(null=True, blank=True)
    accuracy = models.FloatField(validators=[MinValueValidator(0), MaxValueValidator(100)])
    consistency = models.FloatField(null=True, blank=True)
    duration_seconds = models.FloatField()
    characters = models.IntegerField(null=True, blank=True)
    mode = models.CharField(max_length=40, default="time")
    length = models.IntegerField(null=True, blank=True)
    language = models.CharField(max_length=40, default="english")
    completed_at = models.DateTimeField(default=timezone.now)
    utc_offset_minutes = models.SmallIntegerField(default=0)
    invalidated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "test_results"

    def __str__(self) -> str:
        return f"test {self.id} of user {self.user_id}: {self.wpm} wpm"

    def save(self, *args: Any, **kwargs: Any) -> None:
        # Django sends post_save after the row is committed, unless a transaction is open.
        with transaction.atomic():
            super().save(*args, **kwargs)

    def _do_update(self, base_qs: Any, using: Any, pk_val: Any, *args: Any) -> Any:
        # Django compares the key as a row, (user_id, id) = (1, 2). In an UPDATE MariaDB finds no
        # index for that: it read and locked the whole table.
        named = base_qs.filter(user_id=pk_val[0], id=pk_val[1])
        return super()._do_update(named, using, pk_val, *args)
