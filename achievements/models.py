"""The tables (storage floor). Every query on a user table names user_id; none joins users.

The user tables are hash-partitioned by user_id on MySQL and MariaDB (see
migrations and partitions.py). A unique key of a partitioned table must hold the
partition column, so their primary keys start with user_id; they have no foreign keys.
"""

from typing import ClassVar

from django.db import models
from rest_framework_api_key.models import AbstractAPIKey
from simple_history.models import HistoricalRecords


class Status(models.TextChoices):
    DRAFT = "draft", "Draft"
    LIVE = "live", "Live"
    LOCKED = "locked", "Locked: nobody new, holders keep it"
    RETIRED = "retired", "Retired: shown to holders only"


class Achievement(models.Model):
    """One definition. The slug is permanent; the version grows with every change of rule."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=80)
    locked_description = models.CharField(max_length=240)
    unlocked_description = models.CharField(max_length=240)
    category = models.SlugField(max_length=40)
    icon = models.CharField(max_length=64)
    hidden = models.JSONField(default=list, blank=True)  # of: title, icon, description, count
    criteria = models.JSONField()
    levels = models.JSONField(default=list)  # [{"target": number or null, "points": int}, ...]
    version = models.PositiveIntegerField(default=1, editable=False)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.DRAFT)
    active_from = models.DateTimeField(null=True, blank=True)
    active_until = models.DateTimeField(null=True, blank=True)
    sort_order = models.PositiveIntegerField(default=1000)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    history = HistoricalRecords()

    class Meta:
        db_table = "achievements"
        ordering: ClassVar = ["sort_order", "slug"]

    def __str__(self) -> str:
        return self.name


class Accumulator(models.Model):
    """One position in every user's packed values; positions are only ever appended.

    An accumulator that no live rule needs any more is retired, and a rule that needs it
    again gets a new position: what was not fed in between must not be judged.
    """

    position = models.PositiveIntegerField(primary_key=True)
    key = models.TextField()  # unbounded: it spells out every condition
    created_at = models.DateTimeField(auto_now_add=True)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "accumulators"

    def __str__(self) -> str:
        return f"{self.position}: {self.key}"


class Publication(models.Model):
    """One published rulebook: the definitions as they were, kept for what they unlocked."""

    version = models.AutoField(primary_key=True)
    document = models.JSONField()
    published_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "publications"

    def __str__(self) -> str:
        return f"rulebook {self.version}"


class UserProgress(models.Model):
    """Everything the engine needs to know of a user, packed into one row (see progress.py)."""

    user_id = models.BigIntegerField(primary_key=True)
    revision = models.BigIntegerField()
    state = models.BinaryField()

    class Meta:
        db_table = "user_progress"

    def __str__(self) -> str:
        return f"user {self.user_id}, revision {self.revision}"


class UserAchievement(models.Model):
    """One unlock. `revoked_at` takes it back softly and keeps the evidence."""

    pk = models.CompositePrimaryKey("user_id", "achievement_id", "level")
    user_id = models.BigIntegerField()
    achievement_id = models.IntegerField()
    level = models.SmallIntegerField()
    unlocked_at = models.DateTimeField()
    test_result_id = models.BigIntegerField(null=True)
    rulebook_version = models.IntegerField()
    revoked_at = models.DateTimeField(null=True)
    # Null and not "", because a null costs no byte in a table of billions of rows.
    revoked_reason = models.CharField(max_length=120, null=True)  # noqa: DJ001

    class Meta:
        db_table = "user_achievements"

    def __str__(self) -> str:
        return f"user {self.user_id}: achievement {self.achievement_id} level {self.level}"


class SeenTests(models.Model):
    """Older test ids that a user's row no longer holds: sorted runs of 64-bit ids."""

    pk = models.CompositePrimaryKey("user_id", "is_invalidation", "first_id")
    user_id = models.BigIntegerField()
    is_invalidation = models.BooleanField()
    first_id = models.BigIntegerField()
    last_id = models.BigIntegerField()
    ids = models.BinaryField()

    class Meta:
        db_table = "user_seen_tests"

    def __str__(self) -> str:
        return f"user {self.user_id}: tests {self.first_id} to {self.last_id}"


class Snapshot(models.Model):
    """What a user's dropped tests came to (see retention.py): where a replay starts."""

    user_id = models.BigIntegerField(primary_key=True)
    cut_at = models.DateTimeField()  # tests completed before it were dropped
    dropped = models.BigIntegerField()  # how many, over all cuts
    state = models.BinaryField()

    class Meta:
        db_table = "user_snapshots"

    def __str__(self) -> str:
        return f"user {self.user_id}: {self.dropped} tests before {self.cut_at}"


class Notification(models.Model):
    """Told once per unlock; `sequence` counts a user's notifications from 1 without gaps."""

    pk = models.CompositePrimaryKey("user_id", "sequence")
    user_id = models.BigIntegerField()
    sequence = models.BigIntegerField()
    achievement_id = models.IntegerField()
    level = models.SmallIntegerField()
    created_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "notifications"

    def __str__(self) -> str:
        return f"user {self.user_id}: notification {self.sequence}"


class Tally(models.Model):
    """Holders of one level (achievement 0: users with progress), spread over slots.

    Changed in the transaction of the unlock, so it is exact; the slots keep workers from
    waiting for each other's row. The count is the sum over the slots.
    """

    pk = models.CompositePrimaryKey("achievement_id", "level", "slot")
    achievement_id = models.IntegerField()
    level = models.SmallIntegerField()
    slot = models.SmallIntegerField()
    holders = models.BigIntegerField()

    class Meta:
        db_table = "tallies"

    def __str__(self) -> str:
        return f"achievement {self.achievement_id} level {self.level}: {self.holders}"


class Outbox(models.Model):
    """An event recorded in the transaction that caused it; deleted in the one that applied it.

    A row whose event the engine cannot apply keeps the error and is set aside.
    """

    id = models.BigAutoField(primary_key=True)
    user_id = models.BigIntegerField()
    event = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)
    failed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, default="", blank=True)

    class Meta:
        db_table = "outbox"
        verbose_name_plural = "outbox"

    def __str__(self) -> str:
        return f"outbox {self.id} for user {self.user_id}"


class Job(models.Model):
    """How far a long job has come, moved in the transaction of each slice: it resumes there."""

    name = models.CharField(max_length=80, primary_key=True)
    cursor = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "jobs"

    def __str__(self) -> str:
        return f"{self.name} at {self.cursor}"


class ServiceKey(AbstractAPIKey):
    """The key of a service that talks to us, with the scopes it may use."""

    scopes = models.JSONField(default=list)

    class Meta(AbstractAPIKey.Meta):
        db_table = "service_keys"
        verbose_name = "service key"
        verbose_name_plural = "service keys"
