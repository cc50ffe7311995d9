"""The engine's statements: what conflicts do, what is locked, and what the tables look like."""

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection

from achievements import tables, unlocks
from achievements.models import Tally, UserAchievement, UserProgress
from achievements.tables import NotificationRow, SeenRow
from achievements.unlocks import RevocationRow, UnlockRow
from tests.factories import new_user

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
USER_TABLES = {
    "user_progress": ["user_id"],
    "user_achievements": ["user_id", "achievement_id", "level"],
    "user_seen_tests": ["user_id", "is_invalidation", "first_id"],
    "notifications": ["user_id", "sequence"],
    "recent_submissions": ["user_id"],
    "test_results": ["user_id", "id"],
}


def test_progress_is_created_once_and_stored(db) -> None:
    users = [new_user() for _ in range(1_100)]
    created = tables.create_progress(users)
    assert created.keys() == set(users)
    assert set(created.values()) == {tables.StoredProgress(0, b"")}
    tables.store_progress([(user, 3, b"\x00%s\xff'") for user in users])
    assert set(tables.lock_progress([*users, 7]).values()) == {
        tables.StoredProgress(3, b"\x00%s\xff'")
    }
    assert tables.create_progress(users[:2])[users[0]].revision == 3
    assert UserProgress.objects.count() == 1_100


def test_nothing_to_write(db) -> None:
    tables.store_progress([])
    unlocks.insert_unlocks([])
    tables.insert_notifications([])
    tables.insert_seen([])
    tables.add_tallies({}, slot=0)
    assert tables.lock_progress([]) == {}
    for read in (tables.read_seen, unlocks.read_origins, unlocks.read_revoked):
        assert read([]) == []


def test_a_standing_unlock_is_left_and_a_revoked_one_renewed(db) -> None:
    user = new_user()
    later = AT + timedelta(days=1)
    unlocks.insert_unlocks([UnlockRow(user, 1, 1, AT, 5, 1), UnlockRow(user, 1, 2, AT, 5, 1)])
    unlocks.revoke_unlocks([RevocationRow(later, "cheated", user, 1, 2)])
    assert unlocks.read_revoked([user]) == [(user, 1, 2)]
    assert unlocks.read_origins([user]) == [(user, 1, 1, 1)]
    unlocks.insert_unlocks([UnlockRow(user, 1, n, later, 9, 2) for n in (1, 2)])
    rows = UserAchievement.objects.filter(user_id=user).order_by("level")
    assert [(r.unlocked_at, r.test_result_id, r.rulebook_version) for r in rows] == [
        (AT, 5, 1),
        (later, 9, 2),
    ]
    assert {(r.revoked_at, r.revoked_reason) for r in rows} == {(None, None)}


def test_a_revocation_keeps_the_first_reason(db) -> None:
    user = new_user()
    unlocks.insert_unlocks([UnlockRow(user, 1, 1, AT, None, 1)])
    unlocks.revoke_unlocks([RevocationRow(AT, "first", user, 1, 1)])
    unlocks.revoke_unlocks([RevocationRow(AT + timedelta(1), "second", user, 1, 1)])
    row = UserAchievement.objects.get(user_id=user)
    assert (row.revoked_at, row.revoked_reason, row.test_result_id) == (AT, "first", None)


def test_seen_runs_are_found_by_range(db) -> None:
    user, other = new_user(), new_user()
    top = 2**63 - 1
    tables.insert_seen(
        [
            SeenRow(user, False, 1, 10, b"a"),
            SeenRow(user, True, 1, 10, b"b"),
            SeenRow(user, False, 11, top, b"c"),
            SeenRow(other, False, 1, 10, b"d"),
        ]
    )
    found = tables.read_seen([user], lowest=10, highest=10)
    assert sorted(found) == [(user, False, b"a"), (user, True, b"b")]
    assert tables.read_seen([user], lowest=top, highest=top) == [(user, False, b"c")]
    assert len(tables.read_seen([user, other])) == 4


def test_notifications_are_numbered_by_the_caller(db) -> None:
    user = new_user()
    tables.insert_notifications([NotificationRow(user, n, 1, n, AT) for n in (1, 2)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT sequence, read_at FROM notifications WHERE user_id = %s", [user])
        assert sorted(cursor.fetchall()) == [(1, None), (2, None)]


def test_tallies_add_up_over_slots(db) -> None:
    tables.add_tallies({(1, 1): 2, (1, 2): 0, (0, 0): 5}, slot=3)
    tables.add_tallies({(1, 1): -1}, slot=3)
    tables.add_tallies({(1, 1): 7}, slot=63)
    rows = Tally.objects.values_list("achievement_id", "level", "slot", "holders")
    assert sorted(rows) == [(0, 0, 3, 5), (1, 1, 3, 1), (1, 1, 63, 7)]


@pytest.mark.real
@pytest.mark.parametrize("table", USER_TABLES)
def test_user_tables_are_partitioned_by_user(db, table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT partition_method, partition_expression, COUNT(*) OVER ()"
            " FROM information_schema.partitions"
            " WHERE table_schema = DATABASE() AND table_name = %s",
            [table],
        )
        [(method, expression, count)] = cursor.fetchall()
    assert (method, expression) == ("HASH", "`user_id`")
    assert count == settings.USER_TABLE_PARTITIONS


@pytest.mark.parametrize("table", USER_TABLES)
def test_primary_keys_start_with_the_user(db, table: str) -> None:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, table)
    [key] = [c["columns"] for c in constraints.values() if c["primary_key"]]
    assert key == USER_TABLES[table]
    assert not any(c["foreign_key"] for c in constraints.values())


def delete_outbox(row_ids: list[int]) -> None:
    tables.delete_outbox([tables.OutboxKey(row_id, 1) for row_id in row_ids])


@pytest.mark.real
@pytest.mark.parametrize("run", [tables.lock_progress, delete_outbox])
def test_only_the_rows_that_are_named_are_locked(transactional_db, run) -> None:
    """Also of a table so short that the server would rather scan all of it."""
    ids = [1, 2, 3, 4]
    tables.create_progress(ids)
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO outbox (id, user_id, event, created_at, error) VALUES (%s, 1, '', %s, '')",
            [(n, AT.replace(tzinfo=None)) for n in ids],
        )
    other = connection.copy()
    other.connect()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT user_id FROM user_progress WHERE user_id = 1 FOR UPDATE")
            cursor.execute("SELECT id FROM outbox WHERE id = 1 FOR UPDATE")
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
        run(ids[1:])
        other.rollback()
    finally:
        other.close()
        connection.close()
