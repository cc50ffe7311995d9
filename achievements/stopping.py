"""Stopping a long-running process in order (transports floor)."""

import signal
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread


def stop_on_signals() -> Flag:
    """Return a flag that SIGTERM and SIGINT set; the work in hand is finished first."""
    flag = Flag()
    # A handler runs inside whatever the main thread does. Were that the flag's own wait(), set()
    # would stand for ever before the lock which wait() holds; a queue's put() may be called.
    received: SimpleQueue[int] = SimpleQueue()

    def pass_on() -> None:
        received.get()
        flag.set()

    Thread(target=pass_on, name="stop", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: received.put(number))
    return flag
