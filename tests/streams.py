"""A client of the stream, and the ASGI server that holds its end; imported by real tests alone."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from queue import Empty, Queue
from typing import Any, NamedTuple, Self

import pytest

from deploy.local.process import HOST
from deploy.local.program import PROGRAMS, SiteProcess
from profiles.tokens import issue_token


class Event(NamedTuple):
    name: str
    data: Any
    id: str | None
    at: float  # time.monotonic() when it was there


class StreamClient:
    """Reads in a thread; remembers the last id as browsers do."""

    def __init__(
        self, port: int, user_id: int, *, token: str = "", last_event_id: str | None = None
    ) -> None:
        self.last_event_id = last_event_id
        self.has_ended = threading.Event()
        self.comments = 0
        self.received: list[Event] = []
        self._events: Queue[Event] = Queue()
        headers = {"Authorization": f"Bearer {token or issue_token(user_id=user_id)}"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        self.connection = HTTPConnection(HOST, port, timeout=60)
        self.connection.request("GET", f"/api/v1/users/{user_id}/stream", headers=headers)
        self.response = self.connection.getresponse()
        self.status, self.headers = self.response.status, self.response.headers
        if self.status == 200:
            self.thread = threading.Thread(target=self._read, daemon=True)
            self.thread.start()

    def read_problem(self) -> Any:
        try:
            return json.loads(self.response.read())
        finally:
            self.connection.close()

    def wait(self, name: str, *, seconds: float = 45) -> Event:
        """Return the next event of this name; others before it are passed over.

        A message that is lost is made up for within 30 s (`LOOK_SECONDS` of the hub).
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"No {name}, only {self.received}") from None
            if event.name == name:
                return event

    def wait_for_unlocks(self, count: int, *, seconds: float = 45) -> list[int]:
        """Return the sequences of all unlocks so far, once there are so many."""
        deadline = time.monotonic() + seconds
        while len(self.unlocks) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.unlocks

    @property
    def unlocks(self) -> list[int]:
        return [event.data["sequence"] for event in self.received if event.name == "unlock"]

    def drop(self) -> None:
        """Be gone, as a client is that lost its network."""
        sock: Any = self.connection.sock or self.response.fp.raw._sock  # type: ignore[attr-defined]
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        self.has_ended.wait(5)
        self.response.close()
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.drop()

    def _read(self) -> None:
        name, number, data = "message", None, ""
        with suppress(OSError, HTTPException, ValueError, AttributeError):
            while line := self.response.readline():
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "id":
                    number = value
                elif field == "data":
                    data = value
                elif field == "" and value:
                    pass
                elif line == b": \n":
                    self.comments += 1
                elif line == b"\n" and data:
                    event = Event(name, json.loads(data), number, time.monotonic())
                    self.last_event_id = number or self.last_event_id
                    self.received.append(event)
                    self._events.put(event)
                    name, number, data = "message", None, ""
        self.has_ended.set()


StartStream = Callable[..., SiteProcess]


@pytest.fixture
def start_stream(transactional_db: None, tmp_path: Path) -> Iterator[StartStream]:
    """Starts the ASGI server on this test's own database; with variables of the environment."""
    import os

    from django.db import connection

    (program,) = (program for program in PROGRAMS if program.name == "stream")
    with ExitStack() as stack:

        def start(**variables: str) -> SiteProcess:
            url, _, _ = os.environ["DATABASE_URL"].rpartition("/")
            environment = {
                **os.environ,
                "DATABASE_URL": f"{url}/{connection.settings_dict['NAME']}",
                "THROTTLE_PRIVATE": "off",
                **variables,
            }
            process = SiteProcess(program, environment=environment, folder=tmp_path / "stream")
            return stack.enter_context(process)

        yield start
