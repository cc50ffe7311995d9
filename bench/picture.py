"""Draws the ratios of a run as an SVG: each bar beside the line that it has to reach."""

from typing import Any, Final
from xml.sax.saxutils import escape

LABELS: Final = {
    "growth_60_to_500": "cost of an event, 500 achievements over 60",
    "rules_vs_closure_loop_500": "500 achievements over a loop of closures",
    "engine_vs_bare_sql": "batch of the engine over its bare SQL",
    "engine_vs_orm_per_event": "engine over one ORM transaction an event",
    "celery_vs_task_per_event": "Celery worker over one task an event",
    "ready_bytes_vs_drf": "ready bytes over an uncached DRF read",
}
WIDTH: Final = 760
ROW: Final = 46
LEFT: Final = 320
SPAN: Final = 290  # of a bar that just reaches twice its target


def draw_ratios(ratios: dict[str, dict[str, Any]]) -> str:
    """Return the picture; the scale of each row is its own target."""
    height = 40 + ROW * len(ratios)
    rows = [_draw_row(number, name, ratio) for number, (name, ratio) in enumerate(ratios.items())]
    line = LEFT + SPAN / 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
            ' font-family="system-ui, sans-serif" font-size="13">',
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            *rows,
            f'<line x1="{line}" x2="{line}" y1="24" y2="{height - 8}" stroke="#b4552d"'
            ' stroke-dasharray="4 3"/>',
            f'<text x="{line}" y="17" text-anchor="middle" fill="#b4552d">target</text>',
            "</svg>\n",
        ]
    )


def _draw_row(number: int, name: str, ratio: dict[str, Any]) -> str:
    bound, target = ratio["target"].split()
    scale = SPAN / 2 / float(target)
    width, low, high = (min(SPAN, ratio[key] * scale) for key in ("value", "min", "max"))
    y = 34 + ROW * number
    fill = "#3f7d54" if ratio["is_reached"] else "#b4552d"
    words = f"{ratio['value']:.2f}" if ratio["value"] < 10 else f"{ratio['value']:.1f}"
    return "\n".join(
        [
            f'<text x="{LEFT - 12}" y="{y + 17}" text-anchor="end">{escape(LABELS[name])}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="24" rx="3" fill="{fill}"/>',
            f'<line x1="{LEFT + low:.1f}" x2="{LEFT + high:.1f}" y1="{y + 12}" y2="{y + 12}"'
            ' stroke="#1c2b22" stroke-opacity=".55" stroke-width="2"/>',
            f'<text x="{LEFT + SPAN + 12}" y="{y + 17}">{words} <tspan fill="#667">'
            f"({'at least' if bound == '>=' else 'at most'} {target})</tspan></text>",
        ]
    )
