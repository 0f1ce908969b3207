"""Charts for pages: the report's own, drawn anew, and a sparkline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from striate.report.blocks import Page, block
from striate.report.curves import learning_curves
from striate.report.thumbnails import Album

WIDTH, HEIGHT = 96, 24


def curves(epochs: Sequence[Mapping[str, Any]]) -> Markup:
    """The learning curves of a run, as its report draws them."""
    return Markup("".join(block(chart, Page(Album())) for chart in learning_curves(epochs)))


def sparkline(points: Sequence[float]) -> Markup:
    """A small curve; "" for fewer than two points."""
    if len(points) < 2:
        return Markup("")
    low, high = min(points), max(points)
    across, up = (WIDTH - 4) / (len(points) - 1), (HEIGHT - 4) / ((high - low) or 1.0)
    drawn = " ".join(f"{2 + place * across:.1f},{HEIGHT - 2 - (value - low) * up:.1f}"
                     for place, value in enumerate(points))  # fmt: skip
    line = f'<polyline points="{drawn}"/>'
    return Markup(f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">{line}</svg>')
