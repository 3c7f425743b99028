"""Figures -> an SVG that a browser and a README show, by plain text."""

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, LABEL, VALUE, ROW, TITLE = 760, 190, 170, 34, 44
OURS, OTHER, INK, SPREAD = "#2563eb", "#94a3b8", "#334155", "#0f172a"


class Bar(NamedTuple):
    """A median with the least and the greatest that it was found among."""

    name: str
    middle: float
    low: float
    high: float
    note: str = ""
    is_ours: bool = False


def page(panels: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """A title with horizontal bars for each panel, one below the other; all have one scale."""
    longest = max((bar.high for _, bars in panels for bar in bars), default=1)
    scale = (WIDTH - LABEL - VALUE) / longest
    top, drawn = 0, []
    for title, bars in panels:
        drawn.append(_text(8, top + 26, title, size=15))
        top += TITLE
        for bar in bars:
            drawn.append(_bar(top, bar, scale))
            top += ROW
    height = top + 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif">'
    )
    # On white, so that it can be read where the page around it is dark.
    white = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, white, *drawn, "</svg>\n"])


def _bar(top: float, bar: Bar, scale: float) -> str:
    y, low, high = top + ROW / 2, LABEL + bar.low * scale, LABEL + bar.high * scale
    return "\n".join(
        [
            _text(LABEL - 8, y + 5, bar.name, "end"),
            f'<rect x="{LABEL}" y="{top + 6}" width="{bar.middle * scale:.1f}" '
            f'height="{ROW - 12}" rx="2" fill="{OURS if bar.is_ours else OTHER}"/>',
            f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" '
            f'stroke="{SPREAD}" stroke-width="1.5"/>',
            _text(high + 8, y + 5, f"{bar.middle:,.0f}{bar.note}"),
        ]
    )


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
        f'fill="{INK}">{escape(text)}</text>'
    )
