"""What a real MariaDB does for a statement on tables of users: partitions it opens, rows it reads.

Measured by running the statement on tables of realistic size, in a transaction that is rolled
back: the optimizer's estimates are not asked. The users in the statement are exchanged for some
that exist there.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from sqlglot import exp

from achievements.partitions import read_partition_count
from achievements.statements import list_keys
from tests.statements.judge import SHARD_COLUMN

USERS = 20_000
UNLOCKS, NOTIFICATIONS, TESTS, RUNS = 15, 10, 15, 4  # a user
AT = "'2026-01-01'"
USER = f"seq_1_to_{USERS} u"

# How each table is filled, in the order of its primary key: a new table of users needs a line.
FILLING = {
    "notifications": f"(user_id, sequence, achievement_id, level, created_at)"
    f" SELECT u.seq, n.seq, n.seq, 1, {AT} FROM {USER} JOIN seq_1_to_{NOTIFICATIONS} n",
    "profiles": f"(user_id, display_name, is_private, created_at)"
    f" SELECT seq, 'Ada', seq % 10 = 0, {AT} FROM {USER}",
    "recent_submissions": f"(user_id, packed) SELECT seq, REPEAT('k', 768) FROM {USER}",
    "test_results": "(user_id, id, wpm, accuracy, duration_seconds, mode, language, completed_at,"
    f" utc_offset_minutes) SELECT u.seq, n.seq, 60, 95, 30, 'time', 'english', {AT}, 0"
    f" FROM {USER} JOIN seq_1_to_{TESTS} n",
    "user_achievements": "(user_id, achievement_id, level, unlocked_at, test_result_id,"
    f" rulebook_version) SELECT u.seq, n.seq, 1, {AT}, n.seq, 1"
    f" FROM {USER} JOIN seq_1_to_{UNLOCKS} n",
    "user_progress": f"(user_id, revision, state) SELECT seq, 1, REPEAT('s', 200) FROM {USER}",
    "user_snapshots": "(user_id, cut_at, dropped, state)"
    f" SELECT seq, {AT}, 9, REPEAT('s', 200) FROM {USER}",
    "user_seen_tests": "(user_id, is_invalidation, first_id, last_id, ids)"
    " SELECT u.seq, 0, n.seq * 1000, n.seq * 1000 + 999, REPEAT('i', 500)"
    f" FROM {USER} JOIN seq_1_to_{RUNS} n",
}
# A value that some rows of a user have, for what a statement compares besides the user.
EXISTING = {
    "achievement_id": 3, "level": 1, "sequence": 5, "id": 4, "test_result_id": 4,
    "first_id": 2500, "last_id": 2500,
}  # fmt: skip
COMPARISONS = (exp.EQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.In)
PLACEHOLDER = re.compile(r":p(\d+)")
READS_A_ROW = 3  # an entry of the index, the row, and the step that finds the end


class Plan(NamedTuple):
    partitions: set[str]
    returned: int
    reads: int
    users: list[int]
    skipped: int = 0  # by OFFSET
    counted: int = 0  # what COUNT(*) returned, where it is the first column

    @property
    def most_reads(self) -> int:
        return READS_A_ROW * (self.returned + max(1, len(self.users)))


def fill_tables(connection: BaseDatabaseWrapper, source: str, tables: Sequence[str]) -> None:
    """Create tables like those of the database `source`, and fill and analyse them."""
    if missing := set(tables) - set(FILLING):
        raise AssertionError(f"FILLING in tests/statements/plans.py lacks {sorted(missing)}")
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"CREATE TABLE {table} LIKE {source}.{table}")
            cursor.execute(f"INSERT INTO {table} {FILLING[table]}")
            cursor.execute(f"ANALYZE TABLE {table}")
            cursor.fetchall()


def choose_users(partitions: int) -> Iterator[int]:
    """Yield existing users of two partitions only."""
    step = max(1, partitions)
    for number in range(USERS // step - 1):
        yield 1000 + number * step if number % 2 else 1001 + number * step


def measure(
    connection: BaseDatabaseWrapper, tree: exp.Expr, parameters: Sequence[Any] | None
) -> Plan:
    """Run the statement for existing users and say what it did."""
    values = list(parameters or ())
    table = next(t.name for t in tree.find_all(exp.Table) if t.name in FILLING)
    count = read_partition_count(connection, table)
    users = _exchange(tree, values, choose_users(count))
    sql, values = _write_sql(tree, values)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN PARTITIONS {sql}", values)
        names = [column[0] for column in cursor.description]
        opened: set[str] = set()
        for row in (dict(zip(names, found, strict=True)) for found in cursor.fetchall()):
            # A look-up by each key of a list opens the key's own partition: known only then.
            is_by_list = row["type"] in ("eq_ref", "ref") and "k." in str(row["ref"])
            if row["partitions"] and not is_by_list:
                opened |= set(row["partitions"].split(","))
        cursor.execute("START TRANSACTION")
        _count_reads(cursor)
        before = _count_reads(cursor)
        own = _count_reads(cursor) - before  # what asking costs
        cursor.execute(sql, values)
        rows = cursor.fetchall() if cursor.description else ()
        returned = len(rows) if cursor.description else cursor.rowcount
        reads = _count_reads(cursor) - before - 2 * own
        cursor.execute("ROLLBACK")
    counted = rows[0][0] if rows and isinstance(rows[0][0], int) else 0
    return Plan(opened, returned, reads, users, _read_offset(tree, parameters), counted)


def find_excess(
    plan: Plan, connection: BaseDatabaseWrapper, table: str, *, is_bounded: bool = False
) -> list[str]:
    """Return what the statement did beyond its users; `is_bounded` pardons rows of theirs."""
    count = read_partition_count(connection, table)
    allowed = {f"p{user % count}" for user in plan.users} if count else set()
    faults = []
    if strange := plan.partitions - allowed:
        faults.append(
            f"opens {', '.join(sorted(strange))} besides {', '.join(sorted(allowed)) or 'none'}"
        )
    if plan.reads > plan.most_reads and not is_bounded:
        faults.append(
            f"reads {plan.reads} rows to return {plan.returned} of {len(plan.users)} user(s);"
            f" {plan.most_reads} are allowed"
        )
    return faults


def _exchange(tree: exp.Expr, values: list[Any], users: Iterator[int]) -> list[int]:
    """Put existing users, and existing values of other columns, in place of the parameters."""
    chosen: dict[Any, int] = {}

    def take(key: Any) -> int:
        if key not in chosen:
            chosen[key] = next(users)
        return chosen[key]

    for node in tree.find_all(*COMPARISONS):
        others = node.expressions if isinstance(node, exp.In) else [node.expression]
        columns = node.this.expressions if isinstance(node.this, exp.Tuple) else [node.this]
        for other in others:
            parts = other.expressions if isinstance(other, exp.Tuple) else [other]
            for column, part in zip(columns, parts, strict=False):
                if not (isinstance(column, exp.Column) and isinstance(part, exp.Placeholder)):
                    continue
                place = int(part.name[1:])
                if column.name == SHARD_COLUMN:
                    values[place] = take(values[place])
                elif column.name in EXISTING and isinstance(values[place], int):
                    values[place] = EXISTING[column.name]
    for node in tree.find_all(exp.JSONTable):
        if isinstance(node.this, exp.Placeholder):
            place = int(node.this.name[1:])
            keys = [take(("key", n)) for n in range(8)]
            is_of_pairs = str(values[place]).startswith("[[")
            values[place] = str([[k, 3] for k in keys]) if is_of_pairs else list_keys(keys)
    return list(chosen.values())


def _read_offset(tree: exp.Expr, parameters: Sequence[Any] | None) -> int:
    offset = tree.args.get("offset")
    if offset is None:
        return 0
    is_given = isinstance(offset.expression, exp.Placeholder)
    return int(parameters[int(offset.expression.name[1:])] if is_given and parameters else 0)


def _write_sql(tree: exp.Expr, values: list[Any]) -> tuple[str, list[Any]]:
    tree = tree.copy()
    order: list[Any] = []
    sql = tree.sql(dialect="mysql").replace("%", "%%")
    pieces = PLACEHOLDER.split(sql)
    for place in pieces[1::2]:
        order.append(values[int(place)])
    return "%s".join(pieces[::2]), order


def _count_reads(cursor: Any) -> int:
    """Rows the server's layers asked the storage engine for, those it filtered there included."""
    cursor.execute("SHOW SESSION STATUS WHERE variable_name LIKE 'Handler%'")
    counts = {name: int(value) for name, value in cursor.fetchall()}
    reads = sum(n for name, n in counts.items() if name.startswith("Handler_read_"))
    return reads + counts.get("Handler_icp_attempts", 0) - counts.get("Handler_icp_match", 0)
