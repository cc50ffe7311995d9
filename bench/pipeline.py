"""Measures the Kafka pipeline: python -m bench.pipeline [PART ...], or make bench-pipeline.

Everything runs on this machine: Kafka, MariaDB (flush at every commit), Redis, two
consumers, the load. PART: drain, quix, dedupe, pace, burst, memory, endpoint; without one,
all of them. --quick is a smoke of about two minutes whose figures mean nothing.
"""

import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench.arguments import read_arguments
from bench.pipeline_site import start_site
from bench.report import Report
from deploy.local.process import MissingProgram, StartError

PARTS: Final = ("drain", "quix", "dedupe", "pace", "burst", "memory", "endpoint")


@dataclass(frozen=True, slots=True)
class Sizes:
    users: int = 1_000_000
    drain_events: int = 500_000
    dedupe_events: int = 250_000
    task_events: int = 3_000
    rounds: int = 3
    pace_rate: int = 10_000
    pace_seconds: float = 60.0
    burst_events: int = 100_000
    memory_events: int = 1_000_000
    endpoint_seconds: float = 10.0
    quix_seconds: float = 40.0


QUICK: Final = Sizes(
    users=100_000, drain_events=40_000, dedupe_events=20_000, task_events=400, rounds=1,
    pace_seconds=6.0, burst_events=20_000, memory_events=40_000, endpoint_seconds=3.0,
    quix_seconds=15.0,
)  # fmt: skip


def main() -> int:
    # In this order: the endpoint leaves events behind that nobody consumes.
    sizes, parts = read_arguments(
        prog="bench.pipeline", description=__doc__ or "", parts=PARTS, quick=QUICK
    )
    report = Report("pipeline")
    # Leave by an exception, so that everything that was started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with ExitStack() as stack:
            servers = start_site(stack)

            from bench.pipeline_run import Run  # only now: it imports models

            run = Run(report, sizes, servers)
            stack.callback(run.topic.close)  # before Kafka goes
            for part in parts:
                run.measure(part)
            run.draw()
    except (MissingProgram, StartError) as error:
        print(error, file=sys.stderr)
        return 1
    report.print_table()
    if set(parts) == set(PARTS):
        print(f"\nwritten to {report.write()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
