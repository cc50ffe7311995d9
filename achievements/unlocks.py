"""The statements on unlocks (storage floor): user_achievements, by user.

Every statement names user_id, so each one touches only the partitions of its users.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from achievements.claims import IMPORTED, HeldLevel
from achievements.sources import name_database
from achievements.statements import (
    fetch_all,
    insert_rows,
    is_mysql,
    is_sharded,
    read_time,
    split_keys,
    update_each,
    write_marks,
)

_PAIR_LIST: Final = (
    "JSON_TABLE(%s, '$[*]' COLUMNS (user_id BIGINT PATH '$[0]', achievement_id INT PATH '$[1]')) k"
)

_HELD_COLUMNS: Final = (
    "a.user_id, a.achievement_id, level, unlocked_at, rulebook_version, revoked_at, test_result_id"
)


class UnlockRow(NamedTuple):
    user_id: int
    achievement_id: int
    level: int
    unlocked_at: datetime
    test_result_id: int | None
    rulebook_version: int


class RevocationRow(NamedTuple):
    revoked_at: datetime
    revoked_reason: str
    user_id: int
    achievement_id: int
    level: int


class EvidenceRow(NamedTuple):
    unlocked_at: datetime
    test_result_id: int
    user_id: int
    achievement_id: int
    level: int
    taken_back_id: int


def insert_unlocks(rows: Sequence[UnlockRow]) -> None:
    """Insert unlocks; one that was revoked is earned again, one that stands is left as it is."""
    renewed = ("unlocked_at", "test_result_id", "rulebook_version")
    # MySQL assigns from left to right: revoked_at decides for the others, so it goes last.
    by_mysql = ", ".join(f"{c} = IF(revoked_at IS NULL, {c}, VALUES({c}))" for c in renewed)
    by_other = ", ".join(f"{c} = excluded.{c}" for c in renewed)
    insert_rows(
        "user_achievements (user_id, achievement_id, level, unlocked_at, test_result_id,"
        " rulebook_version)",
        rows,
        mysql_conflict=(
            f"ON DUPLICATE KEY UPDATE {by_mysql}, revoked_reason = NULL, revoked_at = NULL"
        ),
        other_conflict=(
            f"ON CONFLICT (user_id, achievement_id, level) DO UPDATE SET {by_other},"
            " revoked_reason = NULL, revoked_at = NULL WHERE revoked_at IS NOT NULL"
        ),
    )


def put_unlocks(rows: Sequence[UnlockRow]) -> None:
    """Write levels as they are given, over whatever stands there, revoked or not."""
    columns = ("unlocked_at", "test_result_id", "rulebook_version")
    by_mysql = ", ".join(f"{c} = VALUES({c})" for c in columns)
    by_other = ", ".join(f"{c} = excluded.{c}" for c in columns)
    rest = "revoked_reason = NULL, revoked_at = NULL"
    insert_rows(
        "user_achievements (user_id, achievement_id, level, unlocked_at, test_result_id,"
        " rulebook_version)",
        rows,
        mysql_conflict=f"ON DUPLICATE KEY UPDATE {by_mysql}, {rest}",
        other_conflict=(
            f"ON CONFLICT (user_id, achievement_id, level) DO UPDATE SET {by_other}, {rest}"
        ),
    )


def remove_imported(keys: Sequence[tuple[int, int, int]]) -> None:
    """Delete levels (user_id, achievement_id, level) that an import gave."""
    update_each(
        "DELETE FROM user_achievements"
        " WHERE user_id = %s AND achievement_id = %s AND level = %s AND revoked_at IS NULL"
        f" AND rulebook_version = {IMPORTED}",
        keys,
    )


def revoke_unlocks(rows: Sequence[RevocationRow]) -> None:
    update_each(
        "UPDATE user_achievements SET revoked_at = %s, revoked_reason = %s"
        " WHERE user_id = %s AND achievement_id = %s AND level = %s AND revoked_at IS NULL",
        rows,
    )


def renew_evidence(rows: Sequence[EvidenceRow]) -> None:
    """Name another test for unlocks that stay although the test that earned them is taken back."""
    update_each(
        "UPDATE user_achievements SET unlocked_at = %s, test_result_id = %s"
        " WHERE user_id = %s AND achievement_id = %s AND level = %s AND test_result_id = %s",
        rows,
    )


def read_unlock_rows(user_ids: Sequence[int]) -> list[tuple[int, int, int, datetime]]:
    """Return (user_id, achievement_id, level, unlocked_at in UTC) of what these users hold."""
    rows: list[tuple[int, int, int, Any]] = []
    for part in split_keys(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT user_id, achievement_id, level, unlocked_at FROM user_achievements"
            f" WHERE user_id IN ({write_marks(part)}) AND revoked_at IS NULL",
            part,
            using=name_database(),
        )
    return [(user, achievement, level, read_time(at)) for user, achievement, level, at in rows]


def read_levels(
    pairs: Collection[tuple[int, int]],
) -> dict[int, dict[tuple[int, int], HeldLevel]]:
    """Return, by user and by (achievement_id, level), what there is of these
    (user_id, achievement_id), revoked levels included.
    """
    if not pairs or not is_mysql() or is_sharded():
        return read_all_levels(sorted({user_id for user_id, _ in pairs}))
    # By list for the same reason as in lock_progress: each pair is one look-up.
    return _gather_levels(
        fetch_all(
            f"SELECT {_HELD_COLUMNS} FROM {_PAIR_LIST} STRAIGHT_JOIN user_achievements a"
            " ON a.user_id = k.user_id AND a.achievement_id = k.achievement_id",
            [f"[{','.join(f'[{user_id},{other}]' for user_id, other in sorted(pairs))}]"],
        )
    )


def read_all_levels(user_ids: Sequence[int]) -> dict[int, dict[tuple[int, int], HeldLevel]]:
    """Return, by user and by (achievement_id, level), what there is of these users."""
    rows: list[Any] = []
    for part in split_keys(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT {_HELD_COLUMNS} FROM user_achievements a"
            f" WHERE user_id IN ({write_marks(part)})",
            part,
        )
    return _gather_levels(rows)


def _gather_levels(rows: Sequence[Any]) -> dict[int, dict[tuple[int, int], HeldLevel]]:
    held: dict[int, dict[tuple[int, int], HeldLevel]] = {}
    for user_id, achievement_id, level, at, version, revoked_at, test_id in rows:
        held.setdefault(user_id, {})[achievement_id, level] = HeldLevel(
            read_time(at), version, revoked_at is not None, test_id
        )
    return held


def read_origins(user_ids: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Return (user_id, achievement_id, level, rulebook_version) of what these users earned here.

    What was imported is left out: no rulebook of ours can say that it was not earned.
    """
    rows: list[tuple[int, int, int, int]] = []
    for part in split_keys(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT user_id, achievement_id, level, rulebook_version FROM user_achievements"
            f" WHERE user_id IN ({write_marks(part)}) AND revoked_at IS NULL"
            f" AND rulebook_version <> {IMPORTED}",
            part,
        )
    return rows


def read_revoked(user_ids: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return (user_id, achievement_id, level) of what these users lost."""
    rows: list[tuple[int, int, int]] = []
    for part in split_keys(sorted(user_ids)):
        rows += fetch_all(
            f"SELECT user_id, achievement_id, level FROM user_achievements"
            f" WHERE user_id IN ({write_marks(part)}) AND revoked_at IS NOT NULL",
            part,
        )
    return rows
