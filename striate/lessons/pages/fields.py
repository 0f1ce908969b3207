"""The page on receptive fields: a chain of layers, and what one place of a map sees of the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from striate.lessons.fields import Layer, Seen, fields, layers_of, reach
from striate.lessons.pages.parts import Page, button, choice, controls, drawing, rows_table, said, slider
from striate.nets.build import create
from striate.nets.catalog import entry

NETS = {"lenet5_plain": "LeNet-5", "alexnet": "AlexNet", "vgg16": "VGG-16", "vgg19": "VGG-19"}
DILATED = [Layer(f"conv{number}", 3, 1, 2**power, 2**power) for number, power in enumerate((0, 1, 2, 3), 1)]
FIRST, SHOWN, SIDE = "vgg19", 15, 320  # the net and layer shown first; units of the drawings

STYLE = """
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1.2rem 2rem }
.image { fill: var(--well); stroke: var(--line) } .field { fill: rgb(var(--good) / .35); stroke: rgb(var(--good)) }
.centre { fill: rgb(var(--bad)) } .span { fill: rgb(var(--good) / .5) } .whole { fill: var(--well) }
#chain input { width: 3.6rem; font: inherit; color: inherit; background: var(--well); border: 1px solid var(--line);
  border-radius: 6px; text-align: right } #chain tr.on > * { background: rgb(var(--good) / .16) }
"""


def presets() -> dict[str, tuple[int, list[Layer]]]:
    """Image side and layers of each network that the page offers."""
    found = {}
    for name in NETS:
        size = entry(name).input_size
        assert size is not None  # of a classifier of images
        with torch.device("meta"):
            net = create(name)
        found[name] = size[0], layers_of(net, (size[0], size[1]))
    return {**found, "dilated": (32, DILATED)}


def page() -> Page:
    """The page."""
    chains = presets()
    size, layers = chains[FIRST]
    sections = (
        ("see", "What one place sees", _LEAD, _seen(size, layers)),
        ("layers", "Layer by layer", _LAYERS_LEAD, _chain(size, layers)),
    )
    data = {"presets": {name: {"size": side, "layers": chain} for name, (side, chain) in chains.items()}, "side": SIDE}
    lead = "How many pixels of the image one place of a map depends on, and which."
    return Page("Receptive fields", lead, sections, data, "fields", STYLE)


_LEAD = (
    "Left: the image and the field of the chosen place; what lies outside is padding. Right: the same from the side, "
    "one bar for each layer down to the image: the places that take part."
)


def _seen(size: int, layers: Sequence[Layer]) -> str:
    chain = layers[:SHOWN]
    found = fields(chain, size)[-1]
    place = found.output // 2
    asked = controls(
        choice("net", "Network", {**NETS, "dilated": "dilated 3 × 3, d = 1, 2, 4, 8"}, FIRST),
        slider("layer", "Layer", (1, len(layers), 1), SHOWN),
        slider("row", "Row of the map", (0, found.output - 1, 1), place),
        slider("column", "Column of the map", (0, found.output - 1, 1), place),
    )
    square = drawing("field", (SIDE, SIDE), "The image and the receptive field", drawn_field(found, size, place))
    side = drawing("side", (SIDE, SIDE), "The places of each layer that take part", drawn_side(chain, size, place))
    return f'{asked}<div class="pair">{square}{side}</div><p class="said" id="words">{words(found, place)}</p>'


def words(found: Seen, place: int) -> str:
    """What the place in row and column `place` of a layer sees."""
    start = found.first + place * found.jump
    return (
        f"{found.name}: row {place}, column {place} of {found.output} × {found.output} sees {found.field} × "
        f"{found.field} pixels, rows {said(start)} to {said(start + found.field - 1)}, columns {said(start)} to "
        f"{said(start + found.field - 1)}. The next place sees as much, {found.jump} pixels further."
    )


def drawn_field(found: Seen, size: int, place: int) -> str:
    """The image in the middle half of the drawing, the field over it."""
    unit, start = SIDE / (2 * size), found.first + place * found.jump
    x, side = SIDE / 4 + start * unit, found.field * unit
    middle = x + side / 2
    return (
        f'<rect class="image" x="{SIDE / 4}" y="{SIDE / 4}" width="{SIDE / 2}" height="{SIDE / 2}"/>'
        f'<rect class="field" x="{x:.1f}" y="{x:.1f}" width="{side:.1f}" height="{side:.1f}"/>'
        f'<circle class="centre" cx="{middle:.1f}" cy="{middle:.1f}" r="3"/>'
    )


def drawn_side(layers: Sequence[Layer], size: int, place: int) -> str:
    """A bar for the image and each layer, from the bottom up: the whole map, and the places that take part."""
    found = fields(layers, size)
    jumps = [(0.0, 1), *((one.first + (one.field - 1) / 2, one.jump) for one in found)]  # of places' middles
    sides = [size, *(one.output for one in found)]
    unit, height = SIDE / (2 * size), SIDE / (len(layers) + 1)
    parts = []
    for row, (span, (first, jump), side) in enumerate(zip(reach(layers, place), jumps, sides, strict=True)):
        across = f'y="{SIDE - (row + 1) * height + 1:.1f}" height="{max(1.0, height - 2):.1f}"'
        for kind, (start, end) in (("whole", (0, side - 1)), ("span", span)):
            x, width = SIDE / 4 + (first + (start - 0.5) * jump + 0.5) * unit, (end - start + 1) * jump * unit
            parts.append(f'<rect class="{kind}" x="{x:.1f}" width="{width:.1f}" {across}/>')
    return "".join(parts)


_LAYERS_LEAD = (
    "field &larr; field + d (k − 1) jump; jump &larr; jump s; first &larr; first − p jump, beginning with field 1, "
    "jump 1, first 0. Any number can be changed, and layers added or removed."
)


def _chain(size: int, layers: Sequence[Layer]) -> str:
    rows = [
        (layer.name, *map(str, layer[1:]), str(one.output), str(one.field), str(one.jump), said(one.first))
        for layer, one in zip(layers, fields(layers, size), strict=True)
    ]
    head = ("layer", "kernel k", "stride s", "padding p", "dilation d", "map", "field", "jump", "first")
    asked = controls(
        f'<label>Image, pixels a side<br><input type="number" id="size" min="8" max="1024" value="{size}"></label>',
        button("add", "Add a layer"),
        button("remove", "Remove the last"),
    )
    return f'{asked}<p class="quiet" id="problem" role="status"></p>{rows_table(head, rows, "chain")}'
