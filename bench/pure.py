"""The pure path on one core: an event's bytes and a row's bytes in, the row's new bytes out."""

import time
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, Final

from achievements.advance import advance
from achievements.definition import Definition
from achievements.events import Event, decode_event, encode_event, read_metrics
from achievements.progress import decode_progress, encode_progress
from achievements.rulebook import Rulebook
from bench.closures import ClosureLoop
from bench.report import Report
from bench.timing import alternate, compare, say
from bench.workload import NOW, Typist, compile_rulebook, make_large, make_row, make_shipped

USERS: Final = 200
HISTORY_TESTS: Final = 200
EVENTS: Final = 1_000
ROUNDS: Final = 31  # many and short, so that each round's four runs meet the same machine

Apply = Callable[[bytes, bytes], tuple[int, bytes]]  # event and row in; unlocks and row out


class Bench:
    """One catalogue with users who have a history, and the events that come next."""

    def __init__(self, definitions: list[Definition]) -> None:
        self.rulebook = compile_rulebook(definitions)
        typists = [Typist(user_id, Random(user_id)) for user_id in range(1, USERS + 1)]
        self.rows = {t.user_id: make_row(self.rulebook, t, HISTORY_TESTS) for t in typists}
        chosen = Random(0).choices(typists, k=EVENTS)
        self.events = [(t.user_id, encode_event(t.finish_test())) for t in chosen]

    def describe(self) -> dict[str, Any]:
        rulebook = self.rulebook
        moved = [_count_updates(rulebook, decode_event(body, now=NOW)) for _, body in self.events]
        return {
            "live_achievements": len(rulebook.rules),
            "levels": sum(len(rule.judges) for rule in rulebook.rules),
            "accumulators": rulebook.size,
            "accumulators_updated_per_event": sum(moved) / len(moved),
            "row_bytes": sum(map(len, self.rows.values())) / len(self.rows),
        }

    def run(self, apply: Apply) -> float:
        """Return events a second of this process's own time."""
        rows = dict(self.rows)
        started = time.process_time()
        for user_id, body in self.events:
            _, rows[user_id] = apply(body, rows[user_id])
        return len(self.events) / (time.process_time() - started)

    def replay(self, apply: Apply) -> tuple[int, list[Any]]:
        """Return how much was unlocked and what all rows held in the end."""
        rows, unlocks = dict(self.rows), 0
        for user_id, body in self.events:
            found, rows[user_id] = apply(body, rows[user_id])
            unlocks += found
        ends = [decode_progress(row) for row in rows.values()]
        return unlocks, [(end.values, end.unlocked, end.points, end.completed) for end in ends]


def _count_updates(rulebook: Rulebook, event: Event) -> int:
    assert event.occurred_at is not None
    plan = rulebook.plan_for(read_metrics(event.metrics), event.occurred_at.timestamp())
    return sum(map(len, plan))


def apply_with_engine(rulebook: Rulebook, body: bytes, row: bytes) -> tuple[int, bytes]:
    event = decode_event(body, now=NOW)
    step = advance(rulebook, decode_progress(row), (event,))
    assert step is not None
    return len(step.unlocks), encode_progress(step.progress)


def apply_with_loop(loop: ClosureLoop, body: bytes, row: bytes) -> tuple[int, bytes]:
    event = decode_event(body, now=NOW)
    progress = decode_progress(row)
    unlocks = loop.apply(progress, event)
    return len(unlocks), encode_progress(progress)


def measure_pure_path(report: Report) -> None:
    say("pure path: letting typists make a history under 60 and under 500 achievements")
    small, large = Bench(make_shipped(60)), Bench(make_large(500))
    by_engine: dict[Bench, Apply] = {
        bench: partial(apply_with_engine, bench.rulebook) for bench in (small, large)
    }
    by_loop: dict[Bench, Apply] = {
        bench: partial(apply_with_loop, ClosureLoop(bench.rulebook)) for bench in (small, large)
    }
    unlocks = {}
    for bench in (small, large):
        unlocks[bench], ends = bench.replay(by_engine[bench])
        if bench.replay(by_loop[bench]) != (unlocks[bench], ends):
            # A baseline that does other work measures nothing.
            raise AssertionError("The closure loop and the engine disagree on unlocks or rows.")
    rates = alternate(
        {
            "engine 60": lambda: small.run(by_engine[small]),
            "engine 500": lambda: large.run(by_engine[large]),
            "loop 60": lambda: small.run(by_loop[small]),
            "loop 500": lambda: large.run(by_loop[large]),
        },
        rounds=ROUNDS,
        title="pure path",
    )
    for bench, count in ((small, 60), (large, 500)):
        report.add_facts(
            f"catalogue_{count}",
            {**bench.describe(), "unlocks_per_event": unlocks[bench] / EVENTS},
        )
        report.add_rate(f"pure_path_{count}", rates[f"engine {count}"], unit="events/s, one core")
        report.add_rate(f"closure_loop_{count}", rates[f"loop {count}"], unit="events/s, one core")
    report.add_ratio(
        "growth_60_to_500", compare(rates["engine 60"], rates["engine 500"]), at_most=1.5
    )
    report.add_ratio(
        "rules_vs_closure_loop_500", compare(rates["engine 500"], rates["loop 500"]), at_least=5
    )
