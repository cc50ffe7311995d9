"""Ends whole process groups when the one that started them is gone, however it went.

The kernel kills a child together with its parent (see process.py), but not what the child has
started itself: the workers of a web server and the copies of a consumer would go on for ever.
"""

import contextlib
import os
import signal
import subprocess
import sys


class Reaper:
    """A process with a pipe to this one; when the pipe ends, it kills the groups it was told."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def remember(self, group: int) -> None:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__],
                stdin=subprocess.PIPE,
                bufsize=0,
                # Neither Ctrl-C nor the end of the terminal may reach it before us.
                start_new_session=True,
            )
        self._tell(group)

    def forget(self, group: int) -> None:
        """The group is no more, and its number may be given to others."""
        self._tell(-group)

    def _tell(self, number: int) -> None:
        if self.process is not None and self.process.stdin is not None:
            # Were it killed itself, the kernel would still end our own children.
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(b"%d\n" % number)


def kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def main() -> None:
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        number = int(line)
        if number > 0:
            groups.add(number)
        else:
            groups.discard(-number)
    for group in groups:
        kill_group(group)


if __name__ == "__main__":
    main()
