"""A block drawn as SVG: boxes, the lines between them, branches that part and join, shortcuts as arcs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from striate.report.net.content import Block, Box
from striate.report.net.layout import ARC, FORK, Branches, Chain, Single, Size, laid_out, lane_lines, placed
from striate.report.wording import text

TONES = {
    "convolution": "convolution",
    "depthwise": "depthwise convolution",
    "pooling": "pooling",
    "linear": "linear layer",
    "norm": "normalisation, activation",
    "other": "other layer",
}

CSS = """
.block svg { display: block; max-width: none; height: auto }
.block text { font-size: 12.5px; fill: var(--ink); text-anchor: middle }
.block text.under { font-size: 11px; fill: var(--muted) }
.block .wire { fill: none; stroke: var(--muted); stroke-width: 1.4 }
.block .arc { stroke: rgb(var(--bad)); stroke-width: 1.8 }
.block .head { fill: var(--muted); stroke: none } .block .head.arc { fill: rgb(var(--bad)); stroke: none }
.block rect, .block circle { stroke-width: 1.2; stroke: var(--muted); fill: var(--card) }
.block .convolution { stroke: var(--t0); fill: color-mix(in srgb, var(--t0) 16%, var(--card)) }
.block .depthwise { stroke: var(--t5); fill: color-mix(in srgb, var(--t5) 18%, var(--card)) }
.block .pooling { stroke: var(--t3); fill: color-mix(in srgb, var(--t3) 18%, var(--card)) }
.block .linear { stroke: var(--t2); fill: color-mix(in srgb, var(--t2) 16%, var(--card)) }
.block .other { stroke: var(--t4); fill: color-mix(in srgb, var(--t4) 14%, var(--card)) }
.block .norm { stroke: var(--line); fill: var(--well) }
.tones { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; color: var(--muted); font-size: .82rem }
.tones i { display: inline-block; width: 13px; height: 13px; border-radius: 3px; border: 1px solid var(--muted);
  margin-right: .45em; vertical-align: -.12em }
