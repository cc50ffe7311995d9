"""Every statement on tables of users reads its users' partitions alone, and little besides.

Runs last, on what the whole run has sent; alone, on what `test_every_function...` makes it send.
"""

import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from sqlglot import exp

from achievements import (
    notifications,
    outcomes,
    reasons,
    rebuild,
    selectors,
    standing,
    tables,
    unlocks,
)
from achievements.admin import user_report
from achievements.display import get_catalogue
from achievements.engine import process_events
from achievements.partitions import list_user_tables, read_partition_count
from profiles import selectors as profile_selectors
from profiles import services
from tests.factories import make_broad_catalogue, make_event, new_user, store_history
from tests.statements.judge import list_named_tables, normalise, parse
from tests.statements.maintenance import BOUNDED, find_maintenance
from tests.statements.plans import READS_A_ROW, fill_tables, find_excess, measure
from tests.statements.plugin import FOREIGN_ALIASES, UNSHARDED
from tests.statements.recorder import FOLDER_VARIABLE, Statement, read_statements

# A million rows are written before the first of them.
pytestmark = [
    *(pytest.mark.real, pytest.mark.django_db(transaction=True)),
    pytest.mark.timeout(600),
]
SCRATCH = "laurel_plans"
READING = (exp.Select, exp.SetOperation, exp.Update, exp.Delete)
REPARTITION = ("repartition_plan", "repartition_trial", "shadow_rows")
MODULES = (
    *(notifications, outcomes, reasons, rebuild, selectors, standing, tables, unlocks, user_report),
    *(profile_selectors, services),
)
# save_test_result takes a whole test: other tests of this run save plenty.
NEED_MORE = (services.save_test_result, selectors.show_standings)
ADVICE = "Mend it, or name it in BOUNDED or MAINTENANCE (tests/statements/maintenance.py)."


@pytest.fixture(scope="module")
def filled(django_db_setup: None, django_db_blocker) -> Iterator[BaseDatabaseWrapper]:
    """A connection to a database with tables of realistic size."""
    with django_db_blocker.unblock():
        source = connection.settings_dict["NAME"]
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {SCRATCH}")
            cursor.execute(f"CREATE DATABASE {SCRATCH}")
        other = connection.copy()
        other.settings_dict["NAME"] = SCRATCH
        fill_tables(other, source, list_user_tables())
    yield other
    with django_db_blocker.unblock():
        with other.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {SCRATCH}")
        other.close()


def list_shapes() -> Iterator[tuple[str, exp.Expr, Statement]]:
    """What was sent so far and reads or changes rows of users."""
    tables = list_user_tables()
    found: dict[tuple[str, bool], tuple[exp.Expr, Statement]] = {}
    for statement in read_statements(Path(os.environ[FOLDER_VARIABLE])):
        is_ours = statement.alias not in FOREIGN_ALIASES and statement.sharding == UNSHARDED
        if is_ours and list_named_tables(statement.sql, tables):
            tree = parse(statement.sql, statement.parameters)
            if isinstance(tree, READING) and find_table(tree):
                shape = normalise(tree)
                is_named = find_maintenance(shape, statement.sender) is not None
                found.setdefault((shape, is_named), (tree, statement))
    for (shape, _), (tree, statement) in found.items():
        yield shape, tree, statement


def find_table(tree: exp.Expr) -> str | None:
    tables = set(list_user_tables())
    return next((t.name for t in tree.find_all(exp.Table) if t.name in tables), None)


def judge_plan(
    filled: BaseDatabaseWrapper, shape: str, tree: exp.Expr, values, sender: str
) -> list[str]:
    table = find_table(tree)
    assert table is not None
    plan = measure(filled, tree, values)
    if named := find_maintenance(shape, sender):
        # It may open all partitions, and read in each of them what it returns of one.
        count = max(1, read_partition_count(filled, table))
        looked = (
            plan.counted + count if named.is_count else (plan.returned + plan.skipped + 1) * count
        )
        most = READS_A_ROW * looked
        return [] if plan.reads <= most else [f"reads {plan.reads} rows, {most} are allowed"]
    return find_excess(plan, filled, table, is_bounded=shape in BOUNDED)


def make_arguments() -> dict[str, object]:
    """What the functions below are called with, by the name of the parameter."""
    user, other = new_user(), new_user()
    event = make_event(user, 1, wpm=95.0, accuracy=99.0)
    process_events([event, make_event(user, 2, wpm=95.0), make_event(other, 1)])
    store_history([event])
    return {
        "user_id": user, "user_ids": [user, other], "before": 5, "after": 0, "limit": 20,
        "lowest": 1, "highest": 9, "up_to": 5, "slug": "first", "should_unmask": True,
        "event": event, "test_result_id": 1, "is_private": True, "reason": "cheated",
        "catalogue": get_catalogue(), "should_notify": True,
    }  # fmt: skip


