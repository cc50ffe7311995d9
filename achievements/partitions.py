"""Which tables belong to users, and the migration operation that partitions one (storage floor).

MySQL and MariaDB only; elsewhere it does nothing. It asks the database first, so that it
can be run again after a half-finished migration, and it can be reversed. What the
database holds is the record of how many partitions there are (`read_partition_count`);
the setting USER_TABLE_PARTITIONS is read once, when the migration runs.
"""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation


def list_user_tables() -> list[str]:
    """Return the tables whose primary key begins with user_id, of every app, by name."""
    return sorted(
        model._meta.db_table
        for model in apps.get_models()
        if model._meta.pk_fields[0].attname == "user_id"
    )


def read_partition_count(connection: BaseDatabaseWrapper, table: str) -> int:
    """Return how many partitions `table` has; 0 when it is not partitioned."""
    if connection.vendor != "mysql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(partition_name) FROM information_schema.partitions"
            " WHERE table_schema = DATABASE() AND table_name = %s",
            [table],
        )
        return int(cursor.fetchone()[0])


class PartitionByUser(Operation):
    """Partition the table of `model_name` by HASH(user_id)."""

    reversible = True
    reduces_to_sql = True

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The models do not know about partitions."""

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        table = self._table(app_label, schema_editor, to_state)
        if table is None:
            return
        wanted = int(settings.USER_TABLE_PARTITIONS)
        if read_partition_count(schema_editor.connection, table) == wanted:
            return
        quoted = schema_editor.quote_name(table)
        schema_editor.execute(
            f"ALTER TABLE {quoted} PARTITION BY HASH(user_id) PARTITIONS {wanted}"
        )

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        # Going backwards, from_state is the one that has this operation applied.
        table = self._table(app_label, schema_editor, from_state)
        if table is None or not read_partition_count(schema_editor.connection, table):
            return
        schema_editor.execute(f"ALTER TABLE {schema_editor.quote_name(table)} REMOVE PARTITIONING")

    def describe(self) -> str:
        return f"Partition {self.model_name} by user"

    def _table(self, app_label: str, schema_editor: Any, state: Any) -> str | None:
        connection = schema_editor.connection
        model = state.apps.get_model(app_label, self.model_name)
        if connection.vendor != "mysql" or not self.allow_migrate_model(connection.alias, model):
            return None
        if settings.DATABASE_SHARDING != "none":
            return None  # what spreads the users over servers needs no partitions in each
        return str(model._meta.db_table)
