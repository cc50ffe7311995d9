"""Baseline: Quix Streams with counts, sums, bests and their thresholds on the same topic.

python -m bench.quix STATE_FOLDER runs one process until SIGTERM, in an environment of its own
(requirements/bench.txt). Set up as a user would: JSON values, state by key in RocksDB with
a changelog topic, unlocks to a topic, defaults for the rest. It does less than the engine:
no averages, runs, streaks or distinct values, no collections, no duplicates recognised,
nothing that a profile could be read from.
"""

import os
import sys
from collections.abc import Callable
from operator import eq, ge, gt, le, lt
from typing import Any, Final

from quixstreams import Application

from achievements.criteria import SCALE, Condition, Measure, Reach, set_target, walk
from bench.workload import make_shipped

TOPIC: Final = "achievement-events"
GROUP: Final = "quix-achievements"
UNLOCKS_TOPIC: Final = "quix-unlocks"
LIVE_ACHIEVEMENTS: Final = 60
KINDS: Final = ("count", "sum", "best")
_OPERATORS: Final = {"gte": ge, "gt": gt, "lte": le, "lt": lt, "eq": eq}

Passes = Callable[[dict[str, Any]], bool]
Slot = tuple[str, str, Passes, list[tuple[float, str]]]  # kind, metric, passes, thresholds


def make_slots() -> list[Slot]:
    """Return the accumulators of the live achievements, with what waits at each threshold."""
    measures: dict[str, Measure] = {}
    waiting: dict[str, list[tuple[float, str]]] = {}
    for definition in make_shipped(LIVE_ACHIEVEMENTS):
        for number, level in enumerate(definition.levels, start=1):
            for leaf in walk(set_target(definition.parse(), level.target)):
                if isinstance(leaf, Reach) and leaf.measure.kind in KINDS:
                    measures[leaf.measure.key] = leaf.measure
                    name = f"{definition.slug}:{number}"
                    waiting.setdefault(leaf.measure.key, []).append((leaf.threshold, name))
    return [
        (m.kind, m.metric, make_passes(m.where), sorted(waiting[key]))
        for key, m in measures.items()
    ]


def make_passes(conditions: tuple[Condition, ...]) -> Passes:
    checks = [_make_check(condition) for condition in conditions]
    return lambda metrics: all(check(metrics) for check in checks)


def _make_check(condition: Condition) -> Passes:
    name, operand = condition.metric, condition.operand
    if isinstance(operand, tuple):
        return lambda metrics: metrics.get(name) in operand
    compare = _OPERATORS[condition.operator]
    return lambda metrics: name in metrics and compare(metrics[name], operand)


def make_checker(slots: list[Slot]) -> Callable[[dict[str, Any], Any], list[dict[str, Any]]]:
    blank = [0.0] * len(slots)

    def check(event: dict[str, Any], state: Any) -> list[dict[str, Any]]:
        values = state.get("values") or list(blank)
        metrics = event["metrics"]
        unlocks = []
        for index, (kind, metric, passes, thresholds) in enumerate(slots):
            if not passes(metrics):
                continue
            old = values[index]
            if kind == "count":
                new = old + 1
            elif metric not in metrics:
                continue
            elif kind == "sum":
                new = old + round(metrics[metric] * SCALE)
            else:
                new = max(old, metrics[metric])
            if new != old:
                values[index] = new
                for threshold, name in thresholds:
                    if old < threshold <= new:
                        unlocks.append({"userId": event["userId"], "achievement": name})
        state.set("values", values)
        return unlocks

    return check


def main() -> None:
    application = Application(
        broker_address=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        state_dir=sys.argv[1],
        loglevel="WARNING",
    )
    frame = application.dataframe(application.topic(TOPIC, value_deserializer="json"))
    frame = frame.apply(make_checker(make_slots()), stateful=True, expand=True)
    frame.to_topic(application.topic(UNLOCKS_TOPIC, value_serializer="json"))
    application.run()


if __name__ == "__main__":
    main()
