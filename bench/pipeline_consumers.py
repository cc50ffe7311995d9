"""The consumers as an operator starts them, and what their processes use."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.pipeline_site import ROOT

INSTANCE: Final = "bench"
SESSION_SECONDS: Final = 6
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Consumers:
    """`manage.py consume_achievement_events --processes N`, until the block ends."""

    def __init__(self, processes: int = 2, *, environment: dict[str, str] | None = None) -> None:
        self.processes = processes
        self.environment = {**os.environ, **(environment or {})}

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "manage.py", "consume_achievement_events"),
                *("--processes", str(self.processes), "--instance", INSTANCE),
                *("--session-seconds", str(SESSION_SECONDS)),
            ],
            cwd=ROOT,
            env=self.environment,
            process_group=0,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def wait_for_pids(self) -> list[int]:
        """Return the process ids of those that do the work, as soon as all have started."""
        if self.processes == 1:
            return [self.process.pid]
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + 30
        while len(pids := children.read_text().split()) < self.processes:
            if time.monotonic() > deadline:
                raise TimeoutError("The consumers did not start.")
            time.sleep(0.05)
        return [int(pid) for pid in pids]


def read_cpu_seconds(pid: int) -> float:
    """Return what a process has used of any core so far, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def read_memory_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
