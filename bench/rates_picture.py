"""A picture of a run's figures: rates as bars, something over time as a curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

WIDTH: Final = 760
HEIGHT: Final = 470
LEFT: Final = 190
BAR: Final = 22
STEP: Final = 34
GREEN: Final = "#3d7a52"
GREY: Final = "#8a938c"


def write_picture(
    path: Path,
    *,
    title: str,
    bars: Sequence[tuple[str, float, bool]],
    curve_title: str,
    curve: Sequence[tuple[float, float]],
) -> None:
    """`bars`: name, a rate, whether it is ours. `curve`: seconds, and what it was then."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="system-ui, sans-serif" font-size="13" fill="#26332b">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fbfcfb"/>',
        write_text(20, 28, title, weight="600"),
        *draw_bars(bars, top=44),
        write_text(20, 252, curve_title, weight="600"),
        *_draw_curve(curve, top=268, bottom=HEIGHT - 36),
        "</svg>\n",
    ]
    path.write_text("\n".join(parts), encoding="utf-8")


def draw_bars(bars: Sequence[tuple[str, float, bool]], *, top: int) -> list[str]:
    longest = max(rate for _, rate, _ in bars)
    parts = []
    for number, (name, rate, is_ours) in enumerate(bars):
        y = top + number * STEP
        width = max(2.0, (WIDTH - LEFT - 110) * rate / longest)
        color = GREEN if is_ours else GREY
        parts.append(write_text(LEFT - 10, y + 16, name, anchor="end"))
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3" fill="{color}"/>'
        )
        parts.append(write_text(LEFT + width + 8, y + 16, f"{rate:,.0f}"))
    return parts


def _draw_curve(curve: Sequence[tuple[float, float]], *, top: int, bottom: int) -> list[str]:
    end, peak = curve[-1][0] or 1.0, max(value for _, value in curve) or 1
    left, right = 80, WIDTH - 40
    points = " ".join(
        f"{left + (right - left) * at / end:.1f},{bottom - (bottom - top) * value / peak:.1f}"
        for at, value in curve
    )
    return [
        f'<polyline points="{left},{top} {left},{bottom} {right},{bottom}" fill="none"'
        f' stroke="{GREY}"/>',
        f'<polyline points="{points}" fill="none" stroke="{GREEN}" stroke-width="2.5"/>',
        write_text(left - 8, top + 10, f"{peak:,.0f}", anchor="end"),
        write_text(left - 8, bottom + 4, "0", anchor="end"),
        write_text(right, bottom + 20, f"{end:.1f} s", anchor="end"),
    ]


def write_text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "400") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{text}</text>'
