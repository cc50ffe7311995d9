"""What the queries of the project gain from the indexes that the customer names.

The project's own functions are called and their statements kept; each is explained and timed
on tables of the same rows with and without an index.
"""

import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from achievements.admin.user_report import read_report
from achievements.engine import process_events
from achievements.models import Achievement
from achievements.outcomes import read_outcome
from achievements.rarity import forget_tallies, read_tallies
from achievements.selectors import read_profiles
from achievements.statements import fetch_all
from achievements.unlocks import read_origins
from bench.storage_arrivals import Arrivals
from bench.storage_layouts import TABLE, Layout
from bench.storage_site import execute, use
from bench.workload import Typist

REPEATS: Final = 200
SHARED_PAGE: Final = 20  # profiles that a page of a list shows


class Found(NamedTuple):
    """Of one statement on one table."""

    key: str
    rows_read: float
    milliseconds: float
    extra: str


def collect_queries(arrivals: Arrivals, *, share: int) -> dict[str, str]:
    """Return the statements on unlocks that readers cause, each for the same user."""
    user, *others = arrivals.draw_profiles(SHARED_PAGE, share=share)
    event = Typist(user, Random(1)).finish_test()
    callers: dict[str, Callable[[], Any]] = {
        "profile": lambda: read_profiles([user]),
        "profiles_of_20": lambda: read_profiles([user, *others]),
        "staff_report": lambda: read_report(user),
        "receipt_of_a_test": lambda: read_outcome(user_id=user, event=event),
        "retraction": lambda: read_origins([user]),
    }
    with transaction.atomic():
        process_events([event])  # so that there is a receipt
        found = {name: _mark_user(_catch_statement(call), user) for name, call in callers.items()}
        transaction.set_rollback(True)
    return found


def _catch_statement(call: Callable[[], Any]) -> str:
    with CaptureQueriesContext(connection) as caught:
        call()
    (statement,) = [q["sql"] for q in caught.captured_queries if TABLE in q["sql"]]
    return str(statement)


def _mark_user(statement: str, user: int) -> str:
    return re.sub(rf"\b{user}\b", "{user}", statement)


def try_queries(
    queries: Mapping[str, str], layouts: Mapping[str, Layout], users: Sequence[int]
) -> dict[str, dict[str, Found]]:
    """Return what each statement met on each table, tables in turn."""
    found: dict[str, dict[str, Found]] = {}
    for name, statement in queries.items():
        asked = [statement.format(user=user) for user in users]
        times: dict[str, list[float]] = {table: [] for table in layouts}
        for start in range(0, len(asked), 20):
            for table, layout in layouts.items():
                with use(layout.database):
                    times[table] += [_time(partial(fetch_all, s)) for s in asked[start:][:20]]
        found[name] = {}
        for table, layout in layouts.items():
            with use(layout.database):
                found[name][table] = _explain(asked[0], statistics.median(times[table]))
    return found


def count_holders(layouts: Mapping[str, Layout]) -> dict[str, Found]:
    """The question that an index on (achievement_id) would answer: who holds one level."""
    question = f"SELECT COUNT(*) FROM {TABLE} WHERE achievement_id = 30 AND level = 1"
    found = {}
    for name, layout in layouts.items():
        with use(layout.database):
            times = [_time(lambda: fetch_all(question)) for _ in range(5)]
            found[name] = _explain(question, statistics.median(times))
    return found


def time_tallies() -> tuple[float, int]:
    """Return the milliseconds of the answer that is used, for all levels at once, and its rows."""

    def read() -> None:
        forget_tallies()
        read_tallies()

    with transaction.atomic():
        rows = execute(
            "INSERT INTO tallies (achievement_id, level, slot, holders) SELECT a.seq, l.seq, s.seq,"
            " 1000 FROM seq_101_to_160 a JOIN seq_1_to_4 l JOIN seq_0_to_63 s"
        )
        times = [_time(read) for _ in range(20)]
        transaction.set_rollback(True)
    forget_tallies()
    return statistics.median(times), rows


def try_category() -> dict[str, Found]:
    """The list of achievements in the admin, filtered: with the index on category, and without."""
    ((index,),) = fetch_all(
        "SELECT index_name FROM information_schema.statistics WHERE table_schema = DATABASE()"
        " AND table_name = 'achievements' AND column_name = 'category'"
    )
    statement = _catch_category()
    found = {"category": _time_category(statement)}
    execute(f"DROP INDEX {index} ON achievements")
    found["none"] = _time_category(statement)
    execute(f"CREATE INDEX {index} ON achievements (category)")
    return found


def _catch_category() -> str:
    category = Achievement.objects.values_list("category", flat=True).first()
    with CaptureQueriesContext(connection) as caught:
        list(Achievement.objects.filter(category=category).order_by("sort_order", "slug"))
    return str(caught.captured_queries[0]["sql"])


def _time_category(statement: str) -> Found:
    execute("ANALYZE TABLE achievements")
    times = [_time(lambda: fetch_all(statement)) for _ in range(REPEATS)]
    return _explain(statement, statistics.median(times))


def _time(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def _explain(statement: str, milliseconds: float) -> Found:
    """Run it once more under ANALYZE, which counts the rows that were read."""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {statement}")
        names = [column[0] for column in cursor.description]
        plan: dict[str, Any] = dict(zip(names, cursor.fetchone(), strict=True))
    rows = float(plan["r_rows"] or 0)
    return Found(plan["key"] or "none", rows, milliseconds, plan["Extra"] or "")
