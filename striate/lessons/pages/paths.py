"""The page on residual networks as a sum over paths: the unravelled view, lengths of paths, and lesions if given."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from striate.lessons.pages.parts import Page, choice, controls, drawing, rows_table, said, slider, tick
from striate.lessons.paths import MOST_BLOCKS, Path, all_paths, expanded, length_shares, output, share_between

FACTORS = (0.5, -0.2, 0.3, 0.1)
SHOWN, INPUT = 3, 1.0
BLOCKS, SHORTEST, LONGEST = 54, 5, 17  # ResNet-110, and the paths that Veit et al. found to carry the gradient
WIDE, ROW, LEFT = 360, 26, 62  # of the unravelled drawing
CHART, WIDEST = (360, 150), "31rem"

STYLE = """
.line { stroke: var(--muted); stroke-width: 1.2; fill: none } .box { stroke-width: 1.4 }
#unravelled .gone { opacity: .18 }
#unravelled .box { fill: var(--card) } #unravelled text, #chart text { font-size: 14px }
.bar { fill: var(--muted); stroke: none; opacity: .55 }
.bar.on { fill: rgb(var(--good)); opacity: 1 } #formula { overflow-wrap: anywhere }
.lesion { fill: rgb(var(--good) / .7) } .whole { stroke: rgb(var(--bad)); stroke-dasharray: 4 4; stroke-width: 1.4 }
"""


def page(lesions: Mapping[str, float] | None = None) -> Page:
    """The page. lesions: accuracy (0 to 1) without each block, and of the whole net as "none"; None leaves them out."""
    sections = [
        ("unravel", "The unravelled view", _UNRAVEL_LEAD, _unravelled()),
        ("lengths", "How long the paths are", _LENGTHS_LEAD, _lengths()),
    ]
    if lesions:
        sections.append(("lesions", "One block removed", _LESIONS_LEAD, _lesions(lesions)))
    data: dict[str, Any] = {"factors": FACTORS, "input": INPUT}
    lead = "A block adds to what passes by it. Multiplied out, n blocks in a row are a sum over 2ⁿ paths."
    return Page("Paths of residual networks", lead, sections, data, "paths", STYLE)


_UNRAVEL_LEAD = (
    "Blocks that multiply by a number each, f(y) = w y, so that every path has a value. A removed block leaves its "
    "shortcut: half of the paths go, the others stay as they are."
)


def _unravelled() -> str:
    numbers = range(1, MOST_BLOCKS + 1)
    asked = controls(
        choice("blocks", "Blocks", {str(count): str(count) for count in numbers}, str(SHOWN)),
        *(slider(f"w{number}", f"w{number}", (-1, 1, 0.1), FACTORS[number - 1]) for number in numbers),
        *(tick(f"gone{number}", f"f{number} removed") for number in numbers),
    )
    factors = FACTORS[:SHOWN]
    found = all_paths(INPUT, factors)
    label = f"{len(found)} paths through {SHOWN} blocks"
    view = drawing("unravelled", (WIDE, ROW * 2**SHOWN + 20), label, drawn(found, SHOWN), WIDEST)
    total = f"1 + {' + '.join(said(path.value) for path in found[1:])}".replace("+ \u2212", "\u2212 ")
    words = f"The sum over the paths: {total} = {said(output(INPUT, factors), 4)}, the output of the blocks in a row."
    return (
        f'{asked}<p class="said formula" id="formula">{expanded(SHOWN)}</p>{view}<p class="said" id="total">{words}</p>'
    )


def drawn(paths: Sequence[Path], blocks: int) -> str:
    """A line for each path, with a box for each block it goes through, and its value at the end."""
    step = (WIDE - LEFT - 66) / blocks
    parts = []
    for row, path in enumerate(paths):
        y = ROW * row + ROW / 2 + 10
        parts.append(f'<line class="line" x1="{LEFT - 4}" y1="{y:.0f}" x2="{WIDE - 62}" y2="{y:.0f}"/>')
        for number in path.blocks:
            x = LEFT + (number - 1) * step + 8
            parts.append(
                f'<rect class="box t{number - 1}" x="{x:.1f}" y="{y - 10:.0f}" width="40" height="20" rx="5"/>'
                f'<text x="{x + 20:.1f}" y="{y + 4:.0f}" text-anchor="middle">f{number}</text>'
            )
        parts.append(f'<text x="{WIDE - 4}" y="{y + 4:.0f}" text-anchor="end">{said(path.value, 4)}</text>')
    middle = ROW * len(paths) / 2 + 14
    parts.append(f'<text x="2" y="{middle:.0f}">y0 = {said(INPUT)}</text>')
    return "".join(parts)


_LENGTHS_LEAD = (
    "Of n blocks, the paths through k of them are n over k: a binomial distribution. Most paths are of middle "
    "length, but the gradient comes through short ones: Veit and others found 5 to 17 blocks of 54 to carry "
    "almost all of it."
)


def _lengths() -> str:
    asked = controls(
        slider("n", "Blocks n", (1, 110, 1), BLOCKS),
        slider("shortest", "from", (0, BLOCKS, 1), SHORTEST),
        slider("longest", "to", (0, BLOCKS, 1), LONGEST),
    )
    shares = length_shares(BLOCKS)
    width, unit = CHART[0] / len(shares), (CHART[1] - 26) / max(shares)
    bars = "".join(
        f'<rect class="bar{" on" if SHORTEST <= length <= LONGEST else ""}" x="{length * width + 0.5:.2f}" '
        f'y="{CHART[1] - 22 - max(share * unit, 0.6):.2f}" width="{max(width - 1, 1):.2f}" '
        f'height="{max(share * unit, 0.6):.2f}"/>'
        for length, share in enumerate(shares)
    )
    low = CHART[1] - 4
    marks = f'<text x="0" y="{low}">0</text><text x="{CHART[0]}" y="{low}" text-anchor="end">{BLOCKS}</text>'
    share = share_between(BLOCKS, SHORTEST, LONGEST)
    words = f"Paths through {SHORTEST} to {LONGEST} of {BLOCKS} blocks: {100 * share:.4f} % of 2^{BLOCKS} paths."
    chart = drawing("chart", CHART, "Share of paths of each length", bars + marks, WIDEST)
    return f'{asked}{chart}<p class="said" id="share">{words}</p>'


_LESIONS_LEAD = "Accuracy of a trained network without one block, its shortcut left; dashed: of the whole network."


def _lesions(lesions: Mapping[str, float]) -> str:
    rows = [(name, value) for name, value in lesions.items() if name != "none"]
    whole, width, high = lesions["none"], CHART[0] / max(1, len(rows)), CHART[1] - 10
    bars = "".join(
        f'<rect class="lesion" x="{place * width + 1:.2f}" y="{CHART[1] - value * high:.2f}" '
        f'width="{max(width - 2, 1):.2f}" height="{value * high:.2f}">'
        f"<title>{html.escape(name)}: {100 * value:.1f} %</title></rect>"
        for place, (name, value) in enumerate(rows)
    )
    y = CHART[1] - whole * high
    line = f'<line class="whole" x1="0" x2="{CHART[0]}" y1="{y:.1f}" y2="{y:.1f}"/>'
    listed = rows_table(
        ("block removed", "accuracy", "lost"),
        [
            (html.escape(name), f"{100 * value:.1f} %", f"{said(100 * (whole - value), 1)} points")
            for name, value in rows
        ],
    )
    chart = drawing("removed", CHART, "Accuracy without each block", bars + line, WIDEST)
    summary = f"{len(rows)} blocks; the whole network {100 * whole:.1f} %"
    return f"{chart}<details><summary>{summary}</summary>{listed}</details>"
