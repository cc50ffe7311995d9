"""Puts the last run into the documentation: python -m bench.document.

The tables go between the marks in docs/performance.md, the picture beside it.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

from bench.picture import draw_ratios
from bench.report import FOLDER

PAGE: Final = Path("docs/performance.md")
PICTURE: Final = Path("docs/performance-engine.svg")
_MARKS: Final = re.compile(r"(<!-- engine -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    path = FOLDER / "engine.json"
    if not path.exists():
        print(f"There is no {path} yet: make bench-engine", file=sys.stderr)
        return 1
    found = json.loads(path.read_text(encoding="utf-8"))
    PICTURE.write_text(draw_ratios(found["ratios"]), encoding="utf-8")
    text = write_tables(found)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(_MARKS.sub(lambda m: m[1] + text + m[2], page), encoding="utf-8")
    return 0


def write_tables(found: dict[str, Any]) -> str:
    machine = found["machine"]
    lines = [
        f"Measured {machine['measured_at'][:10]} on {machine['cores']} cores of {machine['cpu']},"
        f" {machine['memory_gib']} GiB, Python {machine['python']}; load before the run"
        f" {machine['load_before']}.",
        "",
        "| Ratio | Median | Lowest | Highest | Target |",
        "|---|---:|---:|---:|---|",
    ]
    for name, ratio in found["ratios"].items():
        missed = "" if ratio["is_reached"] else " **missed**"
        numbers = " | ".join(f"{ratio[key]:.2f}" for key in ("value", "min", "max"))
        lines.append(f"| {name} | {numbers} | {ratio['target']}{missed} |")
    lines += ["", "| Figure | Median | Lowest | Highest | Unit |", "|---|---:|---:|---:|---|"]
    for name, figure in found["figures"].items():
        if "median" in figure:
            numbers = " | ".join(_round(figure[key]) for key in ("median", "min", "max"))
            lines.append(f"| {name} | {numbers} | {figure['unit']} |")
    facts = {name: figure for name, figure in found["figures"].items() if "median" not in figure}
    lines.append("")
    for name, figure in facts.items():
        words = ", ".join(f"{key.replace('_', ' ')} {_round(v)}" for key, v in figure.items())
        lines.append(f"- `{name}`: {words}")
    return "\n".join(lines) + "\n"


def _round(value: float) -> str:
    return f"{value:,.2f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
