"""Whether a statement touches the rows of named users alone, as a database sharded by user needs.

A statement on a table of users must tie user_id to values by `=` or IN, in every part that
reads such a table; several such tables must be tied to each other by user_id. The list of keys
that tables.py joins to (JSON_TABLE of one parameter) counts as values where no proxy has to
route the statement.
"""

import logging
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

JUDGED = (exp.Select, exp.SetOperation, exp.Insert, exp.Update, exp.Delete, exp.Command)
# What defines or locks tables, or looks after them, names no rows.
DEFINING = {
    *("ALTER", "ANALYZE", "CHECK", "CHECKSUM", "CREATE", "DESCRIBE", "DROP", "EXPLAIN", "FLUSH"),
    *("KILL", "LOCK", "OPTIMIZE", "RELEASE", "RENAME", "ROLLBACK", "SAVEPOINT", "SET", "SHOW"),
    *("TRUNCATE", "UNLOCK"),
}
SCOPES = (exp.Select, exp.Update, exp.Delete, exp.Insert)
VALUES = (exp.Placeholder, exp.Literal)
SHARD_COLUMN = "user_id"


# It warns of definitions that it does not take apart.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class Unreadable(Exception):
    """The parser does not know this statement."""


def parse(sql: str, parameters: Collection[Any] | None) -> exp.Expr:
    """Return the tree; the parameters become :p0, :p1 and so on."""
    if parameters is not None:
        sql = sql % tuple(f":p{n}" for n in range(len(parameters)))
    try:
        # The driver marks bytes so; the parser does not know the mark behind SET.
        return sqlglot.parse_one(sql.replace("_binary ", ""), dialect="mysql")
    except SqlglotError as error:
        raise Unreadable(str(error).splitlines()[0]) from None


def find_faults(tree: exp.Expr, tables: Collection[str], *, is_routed: bool = False) -> list[str]:
    """Return why `tree` is not single-shard by user; nothing when it is, or knows no `tables`.

    Where statements are routed by a proxy, it must find the users in the statement itself.
    """
    if not isinstance(tree, JUDGED):
        return []
    if isinstance(tree, exp.Command):
        if str(tree.this).upper() in DEFINING:
            return []
        named = [t for t in tables if t in str(tree)]
        return [f"{tree.this} cannot be read: on {', '.join(named)}"] if named else []
    names = {table.name for table in _list_tables(tree)}
    if not names & set(tables):
        return []
    faults = []
    if others := sorted(names - set(tables)):
        faults.append(f"mixes tables of users with {', '.join(others)}, which lies elsewhere")
    if is_routed and tree.find(exp.JSONTable):
        faults.append("JSON_TABLE hides the users from the proxy that must route the statement")
    ties: dict[int, _Ties] = {}
    for scope in tree.find_all(*SCOPES, bfs=True):
        ties[id(scope)] = own = _Ties(scope, frozenset(tables), _find_outer(scope, ties))
        faults += own.find_faults()
        if isinstance(scope, exp.Insert):
            faults += _judge_insert(scope, tables)
        if isinstance(scope, exp.Update | exp.Insert):
            faults += _judge_assignments(scope)
    return faults


class _Ties:
    """What ties the tables of one SELECT, UPDATE or DELETE to users: a union of equal things."""

    def __init__(self, scope: exp.Expr, tables: frozenset[str], outer: "_Ties | None"):
        self.outer = outer
        self.users: list[str] = []
        self.keys: set[str] = set()
        self.groups: dict[str, str] = dict(outer.groups) if outer else {}
        self.valued: set[str] = set(outer.valued) if outer else set()
        for node in _list_own(scope, exp.Table):
            if _is_named_again(node):
                continue
            if isinstance(node.this, exp.JSONTable):
                self.keys.add(node.alias)
            elif node.name in tables and not _is_target_of_insert(node):
                self.users.append(node.alias_or_name)
        for condition in _list_conditions(scope):
            self._read(condition)
        for join in _list_own(scope, exp.Join):
            for condition in _split_and(join.args.get("on")):
                # An outer join keeps rows that its condition rejects: it ties, but chooses nobody.
                self._read(condition, is_choosing=not join.side)

    def find_faults(self) -> list[str]:
        faults = []
        valued = {self._root(name) for name in self.valued}
        for name in self.users:
            if self._root(name) not in valued:
                faults.append(f"{name}: nothing ties its user_id to values, by = or IN")
        roots = {self._root(name) for name in self.users}
        if self.outer and self.outer.users:
            roots |= {self._root(name) for name in self.outer.users}
        if len(roots) > 1:
            faults.append(
                f"{', '.join(self.users)}: not of one user, as user_id = user_id would say"
            )
        return faults

    def _root(self, name: str) -> str:
        while self.groups.get(name, name) != name:
            name = self.groups[name]
        return name

    def _read(self, condition: exp.Expr, *, is_choosing: bool = True) -> None:
        if isinstance(condition, exp.EQ):
            left, right = condition.this.unnest(), condition.expression.unnest()
            if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
                for one, other in zip(left.expressions, right.expressions, strict=False):
                    self._read(
                        exp.EQ(this=one.copy(), expression=other.copy()), is_choosing=is_choosing
                    )
                return
            for one, other in ((left, right), (right, left)):
                if (name := self._name_user(one)) is None:
                    continue
                is_key = isinstance(other, exp.Column) and other.table in self.keys
                if is_choosing and (is_key or _is_value(other)):
                    self.valued.add(name)
                elif (twin := self._name_user(other)) is not None:
                    self.groups[self._root(name)] = self._root(twin)
        elif isinstance(condition, exp.In) and condition.expressions and is_choosing:
            column = condition.this.unnest()
            rows = condition.expressions
            if isinstance(column, exp.Tuple):
                names = [self._name_user(part) for part in column.expressions]
                for place, name in enumerate(names):
                    if name and all(
                        isinstance(row, exp.Tuple) and _is_value(row.expressions[place])
                        for row in rows
                    ):
                        self.valued.add(name)
            elif (name := self._name_user(column)) and all(map(_is_value, rows)):
                self.valued.add(name)

    def _name_user(self, node: exp.Expr) -> str | None:
        """The table whose user_id this is."""
        if not isinstance(node, exp.Column) or node.name != SHARD_COLUMN:
            return None
        if not node.table:
            return self.users[0] if len(self.users) == 1 else None
        known = [*self.users, *(self.outer.users if self.outer else ())]
        return node.table if node.table in known else None


