"""The events endpoint on Kafka: 500 events a request beside one event a request."""

import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from achievements.models import ServiceKey
from bench.pipeline_users import Users
from deploy.local.process import HOST
from deploy.local.program import Program, SiteProcess

BATCH_EVENTS: Final = 500
SINGLE_CONNECTIONS: Final = 32  # enough to hide Kafka's acknowledgement
BATCH_CONNECTIONS: Final = 4
WEB: Final = Program(
    "web",
    (
        *("-m", "granian", "--interface", "wsgi", "--host", HOST, "--port", "{port}"),
        *("--workers", "1", "--blocking-threads", "32", "--no-ws", "--log-level", "warning"),
        "config.wsgi:application",
    ),
    ready_path="/readyz",
)


class Endpoint:
    """The site's web process, and requests to it."""

    def __init__(self, users: Users) -> None:
        self.users = users
        _, self.key = ServiceKey.objects.create_key(name="bench", scopes=["events:write"])
        self.process = SiteProcess(
            WEB, environment=os.environ, folder=Path(tempfile.mkdtemp(prefix="laurel-bench-"))
        )

    def __enter__(self) -> "Endpoint":
        self.process.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.process.keeps_folder = False
        self.process.remove()

    def measure_single(self, *, seconds: float) -> float:
        return self._measure(1, SINGLE_CONNECTIONS, requests=200, seconds=seconds)

    def measure_batches(self, *, seconds: float) -> float:
        return self._measure(BATCH_EVENTS, BATCH_CONNECTIONS, requests=12, seconds=seconds)

    def _measure(self, size: int, connections: int, *, requests: int, seconds: float) -> float:
        """Return accepted events a second. The same requests go out over and over."""
        bodies = [list(self._make_requests(size, requests)) for _ in range(connections)]
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        # A process of its own: its work must not wait for ours.
        sender = context.Process(
            target=_send_all, args=(self.process.port, bodies, seconds, queue), daemon=True
        )
        sender.start()
        answered = queue.get(timeout=seconds + 60)
        sender.join()
        return float(answered) * size / seconds

    def _make_requests(self, size: int, count: int) -> Iterator[bytes]:
        for _ in range(count):
            events = [event.body for event in self.users.take(size)]
            body = events[0] if size == 1 else b'{"events":[%b]}' % b",".join(events)
            yield (
                b"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\n"
                b"Authorization: Api-Key %b\r\nContent-Length: %d\r\n\r\n%b"
                % (self.key.encode(), len(body), body)
            )


def _send_all(port: int, requests: list[list[bytes]], seconds: float, queue: Any) -> None:
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor(len(requests)) as pool:
        counts = pool.map(lambda own: _send_until(deadline, port, own), requests)
        queue.put(sum(counts))


def _send_until(deadline: float, port: int, requests: list[bytes]) -> int:
    """Send one request after the other; return how many were answered with 202."""
    accepted = number = 0
    with socket.create_connection((HOST, port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.monotonic() < deadline:
            connection.sendall(requests[number % len(requests)])
            number += 1
            status = _read_status(connection)
            if status != 202:
                raise RuntimeError(f"the events endpoint answered {status}")
            accepted += 1
    return accepted


def _read_status(connection: socket.socket) -> int:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _receive(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += _receive(connection)
    return int(head.split(b" ", 2)[1])


def _receive(connection: socket.socket) -> bytes:
    part = connection.recv(65_536)
    if not part:
        raise ConnectionError("the events endpoint closed the connection")
    return part
