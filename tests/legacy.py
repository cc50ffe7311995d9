"""A site of before, as the customer sketched it, and what an import must make of it.

`LegacySite` builds its two tables in a database of its own, on the tests' MariaDB or in a file
of SQLite. `expect_levels` says in plain words what users then hold; it shares no code with
the import.
"""

import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from django.core.management import CommandError, call_command

from achievements.models import Notification, UserAchievement
from achievements.rulebooks import get_rulebook
from tests.achievements import oracle
from tests.factories import make_achievement, publish, read_definitions
from tests.invariants import read_levels, read_row

Row = tuple[Any, Any, Any]  # user id, their achievement id, unlocked_at
_TABLES = (
    "CREATE TABLE achievements (id INTEGER PRIMARY KEY, name VARCHAR(100) NOT NULL,"
    " description TEXT)",
    "CREATE TABLE user_achievements (id {id}, user_id BIGINT, achievement_id BIGINT,"
    " unlocked_at {time} NULL, progress INTEGER DEFAULT 100)",
)


class LegacySite:
    """`execute` runs any statement; marks are those of MySQL."""

    def __init__(self, url: str, connection: Any) -> None:
        self.url = url
        self.connection = connection
        self.is_mysql = url.startswith("mysql")

    def execute(self, sql: str, rows: Sequence[Sequence[Any]] = ()) -> Any:
        cursor = self.connection.cursor()
        sql = sql if self.is_mysql else sql.replace("%s", "?")
        if rows:
            cursor.executemany(sql, rows)
        else:
            cursor.execute(sql)
        self.connection.commit()
        return cursor

    def add_achievements(self, names: Mapping[int, str]) -> None:
        self.execute("INSERT INTO achievements (id, name) VALUES (%s, %s)", list(names.items()))

    def add_unlocks(self, rows: Iterable[Row]) -> None:
        """Rows as they are; a datetime is written as the wall clock says."""
        self.execute(
            "INSERT INTO user_achievements (user_id, achievement_id, unlocked_at)"
            " VALUES (%s, %s, %s)",
            [(user, achievement, _write_time(at)) for user, achievement, at in rows],
        )


@contextmanager
def open_legacy_site(
    folder: Path | None = None, *, time: str = "DATETIME", server_url: str = ""
) -> Iterator[LegacySite]:
    """In a file in `folder`; without one, on a MariaDB: that of the tests or another one."""
    if folder:
        file = folder / "legacy.sqlite3"
        site = LegacySite(f"sqlite:///{file}", sqlite3.connect(file))
        name = ""
    else:
        import MySQLdb

        server = urlsplit(server_url or os.environ["DATABASE_URL"])
        name = f"laurel_legacy_{secrets.token_hex(4)}"
        connection = MySQLdb.connect(
            host=server.hostname, port=server.port, user=server.username,
            password=server.password, charset="utf8mb4",
            # A site that is careless with dates.
            sql_mode="",
        )  # fmt: skip
        cursor = connection.cursor()
        cursor.execute(f"CREATE DATABASE {name}")
        cursor.execute(f"USE {name}")
        site = LegacySite(server._replace(path=f"/{name}").geturl(), connection)
    try:
        key = "BIGINT AUTO_INCREMENT PRIMARY KEY" if site.is_mysql else "INTEGER PRIMARY KEY"
        for table in _TABLES:
            site.execute(table.format(id=key, time=time))
        yield site
    finally:
        if name and not server_url:
            site.execute(f"DROP DATABASE IF EXISTS {name}")
        site.connection.close()


def write_mapping(path: Path, entries: Mapping[Any, Any], ignore: Sequence[int] = ()) -> Path:
    file = path / "mapping.yaml"
    document = {"achievements": dict(entries), **({"ignore": list(ignore)} if ignore else {})}
    file.write_text(yaml.safe_dump(document), "utf-8")
    return file