def _judge_insert(insert: exp.Insert, tables: Collection[str]) -> list[str]:
    target = insert.this
    table = target.this if isinstance(target, exp.Schema) else target
    if table.name not in tables:
        return []
    columns = [c.name for c in target.expressions] if isinstance(target, exp.Schema) else []
    if SHARD_COLUMN not in columns:
        return [f"{table.name}: the INSERT does not name user_id among its columns"]
    place = columns.index(SHARD_COLUMN)
    source = insert.expression
    if isinstance(source, exp.Values):
        if all(_is_value(row.expressions[place]) for row in source.expressions):
            return []
    elif isinstance(source, exp.Select):
        given = source.expressions[place].unalias()
        if _is_value(given) or (isinstance(given, exp.Column) and given.name == SHARD_COLUMN):
            return []
    return [f"{table.name}: the INSERT's user_id is neither a value nor the user_id it reads"]


def _judge_assignments(scope: exp.Expr) -> Iterator[str]:
    """A row whose user changed would have to move to another shard."""
    conflict = scope.args.get("conflict")
    changes = scope.expressions if isinstance(scope, exp.Update) else []
    for change in [*changes, *(conflict.expressions if conflict else ())]:
        if isinstance(change, exp.EQ) and change.this.name == SHARD_COLUMN:
            yield "assigns user_id: the row would have to move to another shard"


def _list_conditions(scope: exp.Expr) -> Iterator[exp.Expr]:
    """What must all be true for a row: AND is taken apart, OR and NOT are not."""
    for node in _list_own(scope, exp.Where):
        yield from _split_and(node.this)


def _split_and(node: exp.Expr | None) -> Iterator[exp.Expr]:
    if node is None:
        return
    node = node.unnest()
    if isinstance(node, exp.And):
        yield from _split_and(node.this)
        yield from _split_and(node.expression)
    else:
        yield node


def _list_own(scope: exp.Expr, kind: type[exp.Expr]) -> Iterator[Any]:
    for node in scope.find_all(kind, bfs=True):
        if node.find_ancestor(*SCOPES) is scope:
            yield node


def _list_tables(tree: exp.Expr) -> Iterator[exp.Table]:
    shared = {cte.alias for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if not (
            _is_named_again(table) or isinstance(table.this, exp.JSONTable) or table.name in shared
        ):
            yield table


def _find_outer(scope: exp.Expr, ties: dict[int, _Ties]) -> "_Ties | None":
    """The part around a subquery of a condition; what is read FROM stands for itself."""
    outer = scope.find_ancestor(*SCOPES)
    if outer is None or isinstance(outer, exp.Insert):
        return None
    holder = scope.find_ancestor(exp.From, exp.Join, exp.Where, exp.CTE)
    return ties[id(outer)] if isinstance(holder, exp.Where | exp.Join) else None


def _is_named_again(node: exp.Table) -> bool:
    """Whether a DELETE's list or a lock only repeats what stands in FROM."""
    return node.arg_key == "tables" or isinstance(node.find_ancestor(exp.Lock, *SCOPES), exp.Lock)


def _is_target_of_insert(node: exp.Table) -> bool:
    return isinstance(node.find_ancestor(*SCOPES), exp.Insert)


def _is_value(node: Any) -> bool:
    node = node.unnest() if isinstance(node, exp.Expr) else node
    if isinstance(node, exp.Neg):
        node = node.this
    return isinstance(node, VALUES)


def normalise(tree: exp.Expr) -> str:
    """Return the statement without values, names of columns read and quotes: MAINTENANCE's key."""
    tree = tree.copy()
    for select in list(tree.find_all(exp.Select)):
        if all(isinstance(e.unalias(), exp.Column) for e in select.expressions):
            select.set("expressions", [exp.Var(this="…")])
    for values in list(tree.find_all(exp.Values)):
        values.set("expressions", values.expressions[:1])
    for node in list(tree.find_all(exp.Placeholder, exp.Literal, exp.HexString)):
        if not isinstance(node.parent, exp.Ordered):  # the number of a column
            node.replace(exp.Var(this="?"))
    for node in list(tree.find_all(exp.In)):
        if node.expressions:
            node.set("expressions", node.expressions[:1])
    if len(list(tree.find_all(exp.Table))) == 1:
        for column in tree.find_all(exp.Column):
            column.set("table", None)
    for identifier in tree.find_all(exp.Identifier):
        identifier.set("quoted", False)
    return str(tree.sql(dialect="mysql"))


def list_named_tables(sql: str, tables: Iterable[str]) -> list[str]:
    """Which of `tables` may occur in a text: spares the parser what cannot matter."""
    return [table for table in tables if table in sql]
