"""Runs the Quix Streams baseline beside our consumers: same topic, as many processes."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.pipeline_site import ROOT
from bench.pipeline_topic import Topic
from bench.timing import say

ENVIRONMENT: Final = ROOT / "var" / "bench" / "quix"
REQUIREMENTS: Final = ROOT / "requirements" / "bench.txt"
GROUP: Final = "quix-achievements"
PROCESSES: Final = 2
START_SECONDS: Final = 90


def install_quix() -> Path:
    """Return the Python of the baseline's own environment, made at the first use."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "installed").exists():
        say("installing Quix Streams into var/bench/quix")
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        command = [str(python), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)]
        subprocess.run(command, check=True)
        (ENVIRONMENT / "installed").touch()
    return python


def measure_quix(python: Path, *, seconds: float) -> float:
    """Let it drain the topic from its start; return committed events a second."""
    topic = Topic(GROUP)
    with tempfile.TemporaryDirectory() as folder:
        processes = [_start(python, Path(folder) / str(number)) for number in range(PROCESSES)]
        try:
            return _watch(topic, processes, seconds)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)


def _start(python: Path, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(python), "-m", "bench.quix", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _watch(topic: Topic, processes: list[subprocess.Popen[bytes]], seconds: float) -> float:
    """From the first commit seen after both have started until the time is over or all is done."""
    deadline = time.monotonic() + START_SECONDS
    # The first commits fall into its rebalance: the clock starts at the one after them.
    first = _wait_for_commit(topic, processes, deadline, above=1_000)
    last = _wait_for_commit(topic, processes, deadline, above=first[1])
    first = last
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            last = _wait_for_commit(topic, processes, end, above=last[1])
        except TimeoutError:
            break
    return (last[1] - first[1]) / (last[0] - first[0])


def _wait_for_commit(
    topic: Topic, processes: list[subprocess.Popen[bytes]], deadline: float, *, above: int
) -> tuple[float, int]:
    while time.monotonic() < deadline:
        committed = topic.count_committed()
        if committed > above:
            return time.monotonic(), committed
        if any(process.poll() is not None for process in processes):
            raise RuntimeError("Quix Streams has ended; its own words are above.")
        time.sleep(0.1)
    raise TimeoutError(f"Quix Streams committed nothing beyond {above} events.")