def expect_levels(
    rows: Iterable[Row], levels: Mapping[int, tuple[int, int]]
) -> dict[int, dict[tuple[int, int], datetime]]:
    """By user: each level and when it was unlocked; rows must be good ones, times in UTC.

    `levels` maps their achievement ids to our id and level.
    """
    expected: dict[int, dict[tuple[int, int], datetime]] = {}
    for user_id, legacy_id, at in rows:
        if legacy_id not in levels:
            continue
        achievement_id, top = levels[legacy_id]
        held = expected.setdefault(user_id, {})
        for level in range(1, top + 1):
            held[achievement_id, level] = min(at, held.get((achievement_id, level), at))
    return expected


def check_imported(expected: Mapping[int, Mapping[tuple[int, int], datetime]]) -> None:
    """These users hold what was imported and nothing else, and nobody was told."""
    definitions, rulebook = read_definitions(), get_rulebook()
    for user_id, levels in expected.items():
        rows = UserAchievement.objects.filter(user_id=user_id, revoked_at=None)
        found = {(row.achievement_id, row.level): row.unlocked_at for row in rows}
        assert found == levels, user_id
        assert {(row.test_result_id, row.rulebook_version) for row in rows} == {(None, 0)}
        row, held = read_row(user_id), read_levels(user_id)
        assert row.unlocked == held
        assert row.points == oracle.count_points(definitions, held)
        assert row.rulebook_version == rulebook.version
    assert not Notification.objects.filter(user_id__in=list(expected)).exists()


def _write_time(at: Any) -> Any:
    return at.replace(tzinfo=None).isoformat(" ") if isinstance(at, datetime) else at


def day(number: int, *, hour: int = 12) -> datetime:
    """A moment in 2019 or later."""
    return datetime(2019, 2, 12, hour, tzinfo=UTC) + timedelta(days=number)


NAMES = {1: "First steps", 2: "Many I", 3: "Many III", 4: "Fast", 5: "Clean", 6: "Forgotten"}


class Import:
    """The former site, the mapping and the definitions here."""

    def __init__(self, site: LegacySite, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.ids = {
            "first": make_achievement("first", {"count": "tests", "atLeast": 1}).pk,
            "many": make_achievement("many", {"count": "tests"}, 3, 10, 40, 150).pk,
            "fast": make_achievement("fast", {"best": "wpm"}, 60, 90, 120).pk,
            "clean": make_achievement(
                "clean", {"count": "tests", "where": {"accuracy": {"gte": 98}}}, 2
            ).pk,
        }
        publish()
        ids = self.ids
        self.levels = {
            1: (ids["first"], 1), 2: (ids["many"], 1), 3: (ids["many"], 3),
            4: (ids["fast"], 2), 5: (ids["clean"], 1),
        }  # fmt: skip
        self.mapping = write_mapping(
            folder,
            {1: "first", 2: "many", 3: {"slug": "many", "level": 3},
             4: {"slug": "fast", "level": 2}, 5: "clean"},
        )  # fmt: skip
        site.add_achievements(NAMES)

    def run(self, out: StringIO | None = None, **options: Any) -> str:
        out = out or StringIO()
        arguments = {"mapping": self.mapping, "report": self.folder / "report.jsonl", **options}
        call_command("import_legacy", source=self.site.url, stdout=out, **arguments)
        return out.getvalue()

    def run_to_person(self, code: int = 3, **options: Any) -> tuple[str, str]:
        """Run what ends with something for a person; return what it printed, and said at last."""
        out = StringIO()
        with pytest.raises(CommandError) as caught:
            self.run(out, **options)
        assert caught.value.returncode == code
        return out.getvalue(), str(caught.value)

    def read_report(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "report.jsonl").open()]

    def expect(self, rows: Any) -> dict[int, dict[tuple[int, int], Any]]:
        return expect_levels(rows, self.levels)


@contextmanager
def open_import(folder: Path) -> Iterator[Import]:
    with open_legacy_site(folder) as site:
        yield Import(site, folder)
