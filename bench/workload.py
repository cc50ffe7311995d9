"""What the benches measure with: catalogues of 60 and 500 achievements, typists, their events."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from achievements.advance import advance
from achievements.definition import Definition, Level, find_measures
from achievements.events import Event, Metrics, decode_event, encode_event
from achievements.progress import encode_progress, start_progress
from achievements.rulebook import Rulebook

SHIPPED: Final = Path(__file__).parent.parent / "achievements" / "catalogues" / "typing.yaml"
START: Final = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
TESTS_A_SECOND: Final = 300e6 / 86_400  # of all users together: their ids are one sequence
NOW: Final = datetime(2026, 11, 1, tzinfo=UTC)  # every event is older

LANGUAGES: Final = (
    "english", "german", "french", "spanish", "italian", "portuguese", "dutch", "polish",
    "swedish", "danish", "norwegian", "finnish", "czech", "turkish", "greek", "russian",
    "ukrainian", "hungarian", "romanian", "indonesian",
)  # fmt: skip
# A mode with its length, and how often it is chosen.
KINDS: Final = (
    ("time", 15, 18), ("time", 30, 26), ("time", 60, 22), ("time", 120, 5), ("words", 10, 4),
    ("words", 25, 8), ("words", 50, 7), ("words", 100, 3), ("quote", None, 5), ("zen", None, 1),
    ("custom", None, 1),
)  # fmt: skip


def make_shipped(count: int | None = None) -> list[Definition]:
    """Return the shipped catalogue, or `count` of it, spread evenly and without dangling names."""
    entries = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["achievements"]
    definitions = [_define(number, entry) for number, entry in enumerate(entries, start=1)]
    if count is None:
        return definitions
    free = [d for d in definitions if "unlocked" not in str(d.criteria)]
    return [free[index * len(free) // count] for index in range(count)]


def _define(number: int, entry: dict[str, Any]) -> Definition:
    levels = entry.get("levels") or [{"target": None, "points": entry["points"]}]
    return Definition(
        achievement_id=number,
        slug=entry["slug"],
        criteria=entry["criteria"],
        levels=tuple(Level(level.get("target"), level["points"]) for level in levels),
    )


def make_large(count: int = 500) -> list[Definition]:
    """Return the shipped catalogue and what a site adds to it: tiers, languages, modes, lengths."""
    definitions = make_shipped()
    for slug, criteria in _list_more():
        if len(definitions) == count:
            break
        number = len(definitions) + 1
        definitions.append(Definition(number, slug, criteria, (Level(None, 10),)))
    assert len(definitions) == count
    return definitions


def _list_more() -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, where, target in _list_tiers():
        name = "-".join(f"{metric}-{next(iter(c.values()))}" for metric, c in where.items())
        slug = "-".join(map(str, (*kind.values(), name, target))).lower()
        yield slug, {**kind, **({"where": where} if where else {}), "atLeast": target}


def _list_tiers() -> Iterator[tuple[dict[str, Any], dict[str, Any], float]]:
    """Every tier is an achievement of its own, as the tempo markings of the shipped ones are."""
    count, best = {"count": "tests"}, {"best": "wpm"}
    precise, clean = {"accuracy": {"gte": 90}}, {"accuracy": {"gte": 98}}
    for language in LANGUAGES:
        of_language = {"language": {"eq": language}}
        for target in (25, 100, 500, 2_000):
            yield count, of_language, target
        for target in (40, 60, 80, 100):
            yield best, {**of_language, **precise}, target
    for mode, length, _ in KINDS:
        of_kind: dict[str, Any] = {"mode": {"eq": mode}}
        if length is not None:
            of_kind["length"] = {"eq": length}
        for target in (50, 250, 1_000, 5_000, 20_000):
            yield count, of_kind, target
        for target in (10, 100, 1_000, 10_000):
            yield count, {**of_kind, **clean}, target
        for target in (30, 45, 65, 85, 105, 125, 145, 165):
            yield best, {**of_kind, **precise}, target
    for target in range(10, 210, 15):
        yield {"sum": "durationSeconds"}, {}, target * 3_600
        yield {"streak": "days"}, {}, target + 1
    for accuracy, target in product((95, 98, 99), range(35, 155, 10)):
        yield best, {"accuracy": {"gte": accuracy}}, target
    for target in range(30, 150, 10):
        yield {"average": "wpm", "last": 25}, {}, target


def compile_rulebook(definitions: list[Definition]) -> Rulebook:
    positions = {key: position for position, key in enumerate(find_measures(definitions))}
    return Rulebook(version=1, definitions=definitions, positions=positions)


@dataclass
class Typist:
    """One user: a pace, a precision, two languages, and where they are in their history."""

    user_id: int
    random: Random
    at: datetime = START
    last_test_id: int = 0

    def __post_init__(self) -> None:
        self.pace = min(130.0, max(18.0, self.random.gauss(55, 20)))
        self.precision = self.random.uniform(91, 98.5)
        self.languages = (self.random.choice(LANGUAGES[:6]), self.random.choice(LANGUAGES))
        self.utc_offset_minutes = self.random.choice((-300, 0, 60, 120, 540))

    def finish_test(self) -> Event:
        """Return the next test, a little later than the one before: mostly in the same sitting."""
        random = self.random
        is_rested = random.random() < 0.12
        pause_seconds = random.uniform(4, 70) * 3_600 if is_rested else random.uniform(15, 120)
        self.at += timedelta(seconds=round(pause_seconds, 3))
        self.last_test_id += max(1, round(pause_seconds * TESTS_A_SECOND))
        self.pace = min(160.0, self.pace * 1.0004)
        mode, length, _ = random.choices(KINDS, [weight for *_, weight in KINDS])[0]
        wpm = round(min(250.0, max(8.0, random.gauss(self.pace, 7))), 2)
        seconds = length if mode == "time" else 12.0 * (length or 40) / wpm * 5
        accuracy = round(min(100.0, random.gauss(self.precision, 2.2)), 2)
        return Event(
            user_id=self.user_id,
            test_result_id=self.last_test_id,
            event_type="test_completed",
            metrics=Metrics(
                wpm=wpm,
                raw_wpm=round(wpm * random.uniform(1, 1.08), 2),
                accuracy=accuracy,
                consistency=round(min(100.0, max(20.0, random.gauss(76, 8))), 2),
                duration_seconds=round(float(seconds or 30), 2),
                characters=int(wpm * 5 * (seconds or 30) / 60),
                length=length,
                mode=mode,
                language=self.languages[random.random() < 0.15],
            ),
            occurred_at=self.at,
            utc_offset_minutes=self.utc_offset_minutes,
        )


def make_row(rulebook: Rulebook, typist: Typist, tests: int) -> bytes:
    """Let a typist finish tests, one event at a time, and return the packed row."""
    row = start_progress(rulebook)
    for _ in range(tests):
        event = decode_event(encode_event(typist.finish_test()), now=NOW)
        step = advance(rulebook, row, [event])
        assert step is not None
        row = step.progress
    return encode_progress(row)
