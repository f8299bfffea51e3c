"""Bars in SVG: tokens per second of each method, a panel for each kind of work.

Owns how they look. Knows nothing of where figures come from.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH: Final = 760
LABEL: Final = 210
LINE: Final = 18
BAR: Final = 12
HEAD: Final = 34
OURS: Final = "#2563eb"
PEER: Final = "#9ca3af"


def bars(title: str, panels: Mapping[str, Mapping[str, float]]) -> str:
    """Return a drawing.

    Args:
        title: of all.
        panels: by name, the value of each bar by its label; longest first is drawn.
    """
    parts = [_text(8, 22, title, size=15, is_bold=True)]
    y = 30
    for name, values in panels.items():
        parts += _panel(y, name, values)
        y += HEAD + LINE * len(values)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 8}" '
        f'viewBox="0 0 {WIDTH} {y + 8}" font-family="system-ui, sans-serif">'
    )
    ground = f'<rect width="{WIDTH}" height="{y + 8}" fill="#ffffff"/>'
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def _panel(top: int, name: str, values: Mapping[str, float]) -> list[str]:
    longest = max(values.values(), default=1.0)
    parts = [_text(8, top + 22, name, size=13, is_bold=True)]
    ranked = sorted(values.items(), key=lambda pair: -pair[1])
    for i, (label, value) in enumerate(ranked):
        y = top + HEAD + LINE * i
        width = (WIDTH - LABEL - 70) * value / longest
        color = OURS if label.startswith("ours") else PEER
        parts += [
            _text(LABEL - 6, y + BAR - 2, label, anchor="end"),
            f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{color}"/>',
            _text(LABEL + width + 6, y + BAR - 2, f"{value:,.0f}"),
        ]
    return parts


def _text(
    x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", is_bold: bool = False
) -> str:
    weight = ' font-weight="600"' if is_bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
        f'{weight} fill="#111827">{escape(text)}</text>'
    )
