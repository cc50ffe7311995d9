"""Demo typists with a plausible past (services floor), for development only."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from django.db import transaction

from achievements.rebuild import rebuild_user
from profiles.models import Profile, TestResult

SEED: Final = 20_261_123
DAYS: Final = 120


class Typist(NamedTuple):
    """How a demo user types: speed at the end, how often, and how carefully."""

    user_id: int
    name: str
    wpm: float
    tests_a_day: float
    accuracy: float
    language: str = "english"
    utc_offset_minutes: int = 0


TYPISTS: Final = (
    Typist(1, "Daphne", 92, 3.0, 96.5),
    Typist(2, "Quill", 134, 5.0, 98.2),
    Typist(3, "Newcomer Nia", 38, 0.1, 91.0),
    Typist(4, "Marathon Max", 71, 8.0, 94.0, "german", 60),
    Typist(5, "Steady Stella", 64, 2.0, 99.4),
    Typist(6, "Léa", 88, 2.5, 96.0, "french", 60),
    Typist(7, "Paco", 79, 1.5, 95.0, "spanish", -300),
    *(
        Typist(number, f"Typist {number}", 35 + 4.5 * (number - 8), 0.4, 90 + number % 9)
        for number in range(8, 25)
    ),
)


def seed_typists() -> Iterator[tuple[Typist, int, int]]:
    """Create each typist that does not exist; yields it with its numbers of tests and unlocks."""
    known = set(
        Profile.objects.filter(user_id__in=[t.user_id for t in TYPISTS]).values_list(
            "user_id", flat=True
        )
    )
    for typist in TYPISTS:
        if typist.user_id in known:
            continue
        tests = list(_make_tests(typist))
        # At once, so that a seeding that was stopped starts this typist again.
        with transaction.atomic():
            TestResult.objects.bulk_create(tests, batch_size=500)
            Profile.objects.create(user_id=typist.user_id, display_name=typist.name)
            unlocks = rebuild_user(typist.user_id).unlocks
        yield typist, len(tests), unlocks


def _make_tests(typist: Typist) -> Iterator[TestResult]:
    chance = random.Random(SEED + typist.user_id)
    now = datetime.now(UTC)
    for day in range(DAYS, 0, -1):
        practice = 1 - 0.25 * day / DAYS
        for index in range(int(typist.tests_a_day + chance.random())):
            yield _make_test(typist, chance, now - timedelta(days=day), index, practice)


def _make_test(
    typist: Typist, chance: random.Random, day: datetime, index: int, practice: float
) -> TestResult:
    at = day.replace(hour=9, minute=0) + timedelta(minutes=7 * index, seconds=chance.randrange(300))
    wpm = max(10.0, chance.gauss(typist.wpm * practice, 6))
    accuracy = min(100.0, max(75.0, chance.gauss(typist.accuracy, 1.8)))
    mode, length = chance.choice(
        [("time", 15), ("time", 30), ("time", 60), ("words", 25), ("words", 50)]
    )
    seconds = float(length) if mode == "time" else round(length * 60 / wpm, 2)
    milliseconds = int(at.timestamp() * 1000) - 1_577_836_800_000
    return TestResult(
        user_id=typist.user_id,
        id=milliseconds << 11 | index,
        wpm=round(wpm, 2),
        raw_wpm=round(wpm * 1.04, 2),
        accuracy=round(accuracy, 2),
        consistency=round(min(100.0, chance.gauss(78, 6)), 2),
        duration_seconds=seconds,
        characters=int(wpm * 5 * seconds / 60),
        mode=mode,
        length=length,
        language=typist.language if chance.random() < 0.8 else "english",
        completed_at=at,
        utc_offset_minutes=typist.utc_offset_minutes,
    )
