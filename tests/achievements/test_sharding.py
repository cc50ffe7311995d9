"""The engine, the outbox and the relay once more, as behind a proxy that shards by user.

The tables have no partitions, as in each shard; the judge of statements (tests/statements) is
stricter with what is sent here. What a proxy itself does is not tested.
"""

from collections.abc import Iterator

import pytest
from django.db import connection

from achievements.partitions import PartitionByUser, list_user_tables, read_partition_count
from config.checks import check_partition_counts, check_sharding
from tests.achievements.test_engine import *  # noqa: F403
from tests.achievements.test_outbox import *  # noqa: F403
from tests.achievements.test_rebuild import *  # noqa: F403
from tests.achievements.test_relay import *  # noqa: F403
from tests.achievements.test_tables import *  # noqa: F403
from tests.achievements.test_transactions import *  # noqa: F403

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]

del test_user_tables_are_partitioned_by_user  # noqa: F821


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


@pytest.fixture(params=["vitess", "tidb"], autouse=True)
def _sharding(request, settings, monkeypatch) -> None:
    settings.DATABASE_SHARDING = request.param
    monkeypatch.setenv("DATABASE_SHARDING", request.param)  # for the processes that tests start
