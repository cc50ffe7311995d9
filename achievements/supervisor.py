"""Several copies of a command on one machine (transports floor): one process a core."""

import subprocess
import sys
import time
from collections.abc import Sequence
from threading import Event as Flag
from typing import Final

import structlog

STOP_SECONDS: Final = 25.0
MAX_QUICK_EXITS: Final = 5
QUICK_SECONDS: Final = 30.0
MAX_DELAY_SECONDS: Final = 15.0

logger = structlog.get_logger(__name__)


class Child:
    """One supervised process and when it was started."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command
        self.quick_exits = 0
        self.due = 0.0
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command)
        self.started_at = time.monotonic()
        self.is_waiting = False

    def check(self) -> bool:
        """Start again what ended, a little later each time; False when it never stays up."""
        if self.is_waiting:
            if time.monotonic() >= self.due:
                self.start()
            return True
        code = self.process.poll()
        if code is None:
            return True
        lived = time.monotonic() - self.started_at
        self.quick_exits = self.quick_exits + 1 if lived < QUICK_SECONDS else 1
        logger.warning("child_ended", pid=self.process.pid, code=code, quick=self.quick_exits)
        if self.quick_exits > MAX_QUICK_EXITS:
            return False
        self.due = time.monotonic() + min(MAX_DELAY_SECONDS, 0.5 * 2**self.quick_exits)
        self.is_waiting = True
        return True

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            logger.warning("child_killed", pid=self.process.pid)
            self.process.kill()
            self.process.wait()


def supervise(arguments: Sequence[Sequence[str]], stop: Flag) -> bool:
    """Run `manage.py` once with each argument list until `stop`; False when one cannot stay up."""
    children = [Child([sys.executable, sys.argv[0], *one]) for one in arguments]
    is_sound = True
    try:
        while is_sound and not stop.wait(0.2):
            # Every child is looked at, also behind one that failed.
            is_sound = not [child for child in children if not child.check()]
    finally:
        for child in children:
            child.stop()
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            child.wait(deadline)
    return is_sound
