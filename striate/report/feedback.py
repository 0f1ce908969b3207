"""A process with feedback as SVG: boxes in a row, a box aside, and the way back to the first."""

from __future__ import annotations

from striate.report.wording import text
from striate.sections import Box, Feedback

WIDTH, HEIGHT, GAP, ROW, LOW = 150, 50, 112, 78, 176  # of a box, between boxes, and where the two rows are

CSS = """
.feedback { overflow-x: auto } .feedback svg { display: block; min-width: 34rem; width: 100%; max-width: 60rem }
.feedback rect { fill: var(--well); stroke: rgb(var(--good)); stroke-width: 1.5 }
.feedback text { font-size: 13px; fill: var(--ink); text-anchor: middle }
.feedback .detail, .feedback .name { font-size: 11px; fill: var(--muted) }
.feedback path { fill: none; stroke: var(--muted); stroke-width: 1.5 }
.feedback path.tip { fill: var(--muted); stroke: none }
"""


def feedback(block: Feedback) -> str:
    """The boxes in a row, the one aside below it, arrows with their names, and an arrow back above the row."""
    number = len(block.boxes)
    left = [place * (WIDTH + GAP) + 2 for place in range(number)]
    centres = [x + WIDTH / 2 for x in left]
    parts = [_box(box, x, ROW) for box, x in zip(block.boxes, left, strict=True)]
    for place in range(number - 1):
        start, end = left[place] + WIDTH, left[place + 1]
        parts.append(_arrow(f"M{start} {ROW}H{end - 6}", end, ROW, "right"))
        parts.append(_name(block.names[place], (start + end) / 2, ROW - 8))
    top = 22
    back = f"M{centres[-1]:.0f} {ROW - HEIGHT / 2}V{top}H{centres[0]:.0f}V{ROW - HEIGHT / 2 - 6}"
    parts.append(_arrow(back, centres[0], ROW - HEIGHT / 2, "down"))
    parts.append(_name(block.names[-1], (centres[0] + centres[-1]) / 2, top - 7))
    middle = (left[1] + WIDTH + left[-1]) / 2 - WIDTH / 2
    parts.append(_box(block.aside, middle, LOW))
    parts.append(_arrow(f"M{centres[1]:.0f} {ROW + HEIGHT / 2}V{LOW}H{middle - 6:.0f}", middle, LOW, "right"))
    up = f"M{middle + WIDTH:.0f} {LOW}H{centres[-1]:.0f}V{ROW + HEIGHT / 2 + 6}"
    parts.append(_arrow(up, centres[-1], ROW + HEIGHT / 2, "up"))
    parts.append(_name(block.aside_name, (middle + WIDTH + centres[-1]) / 2, LOW - 8))
    width, height = left[-1] + WIDTH + 2, LOW + HEIGHT / 2 + 4
    return (
        f'<div class="feedback"><svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{text(block.label)}">'
        f"{''.join(parts)}</svg></div>"
    )


def _box(box: Box, x: float, y: float) -> str:
    centre = x + WIDTH / 2
    label = f'<text x="{centre:.0f}" y="{y - 2 if box.detail else y + 5:.0f}">{text(box.label)}</text>'
    detail = f'<text class="detail" x="{centre:.0f}" y="{y + 15:.0f}">{text(box.detail)}</text>' if box.detail else ""
    frame = f'<rect x="{x:.0f}" y="{y - HEIGHT / 2:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
    return f"{frame}{label}{detail}"


def _arrow(path: str, x: float, y: float, to: str) -> str:
    tips = {"right": "l-8 -4v8z", "down": "l-4 -8h8z", "up": "l-4 8h8z"}
    return f'<path d="{path}"/><path class="tip" d="M{x:.0f} {y:.0f}{tips[to]}"/>'


def _name(name: str, x: float, y: float) -> str:
    return f'<text class="name" x="{x:.0f}" y="{y:.0f}">{text(name)}</text>'
