"""Puts the last whole run of each bench into the documentation: python -m bench.document.

The tables go between the marks in docs/performance.md. The benches draw their own pictures.
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
NAMES: Final = ("engine", "storage", "pipeline", "display")


def main() -> int:
    found = {name: FOLDER / f"{name}.json" for name in NAMES}
    written = [name for name, path in found.items() if path.exists()]
    for name in written:
        run: dict[str, Any] = json.loads(found[name].read_text(encoding="utf-8"))
        if name == "engine":
            PICTURE.write_text(draw_ratios(run["ratios"]), encoding="utf-8")
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text = write_tables(run)
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(
            marks.sub(lambda m, text=text: m[1] + text + m[2], page),  # type: ignore[misc]
            encoding="utf-8",
        )
    print(f"Written into {PAGE}: {', '.join(written) or 'nothing; run a bench first'}")
    return 0 if written else 1


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
        told = {key: value for key, value in figure.items() if not isinstance(value, list)}
        words = ", ".join(f"{key.replace('_', ' ')} {_round(v)}" for key, v in told.items())
        lines.append(f"- `{name}`: {words}")
    return "\n".join(lines) + "\n"


def _round(value: float) -> str:
    return f"{value:,.2f}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
