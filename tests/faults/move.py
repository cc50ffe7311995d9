"""A former site that moves to ours: its rows, the mapping, and what users hold afterwards."""

import random
from pathlib import Path
from typing import Any

from achievements.events import Event
from achievements.models import Job, Notification, UserAchievement
from tests.achievements import oracle
from tests.factories import make_achievement, publish, read_definitions
from tests.faults.hammer import FIRST_USER, start_process
from tests.invariants import check_tallies, read_levels, read_row
from tests.legacy import (
    LegacySite,
    Row,
    day,
    expect_levels,
    write_mapping,
)

USERS = 40


class Move:
    """A former site with rows, our definitions, and the mapping between them."""

    def __init__(self, site: LegacySite, folder: Path) -> None:
        self.site, self.folder = site, folder
        first = make_achievement("first", {"count": "tests", "atLeast": 1}).pk
        many = make_achievement("many", {"count": "tests"}, 3, 10, 20).pk
        fast = make_achievement("fast", {"best": "wpm"}, 60, 90, 120).pk
        make_achievement("both", {"all": [{"unlocked": "many"}, {"unlocked": "fast"}]})
        old = make_achievement("old", {"count": "tests", "atLeast": 1_000_000}).pk
        publish()
        self.levels = {1: (first, 1), 2: (many, 1), 3: (many, 2), 4: (fast, 3), 5: (old, 1)}
        self.mapping = write_mapping(
            folder,
            {1: "first", 2: "many", 3: {"slug": "many", "level": 2},
             4: {"slug": "fast", "level": 3}, 5: "old"},
        )  # fmt: skip
        self.report = folder / "report.jsonl"
        site.add_achievements({n: f"Old {n}" for n in range(1, 7)})

    @property
    def arguments(self) -> tuple[Any, ...]:
        return ("import_legacy", "--mapping", self.mapping, "--report", self.report)

    def start(self, *arguments: Any, **environment: str) -> Any:
        return start_process(
            *self.arguments, *arguments, module="manage", LEGACY_DATABASE_URL=self.site.url,
            **environment,
        )  # fmt: skip

    def run(self, *arguments: Any) -> str:
        process = self.start(*arguments)
        output = process.communicate(timeout=120)[0]
        assert process.returncode == 0, output
        return str(output)

    def check(self, rows: list[Row], events: list[Event]) -> None:
        """Users hold what they had there and what they earned here, once, and are told once."""
        definitions = read_definitions()
        by_user: dict[int, list[Event]] = {}
        for event in events:
            by_user.setdefault(event.user_id, []).append(event)
        imported = expect_levels(rows, self.levels)
        for user_id in by_user.keys() | imported.keys():
            tops: dict[int, int] = {}
            for achievement_id, level in imported.get(user_id, {}):
                tops[achievement_id] = max(level, tops.get(achievement_id, 0))
            past = oracle.remember(by_user.get(user_id, []))
            expected = oracle.find_unlocked(definitions, past, held=tops)
            row = read_row(user_id)
            assert read_levels(user_id) == row.unlocked == expected, user_id
            assert row.points == oracle.count_points(definitions, expected)
            for held, at in imported.get(user_id, {}).items():
                found = UserAchievement.objects.get(
                    user_id=user_id, achievement_id=held[0], level=held[1]
                )
                assert (found.unlocked_at, found.rulebook_version) == (at, 0), (user_id, held)
            notes = list(Notification.objects.filter(user_id=user_id).order_by("sequence"))
            assert [note.sequence for note in notes] == list(range(1, len(notes) + 1))
            levels = [(note.achievement_id, note.level) for note in notes]
            assert len(set(levels)) == len(levels) == row.notified
        check_tallies()


def make_rows(users: int = USERS, *, each: int = 8, seed: int = 1) -> list[Row]:
    """Unlocks of years ago, in no order of users, some of them twice."""
    chance = random.Random(seed)
    return [
        (FIRST_USER + chance.randrange(users), chance.randint(1, 5), day(n % 400))
        for n in range(users * each)
    ]


def read_cursor() -> int:
    return Job.objects.values_list("cursor", flat=True).first() or 0
