"""A second copy of a user table that follows the first one (storage floor): MySQL and MariaDB.

Three triggers carry every change of the table into its shadow, in the transaction of
whoever writes, so that both can change names at any moment. The reasons for each order
are in docs/decisions/0018-repartition-by-copy-and-swap.md.
"""

import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.db import OperationalError, connection

from achievements import failpoints
from achievements.statements import fetch_all
from achievements.transactions import is_lock_conflict

LOCK_WAIT_SECONDS: Final = 1  # so long, at the most, do writers queue behind a change of names
MAX_LOCK_ATTEMPTS: Final = 120
TURN_SECONDS: Final = 10
STATEMENT_SECONDS: Final = 86_400
TRIGGERS_REFUSED: Final = 1419
# Deletes first, inserts last: while only some exist, the shadow holds no row that could go stale.
EVENTS: Final = ("delete", "update", "insert")
_TRIGGERS_REFUSED_TEXT: Final = (
    "The server writes a binary log and lets only its administrators create and drop triggers."
    " Run SET GLOBAL log_bin_trust_function_creators = 1 (safe here: READ COMMITTED logs rows, not"
    " statements), give the command again, and set it back afterwards."
)


class RepartitionError(Exception):
    """A repartition cannot go on; the message tells the way out."""


def name_shadow(table: str) -> str:
    return f"{table}__new"


def name_old(table: str) -> str:
    return f"{table}__old"


@contextmanager
def open_session() -> Iterator[None]:
    """A connection for one repartition at a time: short waits for locks, long ones for answers."""
    usual = connection.settings_dict
    patience = dict.fromkeys(("read_timeout", "write_timeout"), STATEMENT_SECONDS)
    connection.close()
    connection.settings_dict = {**usual, "OPTIONS": {**usual["OPTIONS"], **patience}}
    try:
        execute(
            f"SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS},"
            f" innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}"
        )
        # One that was killed a moment ago holds it until the server notices.
        [[is_ours]] = fetch_all(
            "SELECT GET_LOCK(LEFT(CONCAT('repartition ', DATABASE()), 64), %s)", [TURN_SECONDS]
        )
        if not is_ours:
            raise RepartitionError("Another repartition is running on this database.")
        yield
    finally:
        connection.close()
        connection.settings_dict = usual


def execute(sql: str, parameters: Sequence[Any] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def change_definition(sql: str) -> None:
    """Run a statement that needs the table for itself; between attempts the writers pass.

    Raises RepartitionError when a long transaction holds the table all the time.
    """
    for _ in range(MAX_LOCK_ATTEMPTS):
        try:
            return execute(sql)
        except OperationalError as error:
            if error.args[0] == TRIGGERS_REFUSED:
                raise RepartitionError(_TRIGGERS_REFUSED_TEXT) from error
            if not is_lock_conflict(error):
                raise
        time.sleep(LOCK_WAIT_SECONDS * random.uniform(0.2, 1))
    raise RepartitionError(
        f"{sql[:60]} ...: the table was never free. Look for a transaction that stays open"
        " (information_schema.innodb_trx), then give the command again."
    )


def list_tables() -> set[str]:
    """Return the names that are taken, those of views among them."""
    return set(connection.introspection.table_names(include_views=True))


def read_definition(table: str) -> str:
    """Return columns, indexes and options as the server writes them, but not the partitions."""
    [[_, text]] = fetch_all(f"SHOW CREATE TABLE `{table}`")
    body = re.split(r"\n(?:/\*!\d+)? *PARTITION BY", str(text))[0].partition("\n")[2]
    return re.sub(r" AUTO_INCREMENT=\d+", "", body)


def create_shadow(table: str, partitions: int) -> None:
    """Create the empty shadow and its triggers, from scratch: what bears their names is ours."""
    drop_shadow(table)
    shadow = name_shadow(table)
    execute(f"CREATE TABLE `{shadow}` LIKE `{table}`")
    execute(f"ALTER TABLE `{shadow}` PARTITION BY HASH(user_id) PARTITIONS {partitions}")
    failpoints.reach("repartition_shadow")
    for event, body in _write_triggers(table).items():
        change_definition(
            f"CREATE TRIGGER `{_name_trigger(table, event)}` AFTER {event.upper()} ON `{table}`"
            f" FOR EACH ROW {body}"
        )
        failpoints.reach(f"repartition_{event}_trigger")


def drop_shadow(table: str) -> None:
    """Take the triggers away, then the shadow: a trigger without it would fail every write."""
    drop_triggers(table)
    change_definition(f"DROP TABLE IF EXISTS `{name_shadow(table)}`")


def drop_triggers(table: str) -> None:
    """Drop ours, from the table or, after the change of names, from the old one."""
    existing = list_triggers(table) | list_triggers(name_old(table))
    for event in EVENTS:
        if (trigger := _name_trigger(table, event)) in existing:
            change_definition(f"DROP TRIGGER `{trigger}`")


def list_triggers(table: str) -> set[str]:
    """Return the names of all triggers on `table`, ours and others."""
    rows = fetch_all(
        "SELECT trigger_name FROM information_schema.triggers"
        " WHERE trigger_schema = DATABASE() AND event_object_table = %s",
        [table],
    )
    return {str(name) for (name,) in rows}


def list_foreign_triggers(table: str) -> set[str]:
    return list_triggers(table) - {_name_trigger(table, event) for event in EVENTS}


def is_followed(table: str) -> bool:
    """Whether a shadow exists and receives every change."""
    wanted = {_name_trigger(table, event) for event in EVENTS}
    return name_shadow(table) in list_tables() and wanted <= list_triggers(table)


def swap_names(table: str) -> None:
    """Put the shadow in the table's place, in one step; the triggers stay with the old table."""
    change_definition(
        f"RENAME TABLE `{table}` TO `{name_old(table)}`, `{name_shadow(table)}` TO `{table}`"
    )


def list_columns(table: str) -> list[tuple[str, str]]:
    """Return name and type of the columns; generated ones follow by themselves."""
    return fetch_all(
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = %s"
        # (MySQL's `extra` says DEFAULT_GENERATED of ordinary columns.)
        " AND COALESCE(generation_expression, '') = '' ORDER BY ordinal_position",
        [table],
    )


def quote_columns(columns: Sequence[tuple[str, str]], prefix: str = "") -> str:
    return ", ".join(f"{prefix}`{name}`" for name, _ in columns)


def _name_trigger(table: str, event: str) -> str:
    return f"{table}__{event}"


def _write_triggers(table: str) -> dict[str, str]:
    """Return the body for each event. ON DUPLICATE KEY UPDATE fires that of what it did."""
    shadow, columns = name_shadow(table), list_columns(table)
    key = [
        str(name)
        for (name,) in fetch_all(
            "SELECT column_name FROM information_schema.statistics WHERE table_schema = DATABASE()"
            " AND table_name = %s AND index_name = 'PRIMARY'",
            [table],
        )
    ]
    replace = (
        f"REPLACE INTO `{shadow}` ({quote_columns(columns)})"
        f" VALUES ({quote_columns(columns, 'NEW.')})"
    )
    delete = f"DELETE FROM `{shadow}` WHERE " + " AND ".join(
        f"`{name}` = OLD.`{name}`" for name in key
    )
    is_moved = " OR ".join(f"NEW.`{name}` <> OLD.`{name}`" for name in key)
    bodies = {
        "insert": replace,
        "update": f"BEGIN IF {is_moved} THEN {delete}; END IF; {replace}; END",
        "delete": delete,
    }
    return {event: bodies[event] for event in EVENTS}