def list_functions() -> list[Callable[..., object]]:
    """Every public function of these modules that asks for a user."""
    return [
        function
        for module in MODULES
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
        if {"user_id", "user_ids"} & set(inspect.signature(function).parameters)
        and function not in NEED_MORE
    ]


def test_every_function_that_asks_for_a_user_is_called() -> None:
    functions = list_functions()
    assert len(functions) > 15
    make_broad_catalogue()
    for function in functions:
        arguments = make_arguments()
        parameters = inspect.signature(function).parameters
        unknown = [
            name for name, p in parameters.items() if name not in arguments and p.default is p.empty
        ]
        assert not unknown, f"{function.__qualname__}: teach make_arguments() {unknown}"
        given = {name: arguments[name] for name in parameters if name in arguments}
        function(**given)
    assert len(list(list_shapes())) > 12


def test_each_statement_reads_its_users_alone_and_little_besides(filled) -> None:
    problems = []
    for shape, tree, statement in list_shapes():
        if faults := judge_plan(filled, shape, tree, statement.parameters, statement.sender):
            problems.append(
                "\n".join([shape, *faults, f"from {statement.origin}, in {statement.test}", ADVICE])
            )
    assert not problems, "\n\n".join(problems)


GOOD = {
    "one user": ("SELECT state FROM user_progress WHERE user_id = %s", (1,)),
    "a batch": ("SELECT level FROM user_achievements WHERE user_id IN (%s, %s, %s)", (1, 2, 3)),
    "newest": (
        "SELECT level FROM notifications WHERE user_id = %s ORDER BY sequence DESC LIMIT 3", (1,),
    ),
}  # fmt: skip
BAD = {
    "no user": ("SELECT user_id FROM user_achievements WHERE achievement_id = %s", (1,)),
    "a filter without an index": (
        "SELECT id FROM test_results WHERE user_id = %s AND wpm > %s", (1, 900.0),
    ),
    "a batch that is filtered": (
        "SELECT user_id FROM test_results WHERE user_id IN (%s, %s) AND accuracy < %s", (1, 2, 3.0),
    ),
    "a sort of everything": (
        "SELECT id FROM test_results WHERE user_id = %s ORDER BY completed_at DESC LIMIT 1", (1,),
    ),
    "a range": ("SELECT state FROM user_progress WHERE user_id > %s", (1,)),
    "a computed user": ("SELECT state FROM user_progress WHERE user_id + 0 = %s", (1,)),
    "an update by a row": (
        "UPDATE test_results SET wpm = 1 WHERE (user_id, id) = (%s, %s)", (1, 4),
    ),
    # Shapes of maintenance but for a table that was slipped in, or a filter.
    "a join that is counted": (
        "SELECT COUNT(*) FROM (SELECT 1 FROM user_achievements a JOIN test_results t ON"
        " t.user_id = a.user_id AND t.id = a.test_result_id WHERE t.wpm > 9 LIMIT 99) AS counted",
        (),
    ),
    "a slice that is joined": (
        "SELECT a.user_id FROM user_achievements a JOIN test_results t ON t.user_id = a.user_id"
        " AND t.wpm > a.level WHERE a.user_id > %s ORDER BY a.user_id LIMIT 9 OFFSET 1000",
        (5,),
    ),
    "a slice that is filtered": (
        "SELECT user_id FROM test_results WHERE user_id > %s AND wpm > 900"
        " ORDER BY user_id LIMIT 9",
        (5,),
    ),
    "a deletion": ("DELETE FROM notifications WHERE created_at < %s", ("2026-06-01",)),
}  # fmt: skip


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_bad_queries_are_caught(filled, name: str) -> None:
    """Also from where maintenance is sent."""
    sql, values = {**GOOD, **BAD}[name]
    for sender in (
        "profiles.services",
        "achievements.shadow_rows",
        "achievements.repartition_plan",
    ):
        tree = parse(sql, values)
        faults = judge_plan(filled, normalise(tree), tree, values, sender)
        assert bool(faults) == (name in BAD), sender


def test_maintenance_may_read_what_it_counts_and_no_more(filled) -> None:
    counted = "SELECT COUNT(*) FROM (SELECT 1 FROM user_progress LIMIT 500) AS counted"
    walked = "SELECT user_id FROM user_achievements WHERE user_id > 5 ORDER BY user_id LIMIT 9, 1"
    for sql, sender in ((counted, "repartition_plan"), (walked, "shadow_rows")):
        tree = parse(sql, None)
        shape = normalise(tree)
        assert judge_plan(filled, shape, tree, None, f"achievements.{sender}") == []
        assert judge_plan(filled, shape, tree, None, "achievements.selectors") != []
