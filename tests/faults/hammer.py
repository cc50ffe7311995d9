"""A process that a test starts beside its own: applies batches of events to the test's database.

Usage: python -m tests.faults.hammer SEED USERS BATCHES SIZE (the events are those of
`make_stream`), with `endless` behind it (the same again and again, until its input is closed), or
SEED USERS TESTS saving (those of `make_lives`, saved as results first).
"""

import itertools
import os
import random
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
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


def make_lives(seed: int, pool: Sequence[Event]) -> Iterator[tuple[list[Event], list[Event]]]:
    """Yield what this process saves, and the events of it: late, doubled, and some taken back.

    Each process saves its own half of every user's tests, and takes back only its own.
    """
    from tests.factories import invalidate

    chance = random.Random(seed)
    own = [e for e in pool if (e.user_id + e.test_result_id) % 2 == seed % 2]
    chance.shuffle(own)
    before: list[Event] = []
    for start in range(0, len(own), 15):
        saved = own[start : start + 15]
        again = chance.sample(before, min(5, len(before)))
        undone = [invalidate(e.user_id, e.test_result_id) for e in before[-60::20]]
        before += saved
        yield saved, [*saved, *again, *undone]


def save_tests(saved: Sequence[Event], batch: Sequence[Event]) -> None:
    from profiles.models import TestResult
    from tests.factories import NOON, store_history

    store_history(saved)
    for event in batch:
        if event.event_type == "test_invalidated":
            TestResult.objects.filter(user_id=event.user_id, id=event.test_result_id).update(
                invalidated_at=NOON
            )


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

    seed, users, number = map(int, sys.argv[1:4])
    batches = 0
    if sys.argv[4] == "saving":
        for saved, batch in make_lives(seed, make_pool(users, number)):
            save_tests(saved, batch)
            process_events(batch)
    else:
        stream = make_stream(seed, make_pool(users), number, int(sys.argv[4]))
        is_endless = sys.argv[5:] == ["endless"]
        for batch in itertools.chain(stream, itertools.cycle(stream) if is_endless else ()):
            process_events(batch)
            batches += 1
            if is_endless and batches >= len(stream) and select.select([sys.stdin], [], [], 0)[0]:
                break
    print("batches", batches, "retries", int(metrics.RETRIES._value.get()))


if __name__ == "__main__":
    main()