.tones .convolution { background: color-mix(in srgb, var(--t0) 40%, var(--card)) }
.tones .depthwise { background: color-mix(in srgb, var(--t5) 40%, var(--card)) }
.tones .pooling { background: color-mix(in srgb, var(--t3) 40%, var(--card)) }
.tones .linear { background: color-mix(in srgb, var(--t2) 40%, var(--card)) }
.tones .other { background: color-mix(in srgb, var(--t4) 40%, var(--card)) } .tones .norm { background: var(--well) }
.tones .shortcut { height: 0; border: 0; border-top: 2px solid rgb(var(--bad)); vertical-align: .25em; width: 18px }
"""

_TALL, _DISC, _ENDS, _MARGIN = 40.0, 11.0, 16.0, 5.0


ARC_MARK = 'class="wire arc"'  # in a drawing that has a shortcut


def key(blocks: Sequence[Block], arcs: bool) -> str:
    """What the tones mean, for those that occur; `arcs`: whether there are shortcuts."""
    used = {box.tone for block in blocks for box in block.boxes}
    words = [f'<span><i class="{tone}"></i>{said}</span>' for tone, said in TONES.items() if tone in used]
    words += ['<span><i class="shortcut"></i>shortcut</span>'] if arcs else []
    return f'<div class="tones">{"".join(words)}</div>'


def drawn(block: Block) -> str:
    """The block as an SVG element with the size it needs, so that letters are as large in every drawing."""
    sizes = {box.number: _size(box) for box in block.boxes}
    chain = laid_out(block.boxes, sizes)
    line = _MARGIN + chain.size.above
    width = chain.size.width + 2 * _ENDS
    height = line + chain.size.below + _MARGIN
    boxes = {box.number: box for box in block.boxes}
    inside = "".join(_chain(chain, _ENDS, line, boxes))
    ends = _wire(0, _ENDS, line, isinstance(chain.parts[0], Single)) + _wire(width - _ENDS, width, line, True)
    label = text(", ".join(f"{box.label} {box.detail}".strip() for box in block.boxes))
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{label}">{ends}{inside}</svg>'
    )


def _size(box: Box) -> Size:
    """Letters are not measured but reckoned, generously."""
    if box.tone == "join" and len(box.label) == 1:
        room = max(2 * _DISC, 6.0 * len(box.detail))
        return Size(room, _DISC, _DISC + (15 if box.detail else 0))
    room = max(6.7 * len(box.label), 5.8 * len(box.detail)) + 16
    half = _TALL / 2 if box.detail else _TALL / 3
    return Size(max(44.0, room), half, half)


def _chain(chain: Chain, x: float, y: float, boxes: Mapping[int, Box]) -> Iterator[str]:
    """The parts from x on, along the line y, and what links them."""
    stands = list(placed(chain.parts, x))
    for (left, at), (right, further) in itertools.pairwise(stands):
        if isinstance(left, Single) and isinstance(right, Single):
            yield _wire(*_facing(left, at, right, further, boxes), y, True)
    for part, at in stands:
        if isinstance(part, Single):
            yield _box(boxes[part.number], at, y, part.size)
        else:
            yield from _branches(part, at, y, boxes)
    begins, ends = [begin for _, begin in stands], [begin + part.size.width for part, begin in stands]
    for source, target in chain.skips:
        start = x - 4 if source < 0 else ends[source] - 8
        end = x + chain.size.width + 4 if target >= len(stands) else begins[target] + 8
        yield _arc(start, end, y - _rise(chain, target - source), y)


def _facing(left: Single, start: float, right: Single, begin: float, boxes: Mapping[int, Box]) -> tuple[float, float]:
    """From where to where a line goes between two boxes; a disc may be narrower than the words under it."""
    return start + left.size.width - _slack(boxes[left.number], left.size), begin + _slack(
        boxes[right.number], right.size
    )


def _slack(box: Box, size: Size) -> float:
    return size.width / 2 - _DISC if box.tone == "join" and len(box.label) == 1 else 0.0


def _rise(chain: Chain, parts: int) -> float:
    """How high an arc over so many parts goes."""
    return max(part.size.above for part in chain.parts) + ARC * parts / 2


def _branches(branches: Branches, x: float, y: float, boxes: Mapping[int, Box]) -> Iterator[str]:
    right = x + branches.size.width
    for lane, line in zip(branches.lanes, lane_lines(branches, y), strict=True):
        # Lanes begin together, and wait at the right for the longest.
        begin, end = x + FORK, x + FORK + lane.size.width
        yield _bend(x, y, begin, line)
        yield f'<path class="wire" d="M{end:.1f} {line:.1f}H{right - FORK:.1f}"/>'
        yield _bend(right - FORK, line, right, y)
        yield from _chain(lane, begin, line, boxes)
    if branches.shortcut:
        yield _arc(x, right, y - branches.size.above + ARC / 4, y)


def _wire(start: float, end: float, y: float, arrow: bool) -> str:
    tip = f'<path class="head" d="M{end:.1f} {y:.1f}l-6 -3.5v7z"/>' if arrow else ""
    return f'<path class="wire" d="M{start:.1f} {y:.1f}H{end - (5 if arrow else 0):.1f}"/>{tip}'


def _bend(x: float, y: float, to_x: float, to_y: float) -> str:
    """A soft step from one line to another."""
    half = (x + to_x) / 2
    return f'<path class="wire" d="M{x:.1f} {y:.1f}C{half:.1f} {y:.1f} {half:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"/>'


def _arc(left: float, right: float, top: float, y: float) -> str:
    """Over the boxes between: up, across, and down into the join."""
    bend = min(14.0, (right - left) / 3)
    return (
        f'<path {ARC_MARK} d="M{left:.1f} {y:.1f}C{left + bend:.1f} {y:.1f} {left:.1f} {top:.1f} '
        f"{left + 2 * bend:.1f} {top:.1f}H{right - 2 * bend:.1f}C{right:.1f} {top:.1f} {right - bend:.1f} {y:.1f} "
        f'{right:.1f} {y:.1f}"/>'
    )


def _box(box: Box, x: float, y: float, size: Size) -> str:
    middle = x + size.width / 2
    if box.tone == "join" and len(box.label) == 1:
        under = f'<text class="under" x="{middle:.1f}" y="{y + _DISC + 12:.1f}">{text(box.detail)}</text>'
        wires = f'<path class="wire" d="M{x:.1f} {y:.1f}H{x + size.width:.1f}"/>'
        disc = f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="{_DISC:g}"/>'
        return f'{wires}{disc}<text x="{middle:.1f}" y="{y + 4.5:.1f}">{text(box.label)}</text>{under}'
    frame = (
        f'<rect class="{text(box.tone)}" x="{x:.1f}" y="{y - size.above:.1f}" width="{size.width:.1f}" '
        f'height="{size.above + size.below:.1f}" rx="7"/>'
    )
    if not box.detail:
        return f'{frame}<text x="{middle:.1f}" y="{y + 4.3:.1f}">{text(box.label)}</text>'
    return (
        f'{frame}<text x="{middle:.1f}" y="{y - 4:.1f}">{text(box.label)}</text>'
        f'<text class="under" x="{middle:.1f}" y="{y + 12:.1f}">{text(box.detail)}</text>'
    )
