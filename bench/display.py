"""Measures what readers meet: python -m bench.display [PART ...], or make bench-display.

It starts MariaDB, Redis, Kafka, the site and its edge on ports of their own, and stops them.
PART: reads, unchanged, servers, growth, mix, watched, together, flush; without one, all of them.
"""

import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench.arguments import read_arguments
from bench.pipeline_site import start_site
from bench.report import Report
from deploy.local.process import MissingProgram, StartError

PARTS: Final = ("reads", "unchanged", "servers", "growth", "mix", "watched", "together", "flush")


@dataclass(frozen=True, slots=True)
class Sizes:
    known_users: int = 50_000
    cached_users: int = 950_000
    kafka_users: int = 300_000
    rounds: int = 3
    seconds: float = 8.0
    mix_seconds: float = 30.0
    flush_seconds: float = 150.0
    together_seconds: float = 20.0


QUICK: Final = Sizes(
    known_users=2_000, cached_users=20_000, kafka_users=20_000, rounds=1, seconds=2.0,
    mix_seconds=4.0, flush_seconds=8.0, together_seconds=6.0,
)  # fmt: skip


def main() -> int:
    sizes, parts = read_arguments(
        prog="bench.display", description=__doc__ or "", parts=PARTS, quick=QUICK
    )
    report = Report("display")
    # Counted like anybody's calls, but never refused: all of them come from one address.
    os.environ.update(THROTTLE_PUBLIC="100000000/minute", TRUSTED_PROXIES="127.0.0.1")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with ExitStack() as stack:
            servers = start_site(stack)

            from bench.display_run import Run  # only now: it imports models

            run = Run(report, sizes, stack, servers)
            for part in parts:
                run.measure(part)
            if sizes == Sizes():
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
