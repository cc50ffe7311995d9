"""What a bench found: a table for people, JSON for everything else."""

import json
import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.timing import Rates, Ratio

FOLDER: Final = Path("var/bench")


@dataclass
class Report:
    """Figures and ratios of one run, with the machine that they hold for."""

    name: str
    figures: dict[str, Any] = field(default_factory=dict)
    ratios: dict[str, dict[str, Any]] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=lambda: describe_machine())

    def add_rate(self, name: str, rates: Rates, *, unit: str) -> None:
        self.figures[name] = {
            "median": rates.median,
            "min": min(rates.rounds),
            "max": max(rates.rounds),
            "unit": unit,
        }

    def add_facts(self, name: str, facts: dict[str, Any]) -> None:
        self.figures[name] = facts

    def add_ratio(
        self,
        name: str,
        ratio: Ratio,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        is_reached = (at_least is None or ratio.median >= at_least) and (
            at_most is None or ratio.median <= at_most
        )
        self.ratios[name] = {
            "value": ratio.median,
            "min": ratio.lowest,
            "max": ratio.highest,
            "target": f">= {at_least:g}" if at_least is not None else f"<= {at_most:g}",
            "is_reached": is_reached,
        }

    def write(self) -> Path:
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{self.name}.json"
        document = {"machine": self.machine, "figures": self.figures, "ratios": self.ratios}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return path

    def print_table(self) -> None:
        print()
        for name, facts in self.figures.items():
            if "median" not in facts:
                print(f"{name}: {', '.join(f'{k} {_round(v)}' for k, v in facts.items())}")
        print(f"\n{'figure':36}{'median':>12}{'min':>12}{'max':>12}  unit")
        for name, found in self.figures.items():
            if "median" in found:
                numbers = "".join(f"{_round(found[k]):>12}" for k in ("median", "min", "max"))
                print(f"{name:36}{numbers}  {found['unit']}")
        print(f"\n{'ratio':36}{'median':>12}{'min':>12}{'max':>12}  target")
        for name, ratio in self.ratios.items():
            numbers = "".join(f"{ratio[k]:>12.2f}" for k in ("value", "min", "max"))
            missed = "" if ratio["is_reached"] else "  MISSED"
            print(f"{name:36}{numbers}  {ratio['target']}{missed}")


def describe_machine() -> dict[str, Any]:
    return {
        "cpu": _read_cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _read_cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _round(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
