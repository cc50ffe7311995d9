"""What a user loses when tests are taken back (pure floor)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from achievements.events import Event
from achievements.progress import Base, Progress, derive, judge_rules
from achievements.rulebook import Rulebook

Origins = Mapping[tuple[int, int], Rulebook]  # (achievement id, level) -> what unlocked it


class Replay(NamedTuple):
    """What a replay under another rulebook starts from."""

    tests: Sequence[Event]
    invalid: set[int]
    base: Base | None


def find_revoked(
    rulebook: Rulebook,
    before: Mapping[int, int],
    found: Progress,
    origins: Origins,
    replay: Replay,
) -> list[tuple[int, int]]:
    """Levels held that no rule finds earned: neither today's, nor the one that unlocked them.

    A level that stands holds up those below it, and the collections that ask for it.
    """
    earned = found.unlocked
    replays = {rulebook.version: found}
    stands = {
        achievement_id: max(
            min(held, earned.get(achievement_id, 0)),
            *(0, *(n for n in range(1, held + 1) if (achievement_id, n) not in origins)),
        )
        for achievement_id, held in before.items()
    }
    has_risen = True
    while has_risen:
        has_risen = False
        for (achievement_id, level), origin in origins.items():
            if not stands.get(achievement_id, level) < level <= before[achievement_id]:
                continue
            for book in (rulebook, origin):
                if book.version not in replays:
                    past = derive(
                        book,
                        replay.tests,
                        without=replay.invalid,
                        reported=found.reported,
                        base=replay.base,
                    )
                    replays[book.version] = past.progress
                if _earn(book, replays[book.version], stands).get(achievement_id, 0) >= level:
                    stands[achievement_id] = level
                    has_risen = True
                    break
    return [
        (achievement_id, level)
        for achievement_id, held in before.items()
        for level in range(stands[achievement_id] + 1, held + 1)
    ]


def _earn(rulebook: Rulebook, replay: Progress, stands: Mapping[int, int]) -> Mapping[int, int]:
    """Return what a replay earns where `stands` is held as well."""
    unlocked = replay.unlocked
    for achievement_id, level in stands.items():
        unlocked[achievement_id] = max(level, unlocked.get(achievement_id, 0))
    replay.set_unlocked(unlocked, replay.points)
    judge_rules(rulebook, replay, rulebook.rules, None)
    return replay.unlocked
