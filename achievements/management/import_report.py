"""What an import found (face): counts for the screen, a line of JSON for every odd row."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from achievements.claims import (
    CONFLICTS,
    CORRECTED,
    IGNORED,
    KNOWN,
    NEW,
    OUTCOMES,
    SURPLUS,
    Finding,
)
from achievements.legacy_check import CheckedSlice, Sum
from achievements.legacy_mapping import propose_entries

# Without a line of its own; the check that follows names what is surplus.
_UNREMARKABLE: Final = (NEW, KNOWN, CORRECTED, SURPLUS, IGNORED)
_UNNAMED: Final = ("unmapped", "unknown_achievement")
_SHOWN: Final = 20
_LINES_A_SLICE: Final = 100  # a comparison before the import would name every row there is


class ImportReport:
    """Lines are appended: those of a run that was killed stay, and may come again."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when the file cannot be written."""
        self._run = datetime.now(UTC).isoformat(timespec="seconds")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self.path = path
        self.rows = 0
        self.line_count = 0
        self.reasons: Counter[str] = Counter()
        self.unnamed: Counter[Any] = Counter()  # their achievement ids
        self.expected, self.found = Sum(), Sum()
        self.slice_count = 0
        self.unequal_count = 0
        self.has_surplus = False
        self._unequal: list[str] = []

    @property
    def conflict_count(self) -> int:
        return sum(self.reasons[reason] for reason in CONFLICTS)

    def add_rows(self, count: int, findings: Iterable[Finding]) -> None:
        self.rows += count
        for finding in findings:
            self.reasons[finding.reason] += 1
            if finding.reason in _UNNAMED:
                self.unnamed[finding.row.achievement_id] += 1
            if finding.reason not in _UNREMARKABLE:
                self._write(
                    reason=finding.reason,
                    id=finding.row.id,
                    userId=finding.row.user_id,
                    achievementId=finding.row.achievement_id,
                    unlockedAt=finding.row.unlocked_at,
                    detail=finding.detail,
                )
        self._file.flush()

    def add_check(self, checked: CheckedSlice) -> None:
        self.slice_count += 1
        self.expected.join(checked.expected)
        self.found.join(checked.found)
        if checked.is_equal:
            return
        self.unequal_count += 1
        self.has_surplus |= any(found.reason == SURPLUS for found in checked.differences)
        if len(self._unequal) < _SHOWN:
            self._unequal.append(
                f"Rows {checked.first_id} to {checked.last_id} differ:"
                f" expected {checked.expected}; found {checked.found}."
            )
        for found in checked.differences[:_LINES_A_SLICE]:
            self._write(
                reason=found.reason,
                slice=f"{checked.first_id}-{checked.last_id}",
                userId=found.user_id,
                ourAchievementId=found.level[0],
                level=found.level[1],
                expected=found.expected_at,
                found=found.found_at,
            )
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def list_outcomes(self, names: Mapping[int, str]) -> list[str]:
        """Return lines for the screen: every outcome that occurred, with its count."""
        lines = [
            f"{self.reasons[reason]:>13,}  {reason}: {meaning}"
            for reason, meaning in {**OUTCOMES, **CONFLICTS}.items()
            if self.reasons[reason]
        ]
        if self.unnamed:
            lines.append("Not mapped, most rows first (lines for the file):")
            lines += propose_entries(names, [i for i, _ in self.unnamed.most_common(_SHOWN)])
        return lines

    def list_checks(self) -> list[str]:
        """Return lines for the screen: the sums of both sides, and every slice that differs."""
        lines = [
            f"Checked {self.slice_count:,} slices, what was imported. Expected {self.expected};"
            f" found {self.found}."
        ]
        lines += self._unequal
        if self.unequal_count > _SHOWN:
            lines.append(f"... and {self.unequal_count - _SHOWN:,} slices more.")
        return lines

    def _write(self, **content: Any) -> None:
        self.line_count += 1
        self._file.write(json.dumps({"run": self._run, **content}, default=str) + "\n")
