"""What `make stack` shows: a table of processes, and their logs line by line as they grow."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from deploy.local.process import LocalProcess

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_BOLD_RED = "1;31"


class Console:
    """Lines of every followed process, each after its name; in colour on a terminal alone."""

    def __init__(self, names: Iterable[str]) -> None:
        names = list(names)
        self.width = max(map(len, names))
        self.has_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._colours = {
            name: str(_COLOURS[position % len(_COLOURS)]) for position, name in enumerate(names)
        }
        self._positions: dict[Path, int] = {}

    def say(self, text: str, *, is_alarm: bool = False) -> None:
        print(self._paint(text, _BOLD_RED) if is_alarm else text, flush=True)

    def follow(self, process: LocalProcess) -> None:
        """Show what it writes from now on; an older log of the same file is not repeated."""
        file = process.log_file
        self._positions[file] = file.stat().st_size if file.exists() else 0

    def show_new_lines(self, processes: Iterable[LocalProcess]) -> None:
        for process in processes:
            for line in self._read_new_lines(process):
                self._write(process.name, line)

    def show_end(self, process: LocalProcess) -> None:
        """Say that it ended by itself, with its last lines."""
        self.show_new_lines([process])
        assert process.process is not None
        code = process.process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self.say(f"\n{process.name} {how} and is not started again. Its log ends:", is_alarm=True)
        for line in process.read_log_end(15).splitlines():
            self._write(process.name, line)
        self.say("")

    def show_table(self, rows: Iterable[tuple[str, ...]]) -> None:
        rows = list(rows)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            if row[0] in self._colours:
                cells[0] = self._paint(cells[0], self._colours[row[0]])
            self.say(f"  {'  '.join(cells).rstrip()}")

    def _read_new_lines(self, process: LocalProcess) -> list[str]:
        """Whole lines only; the rest of one that is being written comes with the next call."""
        if process.log_file not in self._positions or not process.log_file.exists():
            return []
        with process.log_file.open("rb") as file:
            file.seek(self._positions[process.log_file])
            text = file.read()
        end = text.rfind(b"\n") + 1 if process.is_running else len(text)
        self._positions[process.log_file] += end
        return text[:end].decode(errors="replace").splitlines()

    def _write(self, name: str, line: str) -> None:
        self.say(f"{self._paint(name.ljust(self.width), self._colours[name])} | {line}")

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.has_colour else text
