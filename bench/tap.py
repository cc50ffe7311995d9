"""A tap on the consumer, for the bench alone.

BENCH_TAP=FOLDER records, for every event, the milliseconds from the producer's time stamp to
the moment after its batch's commit. BENCH_DEDUPE=off lets the engine forget which tests it
has seen: no look at the row's ids, none kept, none archived.
"""

import atexit
import os
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from django.apps import AppConfig

from achievements.events import Event, order_of


class TapConfig(AppConfig):
    name = "bench"

    def ready(self) -> None:
        if folder := os.environ.get("BENCH_TAP"):
            record_latencies(Path(folder))
        if os.environ.get("BENCH_DEDUPE") == "off":
            forget_duplicates()


def record_latencies(folder: Path) -> None:
    from achievements.consumer import EventConsumer

    latencies = array("d")
    commit = EventConsumer._commit

    def record(consumer: EventConsumer, messages: Sequence[Any]) -> None:
        now_ms = time.time() * 1000
        for message in messages:
            published_ms = message.timestamp()[1]
            latencies.extend((published_ms, now_ms - published_ms))
        commit(consumer, messages)

    EventConsumer._commit = record  # type: ignore[method-assign]

    def write() -> None:
        if latencies:
            (folder / f"{os.getpid()}.latencies").write_bytes(latencies.tobytes())

    atexit.register(write)


class Latencies(NamedTuple):
    milliseconds: list[float]  # ascending
    batch_count: int


def read_latencies(folder: Path, *, last: int) -> Latencies:
    """Return what was recorded of the `last` events that all processes applied."""
    found: list[tuple[float, float]] = []
    for file in folder.glob("*.latencies"):
        pairs = array("d")
        pairs.frombytes(file.read_bytes())
        found += zip(pairs[::2], pairs[1::2], strict=True)
    found = sorted(found)[-last:]
    # Events of one batch were committed at one moment.
    moments = {round(published_ms + latency_ms, 1) for published_ms, latency_ms in found}
    return Latencies(sorted(latency_ms for _, latency_ms in found), len(moments))


def forget_duplicates() -> None:
    from achievements import engine
    from achievements.advance import Step
    from achievements.progress import apply_events, needs_replay

    def advance(rulebook: Any, progress: Any, events: Sequence[Event]) -> Step | None:
        if len(events) > 1:
            events = sorted(events, key=order_of)
        if not progress.is_partial and needs_replay(rulebook, progress, events):
            return None
        return Step(progress, len(events), apply_events(rulebook, progress, events), [], [])

    engine.is_newest = lambda progress, events: True  # type: ignore[assignment]
    engine.advance_newest = advance  # type: ignore[assignment]
