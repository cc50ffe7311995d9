"""The engine on MariaDB: whole batches beside their bare SQL, and beside the ORM an event."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from achievements.advance import advance
from achievements.engine import process_events
from achievements.events import Event
from achievements.progress import decode_progress, encode_progress
from achievements.rulebook import Rulebook
from bench.bare_sql import Outcome, connect, write_outcomes
from bench.orm_per_event import check_event, make_loop
from bench.population import Population, Template, insert_population
from bench.report import Report
from bench.timing import Rates, Ratio, alternate, compare

ROUNDS: Final = 5
BATCHES: Final = {100: 20, 500: 6}  # size -> batches a round
ORM_EVENTS: Final = 400


def measure_storage(report: Report, rulebook: Rulebook, templates: Sequence[Template]) -> None:
    ours = insert_population(templates, number=1, size=50_000)
    bare = insert_population(templates, number=2, size=50_000)
    orm = insert_population(templates, number=3, size=ROUNDS * ORM_EVENTS, with_unlocks=True)
    database, loop = connect(), make_loop()
    counts = {"events": 0, "unlocks": 0}
    contenders: dict[str, Callable[[], float]] = {}
    for size in BATCHES:
        contenders[f"engine {size}"] = partial(run_engine, ours, size, counts)
        contenders[f"bare {size}"] = partial(run_bare_sql, database, rulebook, bare, size)
    contenders["orm"] = lambda: run_orm(loop, orm)
    for size in BATCHES:  # warm: connections, plans, buffer pool
        contenders[f"engine {size}"]()
        contenders[f"bare {size}"]()
    rates = alternate(contenders, rounds=ROUNDS, title="engine on MariaDB")
    report.add_facts(
        "engine_batches",
        {"events": counts["events"], "unlocks_per_event": counts["unlocks"] / counts["events"]},
    )
    for size in BATCHES:
        report.add_rate(f"engine_batch_{size}", rates[f"engine {size}"], unit="events/s")
        report.add_rate(f"bare_sql_batch_{size}", rates[f"bare {size}"], unit="events/s")
    report.add_rate("orm_per_event", rates["orm"], unit="events/s")
    report.add_ratio("engine_vs_bare_sql", compare_with_bare_sql(report, rates), at_least=0.4)
    report.add_ratio(
        "engine_vs_orm_per_event", compare(rates["engine 500"], rates["orm"]), at_least=20
    )


def compare_with_bare_sql(report: Report, rates: dict[str, Rates]) -> Ratio:
    """Return the lower of the ratios of all sizes; all of them are figures."""
    ratios = []
    for size in BATCHES:
        ratio = compare(rates[f"engine {size}"], rates[f"bare {size}"])
        ratios.append(ratio)
        report.add_facts(
            f"engine_vs_bare_sql_{size}",
            {"median": ratio.median, "min": ratio.lowest, "max": ratio.highest, "unit": "ratio"},
        )
    return min(ratios, key=lambda ratio: ratio.median)


def run_engine(population: Population, size: int, counts: dict[str, int]) -> float:
    batches = list(population.take_batches(BATCHES[size], size=size))
    started = time.perf_counter()
    results = [process_events(batch) for batch in batches]
    seconds = time.perf_counter() - started
    events = size * len(batches)
    assert sum(result.applied for result in results) == events
    counts["events"] += events
    counts["unlocks"] += sum(result.unlocks for result in results)
    return events / seconds


def run_bare_sql(database: Any, rulebook: Rulebook, population: Population, size: int) -> float:
    batches = list(population.take_batches(BATCHES[size], size=size))
    outcomes = [foresee_outcome(rulebook, population, batch) for batch in batches]
    return size * len(batches) / write_outcomes(database, outcomes)


def foresee_outcome(rulebook: Rulebook, population: Population, events: list[Event]) -> Outcome:
    """Work out, outside of the measured time, what a batch of one event a user leads to."""
    outcome = Outcome([], [], [], [])
    # As the backend stores it: naive UTC.
    now = datetime.now(UTC).replace(tzinfo=None)
    for event in sorted(events, key=lambda e: e.user_id):
        user_id = event.user_id
        row = decode_progress(population.template_of(user_id - population.first).row)
        step = advance(rulebook, row, [event])
        assert step is not None
        outcome.user_ids.append(user_id)
        for number, unlock in enumerate(step.unlocks, start=1):
            achievement_id, level = unlock.achievement_id, unlock.level
            outcome.unlocks.append((user_id, achievement_id, level, now, event.test_result_id, 1))
            outcome.notifications.append((user_id, number, achievement_id, level, now))
        row.notified, row.rulebook_version = len(step.unlocks), rulebook.version
        outcome.rows.append((user_id, 2, encode_progress(step.progress)))
    return outcome


def run_orm(loop: Any, population: Population) -> float:
    events = population.take_events(ORM_EVENTS)
    started = time.perf_counter()
    for event in events:
        check_event(loop, event)
    return len(events) / (time.perf_counter() - started)
