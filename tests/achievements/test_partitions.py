"""The partitioning operation: rerunnable, reversible, and nothing on SQLite."""

import pytest
from django.db import connection
from django.db.migrations.state import ProjectState

from achievements.partitions import PartitionByUser, read_partition_count
from config.checks import check_partition_counts
from tests.repartitioning import PARTITIONED

TABLE = "user_progress"


@pytest.fixture
def operation():
    return PartitionByUser("UserProgress")


@pytest.fixture
def state(operation):
    from django.db.migrations.loader import MigrationLoader

    return MigrationLoader(connection).project_state(("achievements", "0001_initial"))


def go_forwards(operation: PartitionByUser, state: ProjectState) -> None:
    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("achievements", editor, state, state)


def go_backwards(operation: PartitionByUser, state: ProjectState) -> None:
    with connection.schema_editor(atomic=False) as editor:
        operation.database_backwards("achievements", editor, state, state)


def read_rows() -> list:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT user_id, revision, state FROM {TABLE} ORDER BY user_id")
        return list(cursor.fetchall())


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_forwards_twice_backwards_twice_and_other_numbers(operation, state, settings) -> None:
    usual = settings.USER_TABLE_PARTITIONS
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {TABLE} VALUES (%s, 1, %s)", [(n, b"\xff%d") for n in range(1, 101)]
        )
    rows = read_rows()
    assert read_partition_count(connection, TABLE) == usual
    try:
        for _ in range(2):
            go_forwards(operation, state)
            assert read_partition_count(connection, TABLE) == usual
        for _ in range(2):
            go_backwards(operation, state)
            assert read_partition_count(connection, TABLE) == 0
        for count in (1, 16, 3):
            settings.USER_TABLE_PARTITIONS = count
            go_forwards(operation, state)
            assert read_partition_count(connection, TABLE) == count
            assert read_rows() == rows
    finally:
        settings.USER_TABLE_PARTITIONS = usual
        go_forwards(operation, state)


@pytest.mark.django_db(transaction=True)
def test_other_databases_are_left_alone(operation, state, settings) -> None:
    if connection.vendor == "mysql":
        pytest.skip("MySQL partitions")
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        operation.database_forwards("achievements", editor, state, state)
        operation.database_backwards("achievements", editor, state, state)
    assert editor.collected_sql == []
    assert read_partition_count(connection, TABLE) == 0
    settings.USER_TABLE_PARTITIONS = 99
    assert check_partition_counts(None, databases=["default"]) == []


@pytest.mark.real
@pytest.mark.django_db
def test_a_check_tells_when_the_setting_and_the_tables_differ(settings) -> None:
    assert check_partition_counts(None, databases=["default"]) == []
    assert check_partition_counts(None, databases=None) == []
    settings.USER_TABLE_PARTITIONS = 16
    [warning] = check_partition_counts(None, databases=["default"])
    assert warning.id == "laurel.W002"
    assert set(PARTITIONED) >= {"user_progress", "user_snapshots", "test_results", "notifications"}
    for table in PARTITIONED:
        assert f"{table} has 8" in warning.msg
    assert "profiles" not in warning.msg


def test_the_operation_describes_itself(operation) -> None:
    assert operation.describe() == "Partition UserProgress by user"
    assert operation.deconstruct() == ("PartitionByUser", ("UserProgress",), {})
    assert operation.reversible
