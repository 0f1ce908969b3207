"""The page on normalisation: the four cubes, drawn from what the layers compute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from striate.lessons.normalisation import NORMS, Norm, averaged_axes, shared, statistics, statistics_shape
from striate.lessons.pages.parts import Page, choice, controls, drawing, rows_table, said, slider

NAMES: dict[Norm, str] = {
    "batch": "Batch normalisation",
    "layer": "Layer normalisation",
    "instance": "Instance normalisation",
    "group": "Group normalisation",
}
SHAPE = (4, 6, 2, 2)  # N, C, H, W
GROUPS, IMAGE, CHANNEL = 2, SHAPE[0] - 1, SHAPE[1] - 1
BOX = (240, 190)
EDGE = (15.0, 8.7, 17.0)  # of a small cube: half its width, half its depth, its height

STYLE = """
.cubes { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(14rem, 100%), 1fr)); gap: 1rem 1.4rem }
.cubes h3 { margin: 0 } .cubes .quiet { font-size: .86rem }
.cell { fill: var(--well); stroke: var(--muted); stroke-width: .7 } .cell.right { fill: var(--line) }
.cell.on { fill: rgb(var(--good)) } .cell.right.on { fill: rgb(var(--good) / .8) }
.cell.left.on { fill: rgb(var(--good) / .9) }
.cell.this { fill: rgb(var(--bad)) !important }
"""


def example() -> list[list[list[list[int]]]]:
    """The maps whose statistics are shown: small whole numbers, brighter in some channels and images."""
    drawn = np.random.default_rng(3).integers(0, 6, SHAPE)
    shift = 2 * np.arange(SHAPE[0])[:, None, None, None] + np.arange(SHAPE[1])[None, :, None, None]
    found: list[list[list[list[int]]]] = (drawn + shift).tolist()
    return found


def page() -> Page:
    """The page."""
    sections = (
        ("cubes", "What is averaged over", _LEAD, _cubes()),
        ("shapes", "Axes and shapes", _SHAPES_LEAD, _shapes()),
    )
    data = {"maps": example(), "shape": SHAPE, "names": NAMES}
    lead = "Each entry is reduced by a mean and divided by a standard deviation; the kinds differ in whose."
    return Page("Normalisation", lead, sections, data, "normalisation", STYLE)


_LEAD = (
    "A map of N images, C channels and H × W places (upwards). Coloured: the entries that share the mean and deviation "
    "of the marked one, found by the gradient of torch’s layers. The top shows all of them, "
    "as places are always averaged."
)


def _cubes() -> str:
    asked = controls(
        slider("image", "Image n", (0, SHAPE[0] - 1, 1), IMAGE),
        slider("channel", "Channel c", (0, SHAPE[1] - 1, 1), CHANNEL),
        choice("groups", "Groups", {str(groups): str(groups) for groups in (1, 2, 3, 6)}, str(GROUPS)),
    )
    maps = example()
    drawn = []
    for norm in NORMS:
        mask = shared(norm, IMAGE, CHANNEL, SHAPE, GROUPS)
        found = statistics(norm, maps, IMAGE, CHANNEL, GROUPS)
        cube = drawing(norm, BOX, f"Cube of {NAMES[norm]}", cells(lambda n, c, mask=mask: bool(mask[n, c, 0, 0])))  # type: ignore[misc]
        drawn.append(
            f'<div><h3>{NAMES[norm]}</h3>{cube}<p class="quiet" id="{norm}-said">{found.entries} entries: '
            f"&mu; = {said(found.mean)}, &sigma; = {said(found.deviation)}</p></div>"
        )
    return f'{asked}<div class="cubes">{"".join(drawn)}</div>'


def cells(on: Callable[[int, int], bool]) -> str:
    """The faces of a cube that are seen: N to the right, C to the left, places upwards; `on` says what is coloured."""
    images, channels, places = SHAPE[0], SHAPE[1], SHAPE[2] * SHAPE[3]
    half, deep, tall = EDGE
    left, top = 10 + channels * half, 24.0

    def corner(n: float, c: float, z: float) -> str:
        return f"{left + (n - c) * half:.1f},{top + (n + c) * deep + (places - z) * tall:.1f}"

    def cell(kind: str, n: int, c: int, *corners: tuple[float, float, float]) -> str:
        classes = " ".join(
            ["cell", kind, *(["on"] if on(n, c) else []), *(["this"] if (n, c) == (IMAGE, CHANNEL) else [])]
        )
        return f'<polygon class="{classes}" points="{" ".join(corner(*each) for each in corners)}"/>'

    last, end = images - 1, channels - 1
    parts = [
        cell("top", n, c, (n, c, places), (n + 1, c, places), (n + 1, c + 1, places), (n, c + 1, places))
        for n in range(images)
        for c in range(channels)
    ]
    for z in range(places):
        parts += [
            cell("right", last, c, (images, c, z), (images, c + 1, z), (images, c + 1, z + 1), (images, c, z + 1))
            for c in range(channels)
        ]
        parts += [
            cell("left", n, end, (n, channels, z), (n + 1, channels, z), (n + 1, channels, z + 1), (n, channels, z + 1))
            for n in range(images)
        ]
    # The axes stand along the edges of the top and beside the front.
    parts.append(f'<text x="{left + images * half / 2 + 8:.0f}" y="{top + images * deep / 2 - 4:.0f}">N</text>')
    parts.append(f'<text x="{left - channels * half / 2 - 14:.0f}" y="{top + channels * deep / 2 - 4:.0f}">C</text>')
    side = top + (images + channels) * deep + places * tall / 2 - images * deep / 2
    parts.append(f'<text x="{left + images * half + 4:.0f}" y="{side - 20:.0f}">H, W</text>')
    return "".join(parts)


_SHAPES_LEAD = (
    "For maps, and for vectors N × D. Batch normalisation alone depends on the other images: in evaluation it takes "
    "running averages instead."
)


def _shapes() -> str:
    rows = []
    for norm in NORMS:
        axes = averaged_axes(norm, SHAPE, GROUPS)
        named = ", ".join("C in a group" if norm == "group" and axis == "C" else axis for axis in axes)
        letters = dict(zip(SHAPE, "NCHW", strict=False))  # H and W have one size
        shape = statistics_shape(norm, SHAPE, GROUPS)
        words = " × ".join(
            "G" if norm == "group" and place == 1 else "1" if side == 1 else letters[side]
            for place, side in enumerate(shape)
        )
        vectors = {"batch": "1 × D", "layer": "N × 1"}.get(norm, "–")
        rows.append((NAMES[norm], named, words, vectors, "yes" if "N" in axes else "no"))
    head = ("", "averaged over", "&mu;, &sigma; of maps", "of vectors", "depends on the batch")
    return rows_table(head, rows)
