"""What the tests of repartitioning share: tables back as they were, and their contents."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection

from achievements import shadow
from achievements.models import Job
from achievements.partitions import list_user_tables, read_partition_count
from config.checks import NEVER_PARTITIONED

PARTITIONED = sorted(set(list_user_tables()) - NEVER_PARTITIONED)


def run_sql(sql: str, *parameters) -> list:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def count_partitions(table: str) -> int:
    return read_partition_count(connection, table)


def read_checksum(table: str) -> int:
    [[_, checksum]] = run_sql(f"CHECKSUM TABLE {table} EXTENDED")
    return checksum


def list_traces() -> list[str]:
    """Return everything that a run leaves while it is unfinished."""
    return [
        *sorted(t for t in shadow.list_tables() if "__" in t),
        *sorted(name for table in PARTITIONED for name in shadow.list_triggers(table)),
        *Job.objects.values_list("name", flat=True),
    ]


@pytest.fixture
def usual_partitions(transactional_db) -> Iterator[None]:
    yield
    usual = settings.USER_TABLE_PARTITIONS
    for table in PARTITIONED:
        shadow.drop_shadow(table)
        run_sql(f"DROP TABLE IF EXISTS {shadow.name_old(table)}")
        if count_partitions(table) != usual:
            run_sql(f"ALTER TABLE {table} PARTITION BY HASH(user_id) PARTITIONS {usual}")
