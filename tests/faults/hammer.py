"""A process that a test starts beside its own: applies batches of events to the test's database.

Usage: python -m tests.faults.hammer SEED USERS BATCHES SIZE; the events are those of `make_stream`.
"""

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from achievements.events import Event

ROOT = Path(__file__).resolve().parents[2]
FIRST_USER = 5_000_001


def make_pool(users: int, tests: int = 40) -> list[Event]:
    """Return every event that there is; all processes draw from the same ones."""
    from tests.factories import make_event

    return [
        make_event(
            FIRST_USER + user, test, wpm=50.0 + (user * 7 + test * 3) % 60,
            accuracy=92.0 + (user + test * 5) % 9, durationSeconds=15.0 + test,
            language=("english", "german", "french")[(user + test) % 3],
        )
        for user in range(users)
        for test in range(1, tests + 1)
    ]  # fmt: skip


def make_stream(seed: int, pool: Sequence[Event], batches: int, size: int) -> list[list[Event]]:
    """Return one process's batches: all of the pool in its own order, some events again."""
    chance = random.Random(seed)
    events = [*pool, *chance.choices(pool, k=max(0, batches * size - len(pool)))]
    chance.shuffle(events)
    return [events[start : start + size] for start in range(0, len(events), size)]


def start_process(*arguments: object, module: str = "tests.faults.hammer", **environment: str):
    """Start a module of the tests on this test's database."""
    from django.db import connection

    url, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": f"{url}/{connection.settings_dict['NAME']}",
            **environment,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main() -> None:
    import django

    django.setup()
    from achievements import metrics
    from achievements.engine import process_events

    seed, users, batches, size = map(int, sys.argv[1:])
    for batch in make_stream(seed, make_pool(users), batches, size):
        process_events(batch)
    print("retries", int(metrics.RETRIES._value.get()))


if __name__ == "__main__":
    main()
