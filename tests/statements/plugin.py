"""Judges, at the end of a run on the real stack, every statement that the project has sent.

A run of some tests judges what these sent. The run fails for a statement on a table of users that
is neither single-shard by user nor named in maintenance.py.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.statements.judge import Unreadable, find_faults, list_named_tables, normalise, parse
from tests.statements.maintenance import MAINTENANCE, find_maintenance
from tests.statements.recorder import FOLDER_VARIABLE, Statement, read_statements

# Databases of others have tables of their own, whatever these are called.
FOREIGN_ALIASES = {"legacy"}
UNSHARDED = "none"


class Report(NamedTuple):
    judged: int
    problems: list[str]
    unused: list[str]  # named as maintenance, and not seen


REPORT = pytest.StashKey[Report]()


def list_sharded_tables() -> list[str]:
    """The tables of users, and the outbox: it is written with what causes its events."""
    from achievements.partitions import list_user_tables

    return [*list_user_tables(), "outbox"]


def judge_statements(statements: Iterable[Statement], tables: list[str]) -> Report:
    problems: dict[tuple[str, str], list[str]] = {}
    seen: set[str] = set()
    judged = 0
    for statement in statements:
        if statement.alias in FOREIGN_ALIASES or not list_named_tables(statement.sql, tables):
            continue
        judged += 1
        is_routed = statement.sharding != UNSHARDED
        try:
            tree = parse(statement.sql, statement.parameters)
            shape, faults = normalise(tree), find_faults(tree, tables, is_routed=is_routed)
        except Unreadable as error:
            shape, faults = statement.sql, [f"cannot be read: {error}"]
        if not faults:
            continue
        named = find_maintenance(shape, statement.sender)
        if named:
            seen.add(named.shape)
        if named and not (is_routed and named.is_usual_only):
            continue
        lines = problems.setdefault((shape, statement.sharding), _describe(shape, faults))
        where = f" (DATABASE_SHARDING={statement.sharding})" if is_routed else ""
        lines.append(f"  from {statement.origin}{where}, in {statement.test}")
    unused = [m.shape for m in MAINTENANCE if m.shape not in seen]
    return Report(judged, ["\n".join(lines[:5]) for lines in problems.values()], unused)


def _describe(shape: str, faults: list[str]) -> list[str]:
    return [shape, *(f"  {fault}" for fault in faults)]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name == "test_plans.py")  # it asks what was sent


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return
    report = judge_statements(read_statements(Path(folder)), list_sharded_tables())
    session.config.stash[REPORT] = report
    if report.problems and session.exitstatus in (pytest.ExitCode.OK, 0):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    report = terminalreporter.config.stash.get(REPORT, None)
    if report is None:
        return
    for line in write_report(report):
        terminalreporter.write_line(line)


def write_report(report: Report) -> Iterator[str]:
    yield f"statements on tables of users: {report.judged} shapes judged"
    if not report.problems:
        return
    yield f"{len(report.problems)} of them are not single-shard by user_id:"
    for problem in report.problems:
        yield ""
        yield from problem.splitlines()
    yield ""
    yield "Let each name its users by user_id = or IN; or, where it has to look at all of them,"
    yield "name shape, module and reason in MAINTENANCE (tests/statements/maintenance.py)."
