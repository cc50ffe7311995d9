"""Questions to a Redis server in its own protocol, without a library."""

import socket
from collections.abc import Sequence
from io import BufferedIOBase

from deploy.local.process import HOST

Reply = str | int | list["Reply"] | None


class ReplyError(RuntimeError):
    """The server refused the command; the message holds its own words."""


def ask(port: int, *words: object, timeout_seconds: float = 5) -> Reply:
    """Raises OSError while the server is away, ReplyError when it refuses."""
    return ask_in_turn(port, words, timeout_seconds=timeout_seconds)[0]


def ask_in_turn(port: int, *commands: Sequence[object], timeout_seconds: float = 5) -> list[Reply]:
    """Several commands over one connection."""
    with socket.create_connection((HOST, port), timeout=timeout_seconds) as connection:
        connection.sendall(b"".join(map(_encode, commands)))
        with connection.makefile("rb") as answer:
            return [_read(answer) for _ in commands]


def ask_text(port: int, *words: object) -> str:
    return str(ask(port, *words))


def ask_info(port: int, *words: object) -> dict[str, str]:
    """The answer to INFO and CLUSTER INFO: one `name:value` a line."""
    lines = ask_text(port, *words).splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines)}


def _encode(words: Sequence[object]) -> bytes:
    parts = [str(word).encode() for word in words]
    lines = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n" % len(parts) + lines


def _read(answer: BufferedIOBase) -> Reply:
    line = answer.readline().rstrip(b"\r\n")
    if not line:
        raise ConnectionError("The server closed the connection.")
    kind, rest = line[:1], line[1:].decode()
    if kind == b"+":
        return rest
    if kind == b"-":
        raise ReplyError(rest)
    number = int(rest)
    if kind == b":":
        return number
    if number < 0:
        return None
    if kind == b"*":
        return [_read(answer) for _ in range(number)]
    return answer.read(number + 2)[:-2].decode(errors="replace")
