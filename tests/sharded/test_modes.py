"""What the setting DATABASE_SHARDING changes besides statements."""

import pytest
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader

from achievements.events import encode_event
from achievements.models import Outbox
from achievements.outbox import drain_outbox
from achievements.partitions import PartitionByUser
from config.checks import check_partition_counts, check_sharding
from tests.achievements.test_transactions import run_together
from tests.factories import make_broad_catalogue, make_event
from tests.invariants import check_invariants

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]


def test_workers_of_tidb_wait_for_each_other(settings) -> None:
    """It knows no SKIP LOCKED: a worker waits, and then takes what the other one has left."""
    settings.DATABASE_SHARDING = "tidb"
    make_broad_catalogue(is_ordered=False)
    events = [make_event(user, test) for user in range(1, 31) for test in range(1, 11)]
    with transaction.atomic():
        Outbox.objects.bulk_create(
            Outbox(user_id=event.user_id, event=encode_event(event)) for event in events
        )
    run_together(*(lambda: drain_outbox() for _ in range(3)))
    check_invariants(events)


def test_nothing_is_partitioned(settings) -> None:
    operation = PartitionByUser("UserProgress")
    state = MigrationLoader(connection).project_state(("achievements", "0001_initial"))
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        operation.database_forwards("achievements", editor, state, state)
    assert editor.collected_sql == []
    assert check_partition_counts(None, databases=["default"]) == []
    assert check_sharding(None) == []
    settings.DATABASE_SHARDING = "none"
    assert len(check_partition_counts(None, databases=["default"])) == 1
