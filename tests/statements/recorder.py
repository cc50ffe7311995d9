"""Writes down every shape of statement that the project sends, once, with one set of parameters.

A statement counts as the project's when the innermost frame of ours on the stack is not in
tests/. Each process has a file of its own, written at once: a process that is killed has told.
"""

import os
import pickle
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from django.conf import settings
from django.db.backends.signals import connection_created

FOLDER_VARIABLE = "STATEMENTS_FOLDER"
OURS = {"achievements", "profiles", "config", "celery_app"}
TESTS = {"tests", "bench"}
# They send what others have put together: a statement is the next module's.
CARRIERS = {"achievements.statements", "achievements.shadow:execute"}
MOST_FRAMES = 8
MOST_TEXTS = 50_000
LONGEST_TEXT = 4_000
_MARKS = re.compile(r"%s(?:, ?%s)+")
_ROWS_END = re.compile(r"\)\s*,\s*\(")


class Statement(NamedTuple):
    """`trace` are the frames of the project, innermost first; `test` is who made it run."""

    sql: str
    parameters: tuple[Any, ...] | None
    alias: str
    sharding: str
    trace: tuple[str, ...]
    test: str

    @property
    def origin(self) -> str:
        return " < ".join(self.trace[:3])

    @property
    def sender(self) -> str:
        """The module that put the statement together."""
        return find_sender(self.trace)


class Recorder:
    """One process's notes; a wrapper for the statements of Django's connections."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Spares a text that the same module sends again the rest.
        self.texts: set[tuple[tuple[str, str], str, str]] = set()
        self.shapes: set[tuple[tuple[str, str], str, str]] = set()
        self.file = -1
        self.pid = 0

    def __call__(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        place = context["connection"].alias, settings.DATABASE_SHARDING
        sender = find_sender(trace_project(sys._getframe(1)))
        # Without one it is the test's own, or Django's.
        if sender and (place, sql, sender) not in self.texts:
            self._note(str(sql), params, many, place, sender)
        return execute(sql, params, many, context)

    def watch(self, *, connection: Any, **kwargs: Any) -> None:
        """A receiver of connection_created; a connection that comes back has us already."""
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, self)

    def _note(self, sql: str, params: Any, many: bool, place: tuple[str, str], sender: str) -> None:
        shape = place, shorten(sql), sender
        if shape not in self.shapes:
            self._write(
                Statement(
                    cut_rows(sql),
                    _choose_parameters(params, many),
                    *place,
                    tuple(trace_project(sys._getframe(2))),
                    # Set by pytest for the test that runs; processes that it starts inherit it.
                    os.environ.get("PYTEST_CURRENT_TEST", "outside of tests"),
                )
            )
            self.shapes.add(shape)
        if len(sql) < LONGEST_TEXT and len(self.texts) < MOST_TEXTS:
            self.texts.add((place, sql, sender))

    def _write(self, statement: Statement) -> None:
        if self.pid != os.getpid():  # a child that was forked has a file of its own
            name = self.folder / f"{os.getpid()}.statements"
            self.file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            self.pid = os.getpid()  # last: another thread takes it for the file's
        os.write(self.file, b64encode(pickle.dumps(tuple(statement))) + b"\n")


def start_recording() -> None:
    """Record in this process, when the environment names a folder for it."""
    if folder := os.environ.get(FOLDER_VARIABLE):
        connection_created.connect(Recorder(Path(folder)).watch, weak=False)


def read_statements(folder: Path) -> list[Statement]:
    """Return what all processes wrote; one that was killed may have left half a line."""
    found: dict[tuple[str, ...], Statement] = {}
    for file in sorted(folder.glob("*.statements"), key=lambda f: f.stat().st_mtime):
        for line in file.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                statement = Statement(*pickle.loads(b64decode(line)))
                place = statement.alias, statement.sharding, statement.sender
                found.setdefault((*place, shorten(statement.sql)), statement)
    return list(found.values())


def shorten(sql: str) -> str:
    """Return what statements share that differ in how many values or rows they hold alone."""
    head, values, rest = sql.partition(" VALUES ")
    if values and head.startswith(("INSERT", "REPLACE")):
        return (
            f"{head} {rest[rest.rfind(' ON DUPLICATE ') :]}" if " ON DUPLICATE " in rest else head
        )
    return _MARKS.sub("%s", sql)


def cut_rows(sql: str) -> str:
    """Keep one row of an INSERT whose values stand in the text: they may be megabytes."""
    head, values, rest = sql.partition(" VALUES ")
    if len(sql) < LONGEST_TEXT or not values or "%s" in rest:
        return sql
    end = _ROWS_END.search(rest)
    at = rest.rfind(" ON DUPLICATE ")
    return f"{head}{values}{rest[: end.start() + 1] if end else rest}{rest[at:] if at > 0 else ''}"


def trace_project(frame: FrameType | None) -> Iterator[str]:
    """Yield the project's functions on the stack, innermost first; none where a test is inner."""
    count = 0
    while frame is not None and count < MOST_FRAMES:
        spec = frame.f_globals.get("__spec__")
        module = str(getattr(spec, "name", None) or frame.f_globals.get("__name__"))
        top = module.partition(".")[0]
        if top in OURS:
            count += 1
            yield f"{module}:{frame.f_code.co_qualname}"
        elif top in TESTS and not count and module != __name__:
            return
        frame = frame.f_back


def find_sender(trace: Iterable[str]) -> str:
    """Return the module of the innermost function that is no carrier; "" where there is none."""
    for function in trace:
        module = function.partition(":")[0]
        if not {module, function} & CARRIERS:
            return module
    return ""


def _choose_parameters(params: Any, many: bool) -> tuple[Any, ...] | None:
    if many:
        params = params[0] if params else None
    if isinstance(params, dict):
        raise TypeError("name parameters by position: the judge reads them so")
    return None if params is None else tuple(params)
