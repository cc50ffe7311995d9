"""The primary hands over to a replica while a real web process and a consumer have work.

What is open stays connected to the old server, which goes on answering, read-only and ever older.
"""

import http.client
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any

import msgspec
import pytest
from django.db import connections

from achievements.events import Event
from achievements.outbox import drain_outbox
from deploy.local.process import HOST
from deploy.local.program import PROGRAMS, SiteProcess
from tests.api import create_key
from tests.factories import make_achievement, make_broad_catalogue, make_event, new_user, publish
from tests.faults.fleet import wait_until
from tests.invariants import check_invariants
from tests.replication import Replicated

pytestmark = [pytest.mark.real]

WEB = next(program for program in PROGRAMS if program.name == "web")
USERS = 12


@pytest.fixture
def web(replicated: Replicated, tmp_path: Path) -> Iterator[SiteProcess]:
    make_broad_catalogue()
    make_achievement("counter", {"count": "tests"}, *range(1, 100))
    publish()
    replicated.wait_for_replicas()
    folder = tmp_path / "web"
    environment = {
        **os.environ,  # with this test's DATABASE_URL and REPLICA_URLS
        "DATABASE_TIMEOUT_SECONDS": "3",
        "THROTTLE_PUBLIC": "off",
        "LOG_FORMAT": "json",
    }
    with SiteProcess(WEB, environment=environment, folder=folder) as process:
        yield process


class Site:
    """A client of the web process; one connection a thread."""

    def __init__(self, port: int, key: str) -> None:
        self.connection = http.client.HTTPConnection(HOST, port, timeout=20)
        self.headers = {"Authorization": f"Api-Key {key}", "Content-Type": "application/json"}

    def post(self, events: list[Event]) -> tuple[int, str | None]:
        body = json.dumps({"events": [msgspec.to_builtins(event) for event in events]})
        self.connection.request("POST", "/api/v1/events", body, self.headers)
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status == 202:
            assert answer == {"accepted": len(events), "rejected": []}
        return response.status, response.headers.get("Retry-After")

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        self.connection.request("GET", path)
        response = self.connection.getresponse()
        return response.status, json.loads(response.read())

    def count_tests(self, user_id: int) -> int:
        """The level of an achievement that counts tests, as the profile shows it."""
        status, profile = self.get(f"/api/v1/users/{user_id}/achievements")
        assert status == 200, profile
        levels = {one["slug"]: one["level"] for one in profile["achievements"]}
        return int(levels.get("counter", 0))


class Load:
    """Hands events in one by one and again until they are accepted; reads profiles meanwhile."""

    def __init__(self, port: int, key: str, users: list[int]) -> None:
        self.port, self.key, self.users = port, key, users
        self.accepted: list[Event] = []
        self.refusals: list[str | None] = []
        self.reads = 0
        self.errors: list[BaseException] = []
        self.is_over = Flag()
        self._lock = Lock()
        self._threads = [
            Thread(target=self._guard, args=(work, part))
            for work, part in (
                (self._write, users[::2]),
                (self._write, users[1::2]),
                (self._read, users),
            )
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        for thread in self._threads:
            thread.join(30)
        assert not self.errors, self.errors

    def wait_for_more(self, count: int) -> None:
        wanted = len(self.accepted) + count
        wait_until(
            lambda: len(self.accepted) >= wanted or self.errors,
            say=lambda: (len(self.accepted), self.refusals[-3:]),
        )

    def _guard(self, work: Callable[[Site, list[int]], None], users: list[int]) -> None:
        try:
            work(Site(self.port, self.key), users)
        except BaseException as error:
            self.errors.append(error)

    def _write(self, site: Site, users: list[int]) -> None:
        for test in range(1, 60):
            for user in users:
                event = make_event(user, test, wpm=50.0 + test, accuracy=90.0 + test % 10)
                while (answer := site.post([event]))[0] != 202:
                    assert answer[0] == 503
                    self.refusals.append(answer[1])
                    if self.is_over.wait(0.2):
                        return
                with self._lock:
                    self.accepted.append(event)
                if self.is_over.wait(0.02):
                    return

    def _read(self, site: Site, users: list[int]) -> None:
        while True:
            for user in users:
                site.count_tests(user)
                self.reads += 1
                if self.is_over.wait(0.02):
                    return


def test_a_planned_hand_over_loses_and_doubles_nothing(
    replicated: Replicated, web: SiteProcess, client
) -> None:
    key = create_key("events:write")
    users = [new_user() for _ in range(USERS)]
    with Load(web.port, key, users) as load:
        load.wait_for_more(30)
        old = replicated.primary
        old.run("SET GLOBAL read_only = 1")
        wait_until(lambda: len(load.refusals) >= 3, say=lambda: web.read_log_end())
        before = load.reads
        wait_until(lambda: load.reads > before + USERS or load.errors)
        replicated.hand_over()
        load.wait_for_more(60)
        # From here on only the new primary knows what is written.
        for replica in replicated.replicas:
            replica.run("STOP SLAVE SQL_THREAD")
        load.wait_for_more(30)
    assert all(load.refusals), "503 without Retry-After"
    site = Site(web.port, key)
    events = list(load.accepted)
    user = new_user()
    for test in range(1, 41):  # more often than there are threads to serve it
        event = make_event(user, test)
        assert site.post([event])[0] == 202
        assert site.count_tests(user) == test
        events.append(event)
    print(f"{len(events)} events, {len(load.refusals)} refused, {load.reads} reads meanwhile")
    connections["default"].close()
    drain_outbox()  # what was accepted in the last moment before a refusal
    check_invariants(events, client=client)


def test_when_the_primary_dies_reads_go_on_and_writes_resume_on_its_successor(
    replicated: Replicated, web: SiteProcess, client
) -> None:
    """With semi-synchronous replication, so that what was accepted is on a replica."""
    replicated.acknowledge()
    key = create_key("events:write")
    users = [new_user() for _ in range(USERS)]
    with Load(web.port, key, users) as load:
        load.wait_for_more(30)
        replicated.primary.kill()
        wait_until(lambda: len(load.refusals) >= 3, say=lambda: web.read_log_end())
        before = load.reads
        wait_until(lambda: load.reads > before + 2 * USERS or load.errors)
        status, state = Site(web.port, key).get("/readyz")
        assert (status, state["checks"]["database"]) == (200, "unreachable")
        replicated.take_over()
        load.wait_for_more(60)
    print(
        f"{len(load.accepted)} events, {len(load.refusals)} refused, {load.reads} reads meanwhile"
    )
    connections["default"].close()
    wait_until(lambda: Site(web.port, key).get("/readyz")[1]["checks"]["database"] == "ok")
    drain_outbox()
    check_invariants(load.accepted, client=client)
