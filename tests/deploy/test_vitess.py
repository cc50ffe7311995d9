"""What is shipped for Vitess holds exactly the tables that the migrations create."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from tests.statements.plugin import list_sharded_tables

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "vitess"
SCRATCH = "laurel_vitess"
AUTO_INCREMENT = [("outbox", "id")]  # the only one in the sharded keyspace: site.outbox_seq


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text())


def list_statements(name: str) -> list[str]:
    lines = (FOLDER / name).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    return [statement for statement in text.split(";") if statement.strip()]


def list_tables() -> set[str]:
    models = apps.get_models(include_auto_created=True)
    return {m._meta.db_table for m in models if m._meta.managed} | {"django_migrations"}


@contextmanager
def scratch_database() -> Iterator[None]:
    """A database of its own on the test's server, which has the shipped definitions."""
    own = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {SCRATCH}")
        cursor.execute(f"CREATE DATABASE {SCRATCH}")
        try:
            cursor.execute(f"USE {SCRATCH}")
            for statement in list_statements("users.sql"):
                cursor.execute(statement)
            yield
        finally:
            cursor.execute(f"USE {own}")
            cursor.execute(f"DROP DATABASE {SCRATCH}")


def describe(database: str, table: str) -> dict[str, list[Any]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, column_type, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
            " ORDER BY column_name",
            [database, table],
        )
        columns = list(cursor.fetchall())
        cursor.execute(
            "SELECT non_unique, GROUP_CONCAT(column_name ORDER BY seq_in_index)"
            " FROM information_schema.statistics WHERE table_schema = %s AND table_name = %s"
            " GROUP BY index_name, non_unique ORDER BY 2",
            [database, table],
        )
        return {"columns": columns, "indexes": list(cursor.fetchall())}


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_the_sharded_tables_are_those_of_the_migrations() -> None:
    own = connection.settings_dict["NAME"]
    with scratch_database():
        with connection.cursor() as cursor:
            tables = connection.introspection.table_names(cursor)
        assert sorted(tables) == sorted(list_sharded_tables())
        for table in tables:
            shipped, migrated = describe(SCRATCH, table), describe(own, table)
            assert migrated["columns"]
            assert shipped == migrated, (
                f"deploy/vitess/users.sql, {table}: differs from what the migrations create"
            )


@pytest.mark.real
@pytest.mark.django_db
def test_only_the_sequence_replaces_an_auto_increment() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND extra LIKE '%auto_increment%'"
        )
        counted = [row for row in cursor.fetchall() if row[0] in list_sharded_tables()]
    assert counted == AUTO_INCREMENT
    tables = read("users.vschema.json")["tables"]
    assert [name for name, entry in tables.items() if "auto_increment" in entry] == [
        table for table, _ in AUTO_INCREMENT
    ]
    for table, column in AUTO_INCREMENT:
        assert tables[table]["auto_increment"] == {
            "column": column, "sequence": f"site.{table}_seq",
        }  # fmt: skip


def test_every_sharded_table_is_placed_by_its_user() -> None:
    vschema = read("users.vschema.json")
    assert vschema["sharded"] is True
    assert vschema["vindexes"] == {"by_user": {"type": "xxhash"}}
    assert sorted(vschema["tables"]) == sorted(list_sharded_tables())
    for table, entry in vschema["tables"].items():
        assert entry["column_vindexes"] == [{"column": "user_id", "name": "by_user"}], table


def test_everything_else_stays_together() -> None:
    vschema = read("site.vschema.json")
    assert vschema["sharded"] is False
    sequences = {t for t, entry in vschema["tables"].items() if entry.get("type") == "sequence"}
    assert sequences == {f"{table}_seq" for table, _ in AUTO_INCREMENT}
    assert set(vschema["tables"]) - sequences == list_tables() - set(list_sharded_tables())
    for name in sequences:
        assert any(f"CREATE TABLE {name} " in text for text in list_statements("site.sql"))


def test_the_sharded_tables_are_found_under_their_usual_names() -> None:
    rules = {rule["from_table"]: rule["to_tables"] for rule in read("routing_rules.json")["rules"]}
    assert rules == {
        name: [f"users.{table}"]
        for table in list_sharded_tables()
        for name in (table, f"site.{table}")
    }
