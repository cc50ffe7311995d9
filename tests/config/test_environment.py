import os
import subprocess
import sys
from pathlib import Path

import pytest

from config import environment
from config.environment import SettingError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def put(monkeypatch):
    return lambda value: monkeypatch.setenv("SOME_NAME", value)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda: environment.read_flag("SOME_NAME", False), "maybe"),
        (lambda: environment.read_int("SOME_NAME", 1), "many"),
        (lambda: environment.read_int("SOME_NAME", 1, low=1, high=5), "6"),
        (lambda: environment.read_choice("SOME_NAME", "a", ("a", "b")), "c"),
        (lambda: environment.read_networks("SOME_NAME"), "10.0.0.0/8,proxy"),
        (lambda: environment.read_database("SOME_NAME", "", base_dir=Path()), "postgres://h/x"),
        (lambda: environment.read_database("SOME_NAME", "", base_dir=Path()), "laurel"),
        (lambda: environment.read_database("SOME_NAME", "", base_dir=Path()), "mysql://u:p@h:1/"),
        (lambda: environment.read_database("SOME_NAME", "", base_dir=Path()), "mysql://u@h:x/d"),
    ],
)
def test_a_wrong_value_names_its_variable(put, read, value) -> None:
    put(value)
    with pytest.raises(SettingError, match="SOME_NAME"):
        read()


def test_a_refused_database_url_is_not_repeated(put) -> None:
    put("postgres://laurel:hidden@db/laurel")
    with pytest.raises(SettingError) as caught:
        environment.read_database("SOME_NAME", "", base_dir=Path())
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
def test_mysql_is_read_committed_and_strict(put, scheme) -> None:
    put(f"{scheme}://laurel:p%40ss@db:3307/laurel?read_timeout=7")
    database = environment.read_database("SOME_NAME", "", base_dir=Path())
    assert database["ENGINE"] == "config.mysql"
    assert (database["HOST"], database["PORT"], database["PASSWORD"]) == ("db", 3307, "p@ss")
    assert database["OPTIONS"]["isolation_level"] == "read committed"
    assert database["OPTIONS"]["charset"] == "utf8mb4"
    assert "STRICT_TRANS_TABLES" in database["OPTIONS"]["init_command"]
    assert database["OPTIONS"]["read_timeout"] == 7


def test_sqlite_waits_for_the_other_writer(put, tmp_path) -> None:
    put("sqlite:///data/site.sqlite3")
    database = environment.read_database("SOME_NAME", "", base_dir=tmp_path)
    assert database["NAME"] == str(tmp_path / "data" / "site.sqlite3")
    assert (tmp_path / "data").is_dir()
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert database["OPTIONS"]["timeout"] >= 20
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]


def test_an_absolute_sqlite_path_stays(put, tmp_path) -> None:
    put(f"sqlite:///{tmp_path}/site.sqlite3")
    database = environment.read_database("SOME_NAME", "", base_dir=Path("/elsewhere"))
    assert database["NAME"] == f"{tmp_path}/site.sqlite3"


def test_a_secret_has_no_default_in_production(monkeypatch) -> None:
    monkeypatch.delenv("SOME_NAME", raising=False)
    read = environment.read_secret
    assert read("SOME_NAME", development_default="d", is_production=False) == "d"
    assert read("SOME_NAME", development_default="d", is_production=True) == ""


def test_a_command_says_what_is_wrong_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "manage.py", "check"],
        env={**os.environ, "EVENT_TRANSPORT": "foo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "EVENT_TRANSPORT='foo': expected one of inline, celery, kafka.\n"
