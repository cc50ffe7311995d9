"""What is left of tests that were dropped (storage floor): one row a user, see retention.py."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from achievements.models import Snapshot
from achievements.progress import Base


class SnapshotRow(NamedTuple):
    user_id: int
    cut_at: datetime
    dropped: int
    state: bytes


def read_bases(user_ids: Sequence[int]) -> dict[int, Base]:
    """Return where the replay of a user starts, of those users whose tests were dropped."""
    rows = Snapshot.objects.filter(user_id__in=user_ids).values_list("user_id", "state", "dropped")
    return {user_id: Base(bytes(state), dropped) for user_id, state, dropped in rows}


def read_cuts(user_ids: Sequence[int]) -> dict[int, datetime]:
    rows = Snapshot.objects.filter(user_id__in=user_ids)
    return dict(rows.values_list("user_id", "cut_at"))


def find_cut(user_id: int) -> datetime | None:
    """Return when the oldest test that is still held can have been completed."""
    return Snapshot.objects.filter(user_id=user_id).values_list("cut_at", flat=True).first()


def store_snapshots(rows: Iterable[SnapshotRow]) -> None:
    """Write the rows of users who are locked, in place of older ones."""
    has_target = connection.features.supports_update_conflicts_with_target
    Snapshot.objects.bulk_create(
        [Snapshot(**row._asdict()) for row in rows],
        update_conflicts=True,
        update_fields=["cut_at", "dropped", "state"],
        unique_fields=["user_id"] if has_target else None,
    )
