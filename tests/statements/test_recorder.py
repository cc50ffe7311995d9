"""What is written down of a run, and that a run with a bad statement fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from achievements import tables
from achievements.statements import fetch_all
from tests.statements.maintenance import MAINTENANCE
from tests.statements.plugin import judge_statements, write_report
from tests.statements.recorder import (
    FOLDER_VARIABLE,
    Recorder,
    Statement,
    cut_rows,
    read_statements,
    shorten,
)

ROOT = Path(__file__).resolve().parents[2]
TABLES = ["outbox", "user_achievements", "user_progress"]


def make_statement(
    sql: str, *, sharding: str = "none", alias: str = "default", sender: str = "achievements.x"
) -> Statement:
    return Statement(sql, None, alias, sharding, (f"{sender}:read",), "tests/a.py::test_b")


@pytest.fixture
def recorder(db, tmp_path):
    recorder = Recorder(tmp_path)
    with connection.execute_wrapper(recorder):
        yield recorder


def test_what_the_project_sends_is_kept_once_with_its_origin(recorder, tmp_path) -> None:
    for users in ([1], [2, 3], [4, 5, 6]):
        tables.read_revision_rows(users)
    [statement] = read_statements(tmp_path)
    assert "user_progress" in statement.sql
    assert statement.parameters == (1,)
    assert statement.trace[:2] == (
        "achievements.statements:fetch_all", "achievements.tables:read_revision_rows",
    )  # fmt: skip
    assert "test_what_the_project_sends" in statement.test


def test_what_the_test_itself_sends_is_not(recorder, tmp_path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM user_achievements")
    assert read_statements(tmp_path) == []


def test_another_mode_is_another_statement(recorder, tmp_path, settings) -> None:
    tables.read_revision_rows([1])
    settings.DATABASE_SHARDING = "vitess"
    tables.read_revision_rows([1])
    assert [s.sharding for s in read_statements(tmp_path)] == ["none", "vitess"]


def test_a_line_that_was_not_finished_is_left_out(recorder, tmp_path) -> None:
    tables.read_revision_rows([1])
    [file] = tmp_path.iterdir()
    with file.open("ab") as end:
        end.write(b"gASVq")
    assert len(read_statements(tmp_path)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a FROM t WHERE u IN (%s)", "SELECT a FROM t WHERE u IN (%s, %s,%s)"),
        ("INSERT INTO t (u) VALUES (1)", "INSERT INTO t (u) VALUES (7), (8)"),
    ],
)
def test_the_number_of_values_makes_no_other_shape(one: str, other: str) -> None:
    assert shorten(one) == shorten(other)


def test_a_long_insertion_keeps_one_row_and_its_conflict() -> None:
    rows = ",".join(f"({n},x'ff')" for n in range(5_000))
    sql = f"INSERT INTO t (u, s) VALUES {rows} ON DUPLICATE KEY UPDATE s = VALUES(s)"
    assert cut_rows(sql) == (
        "INSERT INTO t (u, s) VALUES (0,x'ff') ON DUPLICATE KEY UPDATE s = VALUES(s)"
    )


def test_the_report_names_shape_origin_and_test() -> None:
    bad = "SELECT user_id FROM user_achievements WHERE achievement_id = 5"
    report = judge_statements([make_statement(bad)], TABLES)
    text = "\n".join(write_report(report))
    assert "SELECT … FROM user_achievements WHERE achievement_id = ?" in text
    assert "achievements.x:read" in text
    assert "tests/a.py::test_b" in text
    assert "MAINTENANCE" in text


def test_what_is_named_passes_where_it_is_named_for() -> None:
    named = next(m for m in MAINTENANCE if m.is_usual_only)
    sql = named.shape.replace("?, ?", "'[1]', '$[*]'").replace("PATH ?", "PATH '$'")
    [sender] = named.senders
    assert judge_statements([make_statement(sql, sender=sender)], TABLES).problems == []
    routed = make_statement(sql, sharding="vitess", sender=sender)
    assert len(judge_statements([routed], TABLES).problems) == 1
    assert len(judge_statements([make_statement(sql)], TABLES).problems) == 1
    assert judge_statements([make_statement("SELECT 1", alias="legacy")], TABLES).judged == 0
    assert len({m.shape for m in MAINTENANCE}) == len(MAINTENANCE)
    assert all(m.reason for m in MAINTENANCE)


WALK = "SELECT user_id FROM user_progress WHERE user_id > 5 ORDER BY user_id LIMIT 9"
COPY = "INSERT INTO user_progress__trial (user_id, state) SELECT user_id, state FROM {} LIMIT 5"


@pytest.mark.parametrize(
    ("sql", "is_named"),
    [
        (WALK, True),
        (f"{WALK} OFFSET 100", True),
        (COPY.format("user_progress"), True),
        (COPY.format("user_achievements"), False),
        (COPY.format("user_progress p JOIN outbox o ON o.user_id = p.revision"), False),
        ("SELECT COUNT(*) FROM (SELECT 1 FROM user_progress LIMIT 9) AS counted", True),
        (
            "SELECT COUNT(*) FROM (SELECT 1 FROM user_achievements a JOIN test_results t"
            " ON t.id=a.test_result_id WHERE t.wpm>9 LIMIT 99999999) AS counted",
            False,
        ),
        (
            "SELECT a.user_id FROM user_achievements a JOIN test_results t ON t.wpm>a.level"
            " WHERE user_id>5 ORDER BY user_id LIMIT 9 OFFSET 100000",
            False,
        ),
        ("SELECT COUNT(level) FROM (SELECT 1 FROM user_progress LIMIT 9) AS counted", False),
    ],
)
def test_a_name_in_a_shape_is_one_name(sql: str, is_named: bool) -> None:
    """Whoever of those that maintain sends it."""
    senders = sorted({sender for named in MAINTENANCE for sender in named.senders})
    tables = [*TABLES, "test_results"]
    passed = [
        sender
        for sender in senders
        if not judge_statements([make_statement(sql, sender=sender)], tables).problems
    ]
    assert len(passed) == is_named


def test_the_same_words_from_another_module_are_another_statement(recorder, tmp_path) -> None:
    sql = "SELECT state FROM user_progress WHERE user_id = %s"
    code = compile(f"fetch_all({sql!r}, [5])", "x.py", "exec")
    for _ in range(2):
        for module in ("achievements.here", "achievements.there"):
            exec(code, {"__name__": module, "fetch_all": fetch_all})
    senders = [s.sender for s in read_statements(tmp_path)]
    assert senders == ["achievements.here", "achievements.there"]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT user_id FROM user_achievements WHERE achievement_id = 5", 1),
        ("SELECT level FROM user_achievements WHERE user_id = 5", 0),
    ],
)
def test_a_run_that_sent_a_bad_statement_fails(tmp_path, sql: str, code: int) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    recorder = Recorder(tmp_path)
    recorder._write(make_statement(sql))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.statements.plugin", "-p", "no:cacheprovider",
         "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, FOLDER_VARIABLE: str(tmp_path), "PYTHONPATH": str(ROOT),
             "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "1 shapes judged" in done.stdout
    assert ("achievement_id = ?" in done.stdout) == bool(code)
