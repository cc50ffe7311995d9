"""Timing in alternation: A B A B ..., so that a noisy moment of the machine meets both."""

import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rates:
    """What one contender did a second, round by round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


@dataclass(frozen=True, slots=True)
class Ratio:
    """One contender over another: the median of the rounds' own ratios, the lowest, the highest."""

    median: float
    lowest: float
    highest: float


def compare(ours: Rates, theirs: Rates) -> Ratio:
    pairs = [a / b for a, b in zip(ours.rounds, theirs.rounds, strict=True)]
    return Ratio(statistics.median(pairs), min(pairs), max(pairs))


def alternate(
    contenders: Mapping[str, Callable[[], float]], *, rounds: int, title: str
) -> dict[str, Rates]:
    """Run every contender once a round; each returns its rate in units a second."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        if rounds < 10 or number % 10 == 1:
            say(f"{title}: round {number} of {rounds}")
        for name, run in contenders.items():
            gc.collect()
            rates[name].append(run())
    return {name: Rates(tuple(found)) for name, found in rates.items()}


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)
