"""The picture of the storage bench: bytes an unlock, and the cost of a batch as users come."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.rates_picture import GREEN, GREY, WIDTH, draw_bars, write_text

if TYPE_CHECKING:
    from bench.storage_growth import Point

HEIGHT: Final = 460
LEFT: Final = 100
RIGHT: Final = WIDTH - 50
TOP: Final = 208
BOTTOM: Final = HEIGHT - 44
TARGET: Final = 1.3
ORANGE: Final = "#b4552d"
NAMES: Final = {
    "ours": "Laurel, with evidence",
    "sketch_without_unique": "sketch, as written",
    "sketch": "sketch, made valid",
}


def draw_storage(
    path: Path, *, bytes_a_row: Mapping[str, float], points: Sequence["Point"]
) -> None:
    bars = [(text, bytes_a_row[name], name == "ours") for name, text in NAMES.items()]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="system-ui, sans-serif" font-size="13" fill="#26332b">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fbfcfb"/>',
        write_text(20, 28, "Bytes of disk an unlock, indexes included", weight="600"),
        *draw_bars(bars, top=44),
        write_text(
            20, TOP - 24, "Cost of an event in the engine's batches, by users, over that of"
            f" {points[0].users:,}", weight="600",
        ),
        *_draw_curve(points),
        "</svg>\n",
    ]  # fmt: skip
    path.write_text("\n".join(parts), encoding="utf-8")


def _draw_curve(points: Sequence["Point"]) -> list[str]:
    """Users grow tenfold by equal steps; each point has the range of its rounds."""
    low, high = (math.log10(points[i].users) for i in (0, -1))
    most = max(TARGET, *(point.growth.highest for point in points)) * 1.05

    def x(users: int) -> float:
        return LEFT + 30 + (RIGHT - LEFT - 60) * (math.log10(users) - low) / ((high - low) or 1)

    def y(ratio: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * ratio / most

    line = " ".join(f"{x(p.users):.1f},{y(p.growth.median):.1f}" for p in points)
    parts = [
        f'<polyline points="{LEFT},{TOP} {LEFT},{BOTTOM} {RIGHT},{BOTTOM}" fill="none"'
        f' stroke="{GREY}"/>',
        f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y(TARGET):.1f}" y2="{y(TARGET):.1f}"'
        f' stroke="{ORANGE}" stroke-dasharray="4 3"/>',
        write_text(LEFT - 8, y(TARGET) + 4, f"at most {TARGET}", anchor="end"),
        write_text(LEFT - 8, y(1) + 4, "1", anchor="end"),
        write_text(LEFT - 8, BOTTOM + 4, "0", anchor="end"),
        f'<polyline points="{line}" fill="none" stroke="{GREEN}" stroke-width="2.5"/>',
    ]
    for point in points:
        at, growth = x(point.users), point.growth
        parts += [
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(growth.lowest):.1f}"'
            f' y2="{y(growth.highest):.1f}" stroke="{GREEN}" stroke-opacity=".45"'
            ' stroke-width="2"/>',
            f'<circle cx="{at:.1f}" cy="{y(growth.median):.1f}" r="4" fill="{GREEN}"/>',
            write_text(at, BOTTOM + 20, _shorten(point.users), anchor="middle"),
            write_text(at + 8, y(growth.median) + 22, f"{growth.median:.2f}"),
        ]
    return parts


def _shorten(users: int) -> str:
    return f"{users / 1e6:g} million" if users >= 1_000_000 else f"{users:,}"
