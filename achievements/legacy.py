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
MAX_MARKS: Final = 500  # users that one statement names
# MySQL's column types: an instant, not a wall clock's time; and texts.
TIMESTAMP: Final = 7
TEXTS: Final = (15, 252, 253, 254)
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
    users: str
    firsts: str
    user_index: str


_MYSQL: Final = Dialect(
    ("SET SESSION TRANSACTION READ ONLY", "SET time_zone = '+00:00'"),
    "SELECT id, user_id, achievement_id, CAST(unlocked_at AS CHAR) FROM user_achievements"
    " WHERE id > %s AND id <= %s ORDER BY id LIMIT %s",
    "SELECT id FROM user_achievements WHERE id <= %s ORDER BY id DESC LIMIT 1 OFFSET %s",
    "SELECT id, user_id, achievement_id, CAST(unlocked_at AS CHAR) FROM user_achievements"
    " WHERE user_id IN ({marks})",
    "SELECT user_id, MIN(id) FROM user_achievements WHERE user_id IN ({marks}) AND id > %s"
    " GROUP BY user_id",
    "SHOW INDEX FROM user_achievements WHERE Column_name = 'user_id' AND Seq_in_index = 1",
)
_SQLITE: Final = Dialect(
    ("PRAGMA query_only = ON",),
    "SELECT id, user_id, achievement_id, CAST(unlocked_at AS TEXT) FROM user_achievements"
    " WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
    "SELECT id FROM user_achievements WHERE id <= ? ORDER BY id DESC LIMIT 1 OFFSET ?",
    "SELECT id, user_id, achievement_id, CAST(unlocked_at AS TEXT) FROM user_achievements"
    " WHERE user_id IN ({marks})",
    "SELECT user_id, MIN(id) FROM user_achievements WHERE user_id IN ({marks}) AND id > ?"
    " GROUP BY user_id",
    "SELECT 1 FROM pragma_index_list('user_achievements') l, pragma_index_info(l.name) i"
    " WHERE i.seqno = 0 AND i.name = 'user_id'",
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
        except ValueError:
            place = {"NAME": "@"}
        if self.is_mysql and "@" in place["NAME"]:
            # What the parser says of it would quote a part of the password.
            raise LegacyError(
                "the URL cannot be read: in a user's name or password write / ? # @ : and % as"
                " %2F %3F %23 %40 %3A and %25."
            ) from None
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
        self._writes_users_as_text = False

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
                self._writes_users_as_text = self.is_mysql and found["user_id"] in TEXTS

    def finds_users(self) -> bool:
        """Whether an index leads to a user's rows."""
        return bool(self._fetch(self._dialect.user_index))

    def read_achievements(self) -> dict[int, str]:
        """Return their achievements' names by id."""
        rows = self._fetch("SELECT id, name FROM achievements")
        return {read_number(i): str(name) for i, name in rows}

    def read_ends(self) -> tuple[int, int]:
        """Return the lowest and the highest id of an unlock, (1, 0) where there is none.

        Raises LegacyError.
        """
        [ends] = self._fetch("SELECT MIN(id), MAX(id) FROM user_achievements")
        if ends[0] is None:
            return 1, 0
        for end in ends:
            if type(end) is not int or not -MAX_ID < end <= MAX_ID:
                raise LegacyError(
                    f"user_achievements.id must be a whole number of 63 bits, not {end!r}."
                )
        return int(ends[0]), int(ends[1])

    def read_slice(self, *, after: int, upto: int, limit: int) -> list[LegacyRow]:
        """Return the next rows by id, above `after` and up to `upto`."""
        return list(map(_make_row, self._fetch(self._dialect.slice, (after, upto, limit))))

    def read_users(self, user_ids: Sequence[int]) -> list[LegacyRow]:
        """Return all rows of these users."""
        return list(map(_make_row, self._fetch_users(self._dialect.users, user_ids)))

    def read_first_ids(self, user_ids: Sequence[int], *, after: int) -> dict[int, int]:
        """Return the id of each user's first row above `after`."""
        rows = self._fetch_users(self._dialect.firsts, user_ids, after)
        return {read_number(user_id): row_id for user_id, row_id in rows}

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

    def _fetch_users(self, sql: str, user_ids: Sequence[int], *rest: int) -> list[Any]:
        # In a column of texts, a number is looked for in each row.
        spell = str if self._writes_users_as_text else int
        rows: list[Any] = []
        for start in range(0, len(user_ids), MAX_MARKS):
            keys = [spell(user_id) for user_id in user_ids[start : start + MAX_MARKS]]
            marks = ", ".join(("%s" if self.is_mysql else "?",) * len(keys))
            rows += self._fetch(sql.format(marks=marks), (*keys, *rest))
        return rows

    def _fetch(self, sql: str, parameters: Sequence[int | str] = ()) -> list[Any]:
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


def read_number(value: Any) -> Any:
    """Return a number that is written as text as a number, and anything else as it is."""
    if isinstance(value, str) and len(value) <= 19 and value.isascii() and value.isdecimal():
        return int(value) if str(int(value)) == value else value
    return value


def _make_row(row: Sequence[Any]) -> LegacyRow:
    row_id, user_id, achievement_id, at = row
    return LegacyRow(row_id, read_number(user_id), read_number(achievement_id), at)


def _load_mysql() -> Any:
    try:
        import MySQLdb
    except ImportError as error:
        raise LegacyError("needs mysqlclient: pip install -r requirements.txt") from error
    return MySQLdb


def _open_mysql(driver: Any, place: dict[str, Any]) -> Any:
    usual = {"charset": "utf8mb4", "connect_timeout": 5, "read_timeout": 60}
    try:
        return driver.connect(
            host=place["HOST"],
            port=int(place["PORT"] or 3306),
            user=place["USER"],
            password=place["PASSWORD"],
            database=place["NAME"],
            **{**usual, **place.get("OPTIONS", {}), "autocommit": True},
        )
    except (TypeError, ValueError) as error:
        raise LegacyError(f"the options of the URL, after the ?, are none: {error}") from error


def _open_sqlite(driver: Any, place: dict[str, Any]) -> Any:
    return driver.connect(f"{Path(place['NAME']).resolve().as_uri()}?mode=ro", uri=True)
