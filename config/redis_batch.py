"""A pipeline over the servers of a Redis Cluster."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

from redis.commands.core import CoreCommands

Command = tuple[tuple[Any, ...], dict[str, Any]]


class Answer(NamedTuple):
    """What came back, or the error in its place; and from which server, where one answered."""

    value: Any
    server: str | None = None


class Batch(CoreCommands):
    """Commands that are kept, and then sent as `BoundedCluster.send` does."""

    _event_dispatcher: Any = None  # the mixin wants one; nothing here publishes

    def __init__(self, send: Callable[[Sequence[Command]], list[Answer]]) -> None:
        self._send = send
        self._commands: list[Command] = []

    def __len__(self) -> int:
        return len(self._commands)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.reset()

    def reset(self) -> None:  # type: ignore[override]
        self._commands = []

    def execute_command(self, *args: Any, **options: Any) -> Self:
        options.pop("target_nodes", None)  # the names say it
        self._commands.append((args, options))
        return self

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """An answer for each command; with `raise_on_error` the first error is raised instead."""
        commands, self._commands = self._commands, []
        values = [answer.value for answer in self._send(commands)]
        if raise_on_error:
            for value in values:
                if isinstance(value, Exception):
                    raise value
        return values
