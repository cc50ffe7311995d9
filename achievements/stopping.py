"""Stopping a long-running process in order (transports floor)."""

import signal
from threading import Event as Flag
from typing import Any


def stop_on_signals() -> Flag:
    """Return a flag that SIGTERM and SIGINT set; the work in hand is finished first."""
    flag = Flag()

    def stop(number: int, frame: Any) -> None:
        flag.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return flag
