"""Measures the tables themselves: python -m bench.storage [PART ...], or make bench-storage.

It starts a MariaDB of its own, with data in a temporary folder (about 12 GB, and it wants
16 GiB free), and stops it.
PART: bytes, reads, inserts, indexes, partitions, followed, growth, beyond; without one, all.
"""

import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench.arguments import read_arguments
from bench.report import Report
from bench.storage_site import start_site
from deploy.local.process import MissingProgram, StartError

PARTS: Final = (
    "bytes",
    "reads",
    "inserts",
    "indexes",
    "partitions",
    "followed",
    "growth",
    "beyond",
)
DISK_GIB: Final = 16


@dataclass(frozen=True, slots=True)
class Sizes:
    users: int = 1_000_000  # with unlocks: 7 million rows, 50 of every seventeenth user
    pool: str = "6G"  # everything fits
    small_pool: str = "128M"  # a fifth of our table of unlocks
    rounds: int = 5
    reads: int = 60  # profiles a round: few, or the pages of one are there for the next
    insert_batches: int = 150
    index_pool: str = "32M"
    few_users: int = 100_000  # with progress; the growth goes from here
    many_users: int = 5_000_000
    engine_batches: int = 10  # a round, of which growth has twice as many
    beyond_pool: str = "512M"


QUICK: Final = Sizes(
    users=50_000, pool="512M", small_pool="8M", rounds=2, reads=40,
    insert_batches=20, index_pool="8M",
    few_users=10_000, many_users=100_000, engine_batches=4, beyond_pool="16M",
)  # fmt: skip


def main() -> int:
    sizes, parts = read_arguments(
        prog="bench.storage", description=__doc__ or "", parts=PARTS, quick=QUICK
    )
    free_gib = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
    if sizes != QUICK and free_gib < DISK_GIB:
        print(
            f"{tempfile.gettempdir()} has {free_gib:.0f} GiB free and {DISK_GIB} are needed: name"
            " another folder with TMPDIR, or try --quick.",
            file=sys.stderr,
        )
        return 1
    report = Report("storage")
    # Leave by an exception, so that the server is stopped and its data removed on the way out.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with ExitStack() as stack:
            database = start_site(stack, pool=sizes.pool)

            from bench.storage_run import Run  # only now: it imports models

            run = Run(report, sizes, database)
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
