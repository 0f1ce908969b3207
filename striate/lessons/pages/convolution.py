"""The page on convolution: a stepper, the lectures' worked matrices, and what kernels cost."""

from __future__ import annotations

from striate.lessons.convolution import NUMPY_MODES, convolved, costs, output_size, padded, pooled, stack_cost
from striate.lessons.pages.parts import (
    Page,
    amount,
    board,
    boards,
    button,
    choice,
    controls,
    drawing,
    rows_table,
    said,
    slider,
)

IMAGE = [
    [1, 1, 1, 0, 0, 0],
    [1, 1, 1, 0, 0, 0],
    [1, 1, 2, 0, 0, 0],
    [1, 1, 1, 0, 3, 0],
    [0, 0, 0, 0, 0, 0],
    [0, 2, 0, 0, 1, 1],
]
KERNELS = {
    "vertical edge": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    "horizontal edge": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "sum": [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
}
# The lectures' matrices.
PADDED = [[1, 4, 2, 3], [6, 1, 1, 7], [1, 2, 1, 4], [1, 5, 1, 2]]
POOLED = [[1, 0, 2, 3], [4, 6, 6, 8], [3, 1, 1, 0], [1, 2, 2, 4]]
POOLED_ROUNDED = [[3, 5], [2, 2]]  # what the lecture prints for the mean
SAVED_STATED = 22  # percent, which the lecture states for two 3 x 3 in place of 5 x 5

MODE_WORDS = {
    "zeros": "zeros",
    "replicate": "replicate: the edge again",
    "symmetric": "symmetric: a mirror, the edge twice",
    "reflect": "reflect: a mirror on the edge",
    "circular": "circular: from the other side",
}
PADDING, SIDE, CHANNELS, MAP = 1, 5, 64, 56


def page() -> Page:
    """The page."""
    sections = (
        ("stepper", "One step at a time", _STEPPER_LEAD, _stepper()),
        ("edges", "What lies beyond the edge", _PADDING_LEAD, _paddings()),
        ("pooling", "Pooling", _POOLING_LEAD, _poolings()),
        ("filters", "Filters and maps", _FILTERS_LEAD, _filters()),
        ("cost", "What kernels cost", _COST_LEAD, _costs()),
    )
    data = {
        "image": IMAGE,
        "kernels": KERNELS,
        "examples": {"padding": PADDED, "pooling": POOLED},
    }
    lead = "A window moves over the image; at each place the products of pixels and weights are summed."
    return Page("Convolution", lead, sections, data, "convolution", STYLE)


STYLE = """
#stepper .boards { align-items: flex-start }
#sum { min-height: 3.2em } .steps { display: flex; gap: .5rem } td.place { cursor: pointer }
@media (max-width: 46rem) { #input td { width: auto } #input { width: 100% } }
"""

_STEPPER_LEAD = (
    "S(i, j) = &sum; I(i + m, j + n) K(m, n). Networks do not flip the kernel: this is cross-correlation. "
    "Edit any number; the arrow keys move between the cells."
)


def _stepper() -> str:
    kernel = KERNELS["vertical edge"]
    output = convolved(IMAGE, kernel, padding=PADDING)
    asked = controls(
        choice("operation", "Operation", {"conv": "convolution", "max": "max pooling", "mean": "mean pooling"}, "conv"),
        choice("example", "Image", {"own": "6 × 6", "padding": "padding example", "pooling": "pooling example"}, "own"),
        choice("preset", "Kernel", {name: name for name in KERNELS}, "vertical edge"),
        choice("side", "Size", {str(side): f"{side} × {side}" for side in range(1, 6)}, "3"),
        choice("mode", "Padding", MODE_WORDS, "zeros"),
        slider("padding", "Padding p", (0, 3, 1), PADDING),
        slider("stride", "Stride s", (1, 4, 1), 1),
        slider("dilation", "Dilation d", (1, 3, 1), 1),
    )
    size = output_size(6, 3, padding=PADDING)
    inner = range(PADDING, 6 + PADDING)

    def mark(i: int, j: int) -> str:
        classes = ["pad"] if i not in inner or j not in inner else []
        return " ".join([*classes, *(["on"] if i < 3 and j < 3 else [])])

    shown = boards(
        board(padded(IMAGE, PADDING), "Image with its padding", mark, "input"),
        board(kernel, "Kernel", name="kernel"),
        board(output, "Output", lambda i, j: "on" if i == j == 0 else "", "output"),
    )
    steps = controls(
        f'<span class="steps">{button("back", "Back")}{button("next", "Next")}{button("play", "Play")}</span>'
    )
    first = padded(IMAGE, PADDING)[:3, :3]
    terms = " + ".join(f"{said(float(first[m, n]))}·{_bracketed(kernel[m][n])}" for m in range(3) for n in range(3))
    return (
        f'{asked}<p class="said formula" id="size">output: &lfloor;(6 + 2·{PADDING} − 1·(3 − 1) − 1) / 1&rfloor; + 1 '
        f"= {size}</p>{steps}{shown}"
        f'<p class="said formula" id="sum" aria-live="polite">S(0, 0) = {terms} = {said(float(output[0, 0]))}</p>'
    )


def _bracketed(value: float) -> str:
    return f"({said(value)})" if value < 0 else said(value)


_PADDING_LEAD = (
    "A 4 × 4 matrix with two rows and columns added on each side. The lectures’ symmetric padding repeats the "
    "edge, as <code>numpy.pad</code> does with <code>symmetric</code>; PyTorch has only <code>reflect</code>, which "
    "does not."
)


def _paddings() -> str:
    def mark(i: int, j: int) -> str:
        return "" if 2 <= i < 6 and 2 <= j < 6 else "pad"

    drawn = (
        board(padded(PADDED, 2, mode), f"{MODE_WORDS[mode]}", mark)  # type: ignore[arg-type]
        for mode in NUMPY_MODES
    )
    sizes = rows_table(
        ("", "padding", "output of 6 × 6"),
        [
            ("“valid”, 3 × 3", "0", str(output_size(6, 3))),
            ("“same”, 3 × 3", "1", str(output_size(6, 3, padding=1))),
            ("“same”, 5 × 5", "2", str(output_size(6, 5, padding=2))),
            ("3 × 3, stride 2", "1", str(output_size(6, 3, stride=2, padding=1))),
            ("3 × 3, dilation 2", "2", str(output_size(6, 3, padding=2, dilation=2))),
        ],
    )
    return f"{boards(*drawn)}{sizes}"


_POOLING_LEAD = (
    "2 × 2 windows with stride 2, on each map by itself. The lecture prints the means rounded; the exact ones are "
    "beside them."
)


def _poolings() -> str:
    quarters = ("", "out", "out", "")

    def mark(i: int, j: int) -> str:
        return quarters[2 * (i // 2) + j // 2]

    return boards(
        board(POOLED, "Map", mark),
        board(pooled(POOLED, 2, stride=2, kind="max"), "Maximum", lambda i, j: quarters[2 * i + j]),
        board(pooled(POOLED, 2, stride=2, kind="mean"), "Mean, exact", lambda i, j: quarters[2 * i + j]),
        board(POOLED_ROUNDED, "Mean, as the lecture prints it", lambda i, j: quarters[2 * i + j]),
    )


_FILTERS_LEAD = (
    "A filter is as deep as its input and gives one map; six filters give six, which the next layer’s filters span."
)


def _filters() -> str:
    """32 x 32 x 3 through six filters of 5 x 5 x 3, then ten of 5 x 5 x 6: B10 and B11."""
    sizes = [32, output_size(32, 5), output_size(output_size(32, 5), 5)]
    depths = [3, 6, 10]
    parts, x = [], 14.0
    for place, (size, depth) in enumerate(zip(sizes, depths, strict=True)):
        side, step = size * 3.6, 5.0
        for layer in reversed(range(depth)):
            at = layer * step
            parts.append(
                f'<rect x="{x + at:.1f}" y="{70 - at:.1f}" width="{side:.1f}" height="{side:.1f}" rx="3" '
                f'fill="var(--card)" stroke="var(--t{place})" stroke-width="1.4"/>'
            )
        parts.append(f'<text x="{x:.1f}" y="{90 + side:.1f}">{size} × {size} × {depth}</text>')
        if place < 2:
            middle = x + side + depth * step + 14
            parts.append(f'<text x="{middle:.1f}" y="112">{depths[place + 1]} filters</text>')
            parts.append(f'<text x="{middle:.1f}" y="130">5 × 5 × {depth}</text>')
            parts.append(f'<text x="{middle:.1f}" y="150" style="font-size:18px">→</text>')
            x = middle + 86
    label = f"32 by 32 by 3, six filters give {sizes[1]} by {sizes[1]} by 6, ten filters {sizes[2]} by {sizes[2]} by 10"
    return drawing("volumes", (640, 220), label, "".join(parts)) + _table_of_filters(sizes)


def _table_of_filters(sizes: list[int]) -> str:
    return (
        '<p class="said">Without padding the map shrinks by k − 1 in each layer: '
        f"{' → '.join(f'{size} × {size}' for size in sizes)}. With 1, 6 and 10 filters the depth is 1, 6 and 10.</p>"
    )


_COST_LEAD = (
    "A stack of 3 × 3 convolutions sees as much as one large kernel with fewer weights; N × 1 and 1 × N, or a "
    "depthwise and a 1 × 1 convolution, have fewer still. Twice the channels cost four times as much."
)


def _costs() -> str:
    two, four, five = stack_cost(5, 2), stack_cost(11, 4), stack_cost(11, 5)
    stated = rows_table(
        ("in place of", "weights", "saved", "sees", "the lectures"),
        [
            ("5 × 5: two 3 × 3", f"25 → {two.weights}", f"{two.saved:.0f} %", _sees(two.field), f"{SAVED_STATED} %"),
            ("11 × 11: four 3 × 3", f"121 → {four.weights}", f"{four.saved:.0f} %", _sees(four.field), "70 %"),
            ("11 × 11: five 3 × 3", f"121 → {five.weights}", f"{five.saved:.0f} %", _sees(five.field), "–"),
        ],
        caption="One filter on one map. Four 3 × 3 see only 9 × 9; to see 11 × 11 takes five.",
    )
    asked = controls(
        choice("cost-side", "Kernel", {str(side): f"{side} × {side}" for side in (3, 5, 7, 9, 11)}, str(SIDE)),
        slider("channels", "Channels in and out", (8, 256, 8), CHANNELS),
        slider("map", "Map, pixels a side", (7, 112, 7), MAP),
    )
    found = costs(SIDE, CHANNELS)
    rows = [
        (
            cost.what.replace(" x ", " × "),
            amount(cost.weights),
            amount(cost.weights * MAP * MAP),
            f"{said(cost.saved, 1)} %",
            _sees(cost.field),
        )
        for cost in found
    ]
    computed = rows_table(("layer", "weights", "multiply-adds", "saved", "sees"), rows, "costs")
    wide = costs(SIDE, 2 * CHANNELS)[0]
    widened = (
        f'<p class="said" id="widened">Twice as many channels: {amount(wide.weights * MAP * MAP)} multiply-adds, '
        f"{said(wide.weights / found[0].weights)} times as many.</p>"
    )
    mlp = (
        '<p class="quiet">1 × 1 convolutions are a multilayer perceptron applied at every pixel: each layer of it '
        "costs the last row of the table, 1 / k² of a k × k convolution.</p>"
    )
    return f"{stated}{asked}{computed}{widened}{mlp}"


def _sees(side: int) -> str:
    return f"{side} × {side}"
