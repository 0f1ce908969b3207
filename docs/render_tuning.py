"""Render tuning.svg from the newest record of benchmarks/tune.py: a grid and a random search over two keys."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from records import record

DOCS = Path(__file__).parent
SIDE, MARGIN, BESIDE, FOOT = 230, 64, 56, 46  # of a picture, left of it, of the curves beside it, below it
WIDTH, TOP = MARGIN + SIDE + BESIDE + 20, 34


def row() -> dict[str, Any]:
    """The measured searches."""
    return dict(next(one for one in record("tune")["rows"] if one["what"] == "random search against a grid"))


def rendered() -> str:
    """The drawing: two pictures side by side."""
    found = row()
    height = TOP + BESIDE + SIDE + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {height}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{2 * WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for place, name in enumerate(("grid", "random")):
        parts += picture(found, name, place * WIDTH)
    return "\n".join([*parts, "</svg>"]) + "\n"


def picture(found: dict[str, Any], name: str, left: int) -> list[str]:
    """One search: its points, the curves along both keys, and the values that it tried on them."""
    (low, high), (bottom, top) = found["ranges"]
    across, up = found["along"]
    scores = [one[1] for curve in found["along"] for one in curve] + [one[2] for one in found[name]]
    least, most = min(scores), max(scores)
    x0, y0 = left + MARGIN, TOP + BESIDE

    def x(value: float) -> float:
        return round(x0 + SIDE * math.log(value / low) / math.log(high / low), 1)

    def y(value: float) -> float:
        return round(y0 + SIDE * (1 - (value - bottom) / (top - bottom)), 1)

    def rise(score: float) -> float:
        return round(4 + (BESIDE - 10) * (score - least) / (most - least), 1)

    best = max(found[name], key=lambda one: one[2])
    title = f"{name.capitalize()}: best {100 * best[2]:.1f} %"
    parts = [
        f'<text x="{x0}" y="18" fill="#111111" font-weight="bold">{title}</text>',
        f'<rect x="{x0}" y="{y0}" width="{SIDE}" height="{SIDE}" fill="#f6f6f2" stroke="#cccccc"/>',
    ]
    line = " ".join(f"{x(value)},{y0 - rise(score)}" for value, score in across)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#15717a" stroke-width="1.6"/>')
    line = " ".join(f"{x0 + SIDE + rise(score)},{y(value)}" for value, score in up)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#8250df" stroke-width="1.6"/>')
    for first, second, _ in found[name]:
        parts.append(
            f'<line x1="{x(first)}" y1="{y0 - 5}" x2="{x(first)}" y2="{y0}" stroke="#15717a" stroke-width="1.5"/>'
        )
        end = x0 + SIDE
        parts.append(
            f'<line x1="{end}" y1="{y(second)}" x2="{end + 5}" y2="{y(second)}" stroke="#8250df" stroke-width="1.5"/>'
        )
    for one in found[name]:
        chosen = one is best
        colour, radius = ("#be5026", 6) if chosen else ("#333333", 4)
        parts.append(f'<circle cx="{x(one[0])}" cy="{y(one[1])}" r="{radius}" fill="{colour}"/>')
    below, beside, centre = y0 + SIDE + 16, x0 - 6, (x0 + SIDE / 2, y0 + SIDE / 2)
    powers = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    parts += [text(x(value), below, f"{value:g}") for value in powers]
    parts += [text(beside, y(value) + 4, f"{value:g}", "end") for value in (bottom, (bottom + top) / 2, top)]
    first, second = found["keys"]
    turned = f' transform="rotate(-90 {left + 14} {centre[1]})"'
    return [*parts, text(centre[0], below + 18, first), text(left + 14, centre[1], second, more=turned)]


def text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    """Words at a place."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{more} fill="#444444">{words}</text>'


if __name__ == "__main__":
    (DOCS / "tuning.svg").write_text(rendered(), encoding="utf-8")
