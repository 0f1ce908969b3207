"""The page on compound scaling: the figure, sliders for the factors, the scaled stages, and B0 to B7 as published."""

from __future__ import annotations

from typing import Any

from striate.lessons.pages.parts import Page, amount, button, controls, drawing, rows_table, said, slider
from striate.lessons.scaling import CLASSES, Factors, counts, factors, scaled_stages
from striate.nets.catalog import entry
from striate.nets.efficientnet import DEPTH_BASE, RESOLUTION_BASE, ROWS, SCALE_ROWS, WIDTH_BASE

PHI = 3
BASE_SIDE = ROWS[0].resolution
CELL, FOOT = 100, 150  # of the figure: the width of one net, and where the images stand
BARS, BAR, GAP, WIDE, IMAGE = 4, 9, 4, 34, 22
STYLE = ".bar { stroke: none } #nets text { font-size: 18px } #scaled th { white-space: nowrap }"
PARTS = ("(a)", "(b)", "(c)", "(d)", "(e)")


def page() -> Page:
    """The page."""
    sections = (
        ("figure", "One direction, or three", _FIGURE_LEAD, _figure()),
        ("stages", "The scaled network", _STAGES_LEAD, _stages()),
        ("published", "EfficientNet-B0 to B7 as published", _PUBLISHED_LEAD, _published()),
    )
    data: dict[str, Any] = {
        "rows": [[row.operator, row.expansion, row.kernel, row.resolution, row.channels, row.layers] for row in ROWS],
        "classes": CLASSES,
        "bases": [DEPTH_BASE, WIDTH_BASE, RESOLUTION_BASE],
        "scales": [[scale.net, scale.width, scale.depth, scale.resolution] for scale in SCALE_ROWS],
        "parts": PARTS,
    }
    lead = "Depth, width and resolution of a network grow together, each by a base to the power of φ."
    return Page("Compound scaling", lead, sections, data, "scaling", STYLE)


_FIGURE_LEAD = (
    "depth d = &alpha;<sup>φ</sup>, width w = &beta;<sup>φ</sup>, resolution r = &gamma;<sup>φ</sup>. The cost grows "
    "with d w² r², so with (&alpha; &beta;² &gamma;²)<sup>φ</sup>; the paper asks for about 2 at φ = 1."
)


def _figure() -> str:
    found = factors(PHI)
    asked = controls(
        slider("phi", "φ", (0, 7, 0.5), PHI),
        slider("alpha", "&alpha;, depth", (1, 2, 0.01), DEPTH_BASE),
        slider("beta", "&beta;, width", (1, 1.5, 0.01), WIDTH_BASE),
        slider("gamma", "&gamma;, resolution", (1, 1.5, 0.01), RESOLUTION_BASE),
        button("reset", "The paper’s bases"),
    )
    product = factors(1).cost
    return (
        f"{asked}{drawing('nets', (5 * CELL, FOOT + 30), _LABEL, drawn(found), '34rem')}"
        '<p class="quiet">(a) the baseline, (b) wider, (c) deeper, (d) with a larger image, (e) all three. '
        "Bars are layers, squares are images.</p>"
        f'<p class="said" id="product">&alpha; &beta;² &gamma;² = {product:.3f}; d = {said(found.depth)}, '
        f"w = {said(found.width)}, r = {said(found.resolution)}: {said(found.cost)} times the multiply-adds</p>"
    )


_LABEL = "Five networks: the baseline, wider, deeper, with a larger image, and all three at once"


def drawn(found: Factors) -> str:
    """The five nets as SVG: bars are layers, as long as they are wide; the square is the image."""
    one = (1.0, 1.0, 1.0)
    nets = [
        one,
        (1.0, found.width, 1.0),
        (found.depth, 1.0, 1.0),
        (1.0, 1.0, found.resolution),
        (found.depth, found.width, found.resolution),
    ]
    parts = []
    for place, (depth, width, resolution) in enumerate(nets):
        middle, side = CELL * place + CELL / 2, IMAGE * resolution
        parts.append(
            f'<rect x="{middle - side / 2:.1f}" y="{FOOT - side:.1f}" width="{side:.1f}" height="{side:.1f}" '
            'fill="none" stroke="var(--t1)" stroke-width="2"/>'
        )
        for layer in range(round(BARS * depth)):
            length, y = WIDE * width, FOOT - side - 10 - layer * (BAR + GAP) - BAR
            parts.append(
                f'<rect class="t0 bar" x="{middle - length / 2:.1f}" y="{y:.1f}" width="{length:.1f}" '
                f'height="{BAR}" rx="2"/>'
            )
        parts.append(f'<text x="{middle:.1f}" y="{FOOT + 20}" text-anchor="middle">{PARTS[place]}</text>')
    return "".join(parts)


_STAGES_LEAD = (
    "B0’s stages at this φ: channels rounded to multiples of 8 (never more than a tenth down), layers rounded up, "
    "resolution to the nearest pixel."
)


def _stages() -> str:
    found = factors(PHI)
    side = round(BASE_SIDE * found.resolution)
    rows = [
        (
            f"{row.stage} {stage.operator}, {stage.kernel} × {stage.kernel}",
            f"{row.channels} → {stage.channels}",
            f"{row.layers} → {stage.layers}",
        )
        for row, stage in zip(ROWS, scaled_stages(found.width, found.depth), strict=True)
    ]
    base, grown = counts(1, 1, BASE_SIDE), counts(found.width, found.depth, side)
    words = (
        f"{side} × {side} pixels, {amount(grown.parameters)} parameters, {amount(grown.madds)} multiply-adds: "
        f"{said(grown.madds / base.madds)} times B0’s, where the formula says {said(found.cost)}: "
        "channels and layers are rounded."
    )
    return f'{rows_table(("stage", "channels", "layers"), rows, "scaled")}<p class="said" id="counted">{words}</p>'


_PUBLISHED_LEAD = (
    "In brackets, of width, depth and resolution: equation 3 with the number as φ. The paper prints no φ for its "
    "networks; B2 is equation 3 with φ = 1. Parameters and multiply-adds are counted, in brackets what the "
    "paper states."
)


def _published() -> str:
    rows = []
    for phi, scale in enumerate(SCALE_ROWS):
        known, pure = entry(f"efficientnet_{scale.net}"), factors(phi)
        stated = {key: value for key, value in known.published.items() if isinstance(value, int | float)}
        rows.append(
            (
                scale.net.upper(),
                f"{said(scale.width)} ({said(pure.width, 2)})",
                f"{said(scale.depth)} ({said(pure.depth, 2)})",
                f"{scale.resolution} ({round(BASE_SIDE * pure.resolution)})",
                f"{said(known.parameters / 1e6, 2)} M ({said(stated['parameters'] / 1e6, 1)} M)",
                f"{said(known.madds / 1e9, 2)} G ({said(stated['madds'] / 1e9, 2)} G)",
                f"{said(stated['error'], 1)} %",
            )
        )
    head = ("net", "width", "depth", "resolution", "parameters", "multiply-adds", "top-1 error")
    return rows_table(head, rows)
