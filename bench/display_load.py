"""What goes on beside the load of the display bench: unlocks, and a reader with a watch."""

import json
import math
import random
import time
from collections import defaultdict
from http.client import HTTPConnection
from threading import Event, Thread
from typing import Any, Final, Self

from achievements import cache, keys
from bench.display_site import PROFILE, Universe
from deploy.local.process import HOST

PROBES_A_SECOND: Final = 200
PROBERS: Final = 4


def ask(port: int, path: str, user_id: int = 0) -> dict[str, Any]:
    """Return the ETag and the JSON of one answer."""
    http = HTTPConnection(HOST, port, timeout=30)
    try:
        http.request("GET", path.replace("USER", str(user_id)), headers={"Host": "localhost"})
        response = http.getresponse()
        body = response.read()
        assert response.status == 200, body
        return {"etag": response.headers.get("ETag", ""), "json": json.loads(body)}
    finally:
        http.close()


def read_edge_counts(port: int) -> dict[str, int]:
    http = HTTPConnection(HOST, port, timeout=30)
    http.request("GET", "/edge-metrics")
    lines = http.getresponse().read().decode().splitlines()
    http.close()
    return {
        line.split('outcome="')[1].split('"')[0]: int(line.split()[-1])
        for line in lines
        if "outcome=" in line
    }


class _Background:
    def __init__(self, threads: int = 1) -> None:
        self._stopped = Event()
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(threads)]

    def _run(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


class Unlocker(_Background):
    """Drops the profiles of users drawn evenly, as a worker does after their unlocks."""

    def __init__(self, users: Universe, *, users_a_second: float) -> None:
        super().__init__()
        self.users, self.pause_seconds = users, 1 / users_a_second
        self.dropped = 0

    def _run(self) -> None:
        chance = random.Random(5)
        while not self._stopped.wait(self.pause_seconds):
            user = self.users.first + chance.randrange(self.users.count)
            cache.forget([keys.name_achievements(user)])
            self.dropped += 1


class Prober(_Background):
    """Reads profiles at an even pace beside the load and notes how long each took."""

    def __init__(self, port: int, users: Universe) -> None:
        super().__init__(PROBERS)
        self.port, self.users = port, users
        self.found: list[tuple[float, float]] = []  # when it ended, milliseconds

    def _run(self) -> None:
        chance = random.Random(6)
        http = HTTPConnection(HOST, self.port, timeout=30)
        while not self._stopped.wait(PROBERS / PROBES_A_SECOND):
            index = int(math.exp(chance.random() * math.log(self.users.count))) - 1
            path = PROFILE.replace("USER", str(self.users.first + index))
            began = time.monotonic()
            http.request("GET", path, headers={"Host": "localhost", "Accept-Encoding": "gzip"})
            http.getresponse().read()
            ended = time.monotonic()
            self.found.append((ended, (ended - began) * 1000))
        http.close()

    def list_p99(self, *, since: float) -> list[tuple[int, float]]:
        """Return (whole seconds since then, p99 of the reads that ended in that second)."""
        by_second: dict[int, list[float]] = defaultdict(list)
        for ended, milliseconds in self.found:
            if ended >= since:
                by_second[int(ended - since)].append(milliseconds)
        return [
            (second, sorted(found)[int(len(found) * 0.99)])
            for second, found in sorted(by_second.items())
        ]
