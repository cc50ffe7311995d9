"""A former site's database (storage floor): read alone, in slices by primary key.

Straight through the drivers: Django refuses servers as old as this one may be.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import environ

from achievements.claims import MAX_ID, LegacyRow
from achievements.errors import AchievementsError

RETRY_SECONDS: Final = (0.5, 1, 2, 4, 8, 16)
TIMESTAMP: Final = 7  # MySQL's column type that holds an instant, not a wall clock's time
COLUMNS: Final = {
    "achievements": ("id", "name"),
    "user_achievements": ("id", "user_id", "achievement_id", "unlocked_at"),
}


class LegacyError(AchievementsError):
    """The former site's database is away, or is not what we were told."""


class Dialect(NamedTuple):
    setup: tuple[str, ...]
    # As text, because what no datetime can hold (0000-00-00) would come as null.
    slice: str
    before: str


_MYSQL: Final = Dialect(
    ("SET SESSION TRANSACTION READ ONLY", "SET time_zone = '+00:00'"),
    "SELECT id, user_id, achievement_id, CAST(unlocked_at AS CHAR) FROM user_achievements"
    " WHERE id > %s AND id <= %s ORDER BY id LIMIT %s",
    "SELECT id FROM user_achievements WHERE id <= %s ORDER BY id DESC LIMIT 1 OFFSET %s",
)
_SQLITE: Final = Dialect(
    ("PRAGMA query_only = ON",),
    "SELECT id, user_id, achievement_id, CAST(unlocked_at AS TEXT) FROM user_achievements"
    " WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
    "SELECT id FROM user_achievements WHERE id <= ? ORDER BY id DESC LIMIT 1 OFFSET ?",
)


class LegacyDatabase:
    """Read-only. A connection that is lost in the middle is opened again for half a minute."""

    def __init__(self, url: str) -> None:
        """`url` as in DATABASE_URL. Raises LegacyError."""
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in ("mysql", "mariadb", "sqlite"):
            # The URL is not repeated: it may hold a password.
            raise LegacyError("expected mysql://USER:PASSWORD@HOST:PORT/NAME or sqlite:///PATH.")
        self.is_mysql = scheme != "sqlite"
        try:
            place = environ.Env.db_url_config(f"mysql://{rest}" if self.is_mysql else url)
        except ValueError as error:
            raise LegacyError(f"the URL cannot be read: {error}") from error
        if not place["NAME"]:
            raise LegacyError("the URL names no database.")
        driver = _load_mysql() if self.is_mysql else sqlite3
        open_database = _open_mysql if self.is_mysql else _open_sqlite
        self._open: Callable[[], Any] = partial(open_database, driver, place)
        self._fault: type[Exception] = driver.Error
        self._outage: type[Exception] = driver.OperationalError
        self.label = f"{place['HOST']}:{place['PORT']}/{place['NAME']}"
        self._dialect = _MYSQL if self.is_mysql else _SQLITE
        self._connection: Any = None
        self.holds_instants = False

    def check(self) -> None:
        """Find the tables and columns that we need. Raises LegacyError naming what is missing."""
        for table, columns in COLUMNS.items():
            try:
                found = self._describe(table)
            except self._fault as error:
                raise LegacyError(f"table {table} cannot be read: {error}") from error
            missing = [column for column in columns if column not in found]
            if missing:
                raise LegacyError(
                    f"table {table} has no column {', '.join(missing)} (it has {', '.join(found)})."
                )
            if "unlocked_at" in columns:
                self.holds_instants = self.is_mysql and found["unlocked_at"] == TIMESTAMP

    def read_achievements(self) -> dict[int, str]:
        """Return their achievements' names by id."""
        return {i: str(name) for i, name in self._fetch("SELECT id, name FROM achievements")}

    def read_last_id(self) -> int:
        """Return the highest id of an unlock, 0 where there is none. Raises LegacyError."""
        [(lowest, highest)] = self._fetch("SELECT MIN(id), MAX(id) FROM user_achievements")
        if lowest is None:
            return 0
        if type(lowest) is not int or lowest < 1 or highest > MAX_ID:
            raise LegacyError(f"user_achievements.id must be a positive number, not {lowest!r}.")
        return int(highest)

    def read_slice(self, *, after: int, upto: int, limit: int) -> list[LegacyRow]:
        """Return the next rows by id, above `after` and up to `upto`."""
        rows = self._fetch(self._dialect.slice, (after, upto, limit))
        return [LegacyRow(*row) for row in rows]

    def step_back(self, last_id: int, rows: int) -> int:
        """Return the id after which the `rows` rows up to `last_id` come; 0 when that is all."""
        found = self._fetch(self._dialect.before, (last_id, rows))
        return int(found[0][0]) if found else 0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _describe(self, table: str) -> dict[str, Any]:
        cursor = self._connect().cursor()
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")
        return {column[0].lower(): column[1] for column in cursor.description}

    def _fetch(self, sql: str, parameters: Sequence[int] = ()) -> list[Any]:
        for delay in (*RETRY_SECONDS, None):
            try:
                cursor = self._connect().cursor()
                cursor.execute(sql, parameters)
                return list(cursor.fetchall())
            except self._fault as error:
                self._connection = None
                if delay is None or not isinstance(error, self._outage):
                    raise LegacyError(f"the source failed: {error}") from error
                time.sleep(delay)
        raise AssertionError("unreachable")

    def _connect(self) -> Any:
        if self._connection is None:
            connection = self._open()
            cursor = connection.cursor()
            for statement in self._dialect.setup:
                cursor.execute(statement)
            self._connection = connection
        return self._connection


def _load_mysql() -> Any:
    try:
        import MySQLdb
    except ImportError as error:
        raise LegacyError("needs mysqlclient: pip install -r requirements.txt") from error
    return MySQLdb


def _open_mysql(driver: Any, place: dict[str, Any]) -> Any:
    usual = {"charset": "utf8mb4", "connect_timeout": 5, "read_timeout": 60}
    return driver.connect(
        host=place["HOST"],
        port=int(place["PORT"] or 3306),
        user=place["USER"],
        password=place["PASSWORD"],
        database=place["NAME"],
        **{**usual, **place.get("OPTIONS", {}), "autocommit": True},
    )


def _open_sqlite(driver: Any, place: dict[str, Any]) -> Any:
    return driver.connect(f"{Path(place['NAME']).resolve().as_uri()}?mode=ro", uri=True)
