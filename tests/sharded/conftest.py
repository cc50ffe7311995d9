"""The project as behind a proxy that shards by user: no partitions, and every statement routable.

The judge of statements (tests/statements) is stricter with what is sent here. What a proxy itself
does is not tested.
"""

from collections.abc import Iterator

import pytest
from django.db import connection

from achievements.partitions import list_user_tables, read_partition_count


@pytest.fixture(scope="module", autouse=True)
def _no_partitions(django_db_setup: None, django_db_blocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        counts = {t: read_partition_count(connection, t) for t in list_user_tables()}
        partitioned = {table: count for table, count in counts.items() if count}
        with connection.cursor() as cursor:
            for table in partitioned:
                cursor.execute(f"ALTER TABLE {table} REMOVE PARTITIONING")
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table, count in partitioned.items():
            cursor.execute(f"ALTER TABLE {table} PARTITION BY HASH(user_id) PARTITIONS {count}")


@pytest.fixture(autouse=True)
def _sharding(settings, monkeypatch) -> None:
    settings.DATABASE_SHARDING = "vitess"
    monkeypatch.setenv("DATABASE_SHARDING", "vitess")  # for the processes that tests start
