"""Statements put together by hand, and what databases spell differently (storage floor)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections

MAX_STATEMENT_BYTES: Final = 2_000_000  # well under the smallest max_allowed_packet in use
# One parameter, a JSON list of keys, as a table: joined straight to, each key is one exact look-up.
KEY_LIST: Final = "JSON_TABLE(%s, '$[*]' COLUMNS (id BIGINT PATH '$')) k"


def is_mysql() -> bool:
    return connection.vendor == "mysql"


def is_sharded() -> bool:
    """Whether something between us and the tables must find the users in each statement."""
    return bool(settings.DATABASE_SHARDING != "none")


def list_keys(keys: Sequence[int]) -> str:
    """Return the parameter of KEY_LIST."""
    return f"[{','.join(map(str, keys))}]"


def fetch_all(
    sql: str, parameters: Sequence[Any] = (), *, using: str = DEFAULT_DB_ALIAS
) -> list[Any]:
    """Only what is displayed is read `using` another database than the one that is written."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def insert_rows(
    target: str,
    rows: Sequence[Sequence[Any]],
    *,
    mysql_conflict: str = "",
    other_conflict: str = "",
) -> None:
    if not rows:
        return
    adapt = _adapter()
    conflict = mysql_conflict if is_mysql() else other_conflict
    marks = write_marks(rows[0])
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {target} VALUES ({marks}) {conflict}",
            [tuple(map(adapt, row)) for row in rows],
        )


def insert_packed(target: str, values: Sequence[str], conflict: str = "") -> None:
    """The hot statements, put together here: integers, and bytes as hexadecimal digits.

    Escaping bytes as text costs client and server more than twice what digits do, and the
    driver's executemany looks at every value and sends 64 kB at a time.
    """
    with connection.cursor() as cursor:
        for part in _split_texts(values):
            cursor.execute(f"INSERT INTO {target} VALUES {','.join(part)} {conflict}")


def _split_texts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut a statement's values so that no part is longer than the server takes."""
    start = size = 0
    for end, text in enumerate(texts):
        size += len(text) + 1
        if size > MAX_STATEMENT_BYTES and end > start:
            yield texts[start:end]
            start, size = end, len(text) + 1
    if start < len(texts):
        yield texts[start:]


def update_each(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a statement once a row; for what hardly ever happens."""
    adapt = _adapter()
    with connection.cursor() as cursor:
        cursor.executemany(statement, [tuple(map(adapt, row)) for row in rows])


def _adapter() -> Callable[[Any], Any]:
    """Datetimes go to the driver as the backend stores them: naive UTC."""
    adapt = connection.ops.adapt_datetimefield_value
    return lambda value: adapt(value) if isinstance(value, datetime) else value


def write_marks(values: Iterable[Any]) -> str:
    return ", ".join("%s" for _ in values)


def split_keys(values: list[int], size: int = 500) -> list[list[int]]:
    # SQLite allows a limited number of parameters; MySQL plans long IN lists worse.
    return [values[start : start + size] for start in range(0, len(values), size)]


def read_time(value: Any) -> datetime:
    """MySQL gives a naive time in UTC, SQLite a text of one."""
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return at.replace(tzinfo=UTC)
