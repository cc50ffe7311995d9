"""docs/growing.md speaks of what there is: its commands, options, settings, metrics and pages."""

import re
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class
from django.db import connection
from prometheus_client import generate_latest

from achievements.claims import CONFLICTS, OUTCOMES
from achievements.engine import process_events
from achievements.legacy_mapping import read_mapping
from achievements.management.commands.import_legacy import DIFFERS, INTERRUPTED, NEEDS_PERSON
from tests.factories import make_achievement, make_event, new_user, publish

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "growing.md"
TEXT = PAGE.read_text()


def list_command_lines() -> list[str]:
    found = re.findall(r"manage\.py ([a-z_]+[^`\n#]*)", TEXT)
    return sorted({line.split("  ")[0].strip() for line in found})


@pytest.mark.parametrize("line", list_command_lines())
def test_every_command_takes_these_arguments(line) -> None:
    name, *arguments = shlex.split(line)
    assert name in get_commands(), name
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    parser.parse_args([argument.rstrip(".,;:") for argument in arguments])


def read_import_options() -> list[dict[str, Any]]:
    parser = load_command_class("achievements", "import_legacy").create_parser("", "import_legacy")
    lines = re.findall(r"^ +manage\.py import_legacy ([^\n#]*)", TEXT, re.MULTILINE)
    return [vars(parser.parse_args(shlex.split(line))) for line in lines]


def test_every_import_reads_the_rows_alike() -> None:
    """By other terms it would begin again, and correct what the one before had given."""
    options = read_import_options()
    assert len(options) >= 7
    terms = {(o["mapping"], o["timezone"], o["unknown_time"], o["source"]) for o in options}
    assert len(terms) == 1


def test_parts_of_an_import_meet_and_the_last_one_is_repeated() -> None:
    options = read_import_options()
    [end] = {o["last_id"] for o in options if o["last_id"]}
    assert [o["first_id"] for o in options if o["first_id"]] == [end + 1, end + 1]
    reports = [o["report"] for o in options if o["last_id"] or o["report"].name == "2.jsonl"]
    assert len(set(reports)) == 2  # two processes never write into one file


def test_every_exit_code_of_the_import_is_named() -> None:
    [table] = re.findall(r"\| Exit code \|.*?\n\n", TEXT, re.DOTALL)
    codes = {int(n) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.M) for n in row.split(",")}
    assert codes == {0, 1, 2, NEEDS_PERSON, DIFFERS, INTERRUPTED}
    gates = re.findall(r"\*\*Go on when\*\*[^\n]*exit[^\n]*(?:\n  [^\n]*)*", TEXT)
    assert len(gates) == 3
    assert all(f"{NEEDS_PERSON} " in gate for gate in gates)  # conflicts that stay are no dead end


def test_web_processes_are_started_as_everywhere_else() -> None:
    [line] = re.findall(r"^    granian (.*)$", TEXT, re.MULTILINE)
    used = (ROOT / "deploy" / "local" / "run.sh").read_text().replace("\\\n", " ").split()
    known = {word for word in used if word.startswith("--")}
    assert {word for word in line.split() if word.startswith("--")} <= known
    assert line.endswith("config.wsgi:application")


def test_every_setting_is_one() -> None:
    known = (ROOT / ".env.example").read_text()
    names = set(re.findall(r"\b([A-Z]{2,}(?:_[A-Z]+)+)\b", TEXT)) - {"LEGACY_DATABASE_URL"}
    assert len(names) >= 10
    assert [name for name in sorted(names) if f"{name}=" not in known] == []


def test_every_metric_is_one(db, client) -> None:
    """On every page, and by the very name that Prometheus has."""
    client.get("/api/v1/achievements")
    known = set(re.findall(r"^# TYPE (\w+)", generate_latest().decode(), re.MULTILINE))
    names = set(re.findall(r"\b((?:achievements|django)_[a-z_]+)(?:\b|\[)", TEXT)) - {"django_"}
    assert len(names) >= 12
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        names |= set(re.findall(r"\bachievements_[a-z_]+\b", page.read_text()))
    assert sorted({name.removesuffix("_bucket") for name in names} - known) == []
    assert "laurel_edge_requests" in (ROOT / "deploy/nginx/edge.lua").read_text()


def test_every_page_and_check_exists() -> None:
    checks = (ROOT / "config" / "checks.py").read_text()
    for identity in re.findall(r"laurel\.[EW]\d{3}", TEXT):
        assert identity in checks
    for name in re.findall(r"\b((?:docs|achievements)/[\w/-]+\.(?:md|py))", TEXT):
        assert (ROOT / name).exists(), name
    for reason in re.findall(r"^\| `(\w+)`(?:, `(\w+)`)?(?:, `(\w+)`)? \|", TEXT, re.MULTILINE):
        assert {name for name in reason if name} <= {*CONFLICTS, *OUTCOMES}


def test_the_mapping_can_be_read(db, tmp_path) -> None:
    make_achievement("first-steps", {"count": "tests", "atLeast": 1})
    make_achievement("centurion", {"count": "tests"}, 100, 1_000)
    publish()
    [text] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path / "mapping.yaml"
    file.write_text(text)
    assert sorted(read_mapping(file).levels) == [17, 18, 19]


def test_the_way_back_reads_what_was_unlocked_here_since(db) -> None:
    make_achievement("first", {"count": "tests", "atLeast": 1})
    publish()
    before, since = new_user(), new_user()
    events: list[Any] = [
        make_event(before, 1, at=datetime.fromisoformat("2026-11-30T12:00:00Z")),
        make_event(since, 1, at=datetime.fromisoformat("2026-12-01T12:00:00Z")),
    ]
    process_events(events)
    [sql] = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
    with connection.cursor() as cursor:
        cursor.execute(sql.strip().rstrip(";"))
        assert [row[:3] for row in cursor.fetchall()] == [(since, "first", 1)]
