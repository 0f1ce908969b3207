"""From the facts about a network to its page: pictures, and a section for each part."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from striate.pixels import Images
from striate.report.page import render
from striate.sections import (
    Axis,
    Bar,
    Block,
    Column,
    Fact,
    Grid,
    Headline,
    Line,
    Lines,
    Listing,
    MapPicture,
    MapPictures,
    Report,
    Section,
    Step,
    Table,
    Text,
)
from striate.sections.wording import counted, percent, quantity

SHADES = 12  # of a loss surface
Facts = Mapping[str, Any]


def pictures(found: Facts, tiles: Images | None, crops: Images | None) -> dict[str, Images]:
    """The figures that are pictures, by name: "filters", "patches-STAGE", "surface"."""
    shown: dict[str, Images] = {}
    if tiles is not None:
        shown["filters"] = mosaic(list(_larger(tiles, 8)), math.ceil(math.sqrt(1.5 * len(tiles))))
    for stage in found.get("patches", ()):
        assert crops is not None
        rows = [[_cut(crops[patch["image"]], patch["box"]) for patch in unit] for unit in stage["patches"]]
        shown[f"patches-{stage['stage']}"] = mosaic([one for row in rows for one in row], len(rows[0]))
    if "surface" in found:
        shown["surface"] = _shaded(np.array(found["surface"]["losses"]))
    return shown


def mosaic(tiles: Sequence[Images], columns: int) -> Images:
    """Pictures of any size, RGB, in rows of `columns`, each in a cell as large as the largest one."""
    height, width = (max(tile.shape[axis] for tile in tiles) + 2 for axis in range(2))
    rows = math.ceil(len(tiles) / columns)
    canvas = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        top, left = row * height + 1, column * width + 1
        canvas[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return canvas


def _larger(tiles: Images, times: int) -> Images:
    """Pixels as squares: small filters would be blurred."""
    larger: Images = np.repeat(np.repeat(tiles, times, 1), times, 2)
    return larger


def _cut(crop: Images, box: Sequence[int]) -> Images:
    """A patch of a crop as RGB, at least 48 pixels high."""
    top, left, bottom, right = box
    patch = np.broadcast_to(crop[top:bottom, left:right], (bottom - top, right - left, 3))
    shown: Images = _larger(patch[None], max(1, 48 // max(1, bottom - top)))[0]
    return shown


def _shaded(losses: np.ndarray[Any, Any]) -> Images:
    """Bands of equal steps of the logarithm, dark for low: between two the loss is equal. The middle is marked."""
    logs = np.log10(np.clip(losses, 1e-6, 1e12))
    span = float(logs.max() - logs.min()) or 1.0
    bands = np.floor((logs - logs.min()) / span * (SHADES - 1e-9))
    grey = _larger(np.round(40 + 200 * bands / (SHADES - 1)).astype(np.uint8)[None, :, :], 24)[0]
    shown = np.repeat(grey[..., None], 3, 2)
    middle = shown.shape[0] // 2
    shown[middle - 4 : middle + 5, middle - 4 : middle + 5] = (190, 80, 38)
    return shown


def page(found: Facts, shown: Mapping[str, Images]) -> str:
    """The page as one string of HTML: nothing is loaded from anywhere."""
    sections = [_design(found), *([_filters(found, shown)] if found["filters"] else [])]
    sections += [SECTIONS[part](found[part], shown) for part in SECTIONS if part in found]
    advice = found["advice"]
    lesions = found.get("lesions")
    value = percent(lesions["intact"]) if lesions else counted(len(advice), "finding")
    title = f"accuracy on {counted(found['images'], 'image')}" if lesions else "findings about the design"
    steps = tuple(Step(section.anchor, section.title, str(section.lead)) for section in sections[-3:])
    facts = (
        Fact("Network", found["net"]),
        Fact("Convolutions", str(len(found["filters"]) or "without weights")),
        Fact("Images", str(found["images"]) if found["images"] else "none"),
    )
    report = Report(f"Inside {found['net']}", found["model"], Headline(title, value), steps, facts, tuple(sections))
    return render(report)


def _design(found: Facts) -> Section:
    rows = [f"{one['kind']}: {one['stage']}, {one['seen']}; {one['do']}" for one in found["advice"]]
    blocks: tuple[Block, ...] = tuple(Text(row) for row in rows) or (Text("Nothing remarkable was found."),)
    return Section("design", "Design", blocks, "From the layers alone; it says nothing about accuracy.")


def _filters(found: Facts, shown: Mapping[str, Images]) -> Section:
    blocks: list[Block] = []
    if "filters" in shown:
        caption = "First layer: all filters on one scale. Mid-grey is 0; the largest weight of all is white or black."
        blocks.append(MapPictures((MapPicture(shown["filters"], caption),)))
    columns = (Column("layer"), Column("filters"), Column("smallest norm"), Column("mean"), Column("largest"))
    rows = [
        (one["layer"], str(one["filters"]), *(quantity(one[f"norm_{key}"]) for key in ("min", "mean", "max")))
        for one in found["filters"]
    ]
    blocks.append(Table(columns, rows, ("layer", "layers"), "layers", 8))
    lead = "Filters beyond the first layer have no colours to show: of those, only their norms are given."
    return Section("filters", "Filters", tuple(blocks), lead)


def _patches(stages: Sequence[Facts], shown: Mapping[str, Images]) -> Section:
    made = [
        MapPicture(
            shown[f"patches-{one['stage']}"],
            f"{one['stage']}: {one['field'][0]} \u00d7 {one['field'][1]} pixels. A row for each of units 0 to "
            f"{one['units'][-1]}, strongest first.",
        )
        for one in stages
    ]
    lead = "What excites single units most: general in early stages, and more specific in later ones."
    return Section("patches", "Patches that excite most", (MapPictures(tuple(made)),), lead)


def _lesions(facts: Facts, shown: Mapping[str, Images]) -> Section:
    columns = (Column("block removed"), Column("accuracy"), Column(""))
    rows = [(name, percent(share), Bar(share)) for name, share in facts["without"].items()]
    curve = facts["curve"]
    removed = [row["removed"] for row in curve]
    accuracies = [sorted(row["accuracies"]) for row in curve]
    middle = [float(np.median(values)) for values in accuracies]
    half = min(curve, key=lambda row: abs(row["removed"] - len(rows) / 2))
    chart = Lines(
        "Accuracy by the number of random blocks removed: median (dark), lowest and highest of five draws",
        (
            Line(removed, [values[0] for values in accuracies], "t1"),
            Line(removed, [values[-1] for values in accuracies], "t1"),
            Line(removed, middle, "good"),
        ),
        Axis("blocks removed"),
        Axis(form="percent", range=(0, 1)),
    )
    half_median = percent(float(np.median(half["accuracies"])))
    claim = f"With {half['removed']} of {len(rows)} blocks removed the median is {half_median}."
    if facts["residual"]:
        claim += " Residual networks are said to lose half of their blocks without dramatic loss: compare."
    lead = (
        f"Each block is removed in turn, without training again; {facts['residual']} of {len(rows)} are residual. "
        f"The median loss is {100 * facts['median_loss']:.1f} points."
    )
    return Section("lesions", "Without a block", (Table(columns, rows, ("block", "blocks")), chart, Text(claim)), lead)


def _responses(facts: Facts, shown: Mapping[str, Images]) -> Section:
    values = list(facts["deviations"].values())
    chart = Lines(
        "Standard deviation of each block's branch before the sum, in order",
        (Line(range(1, len(values) + 1), values),),
        Axis("block"),
        Axis(range=(0, max(values)), form="digits"),
    )
    rows = [f"{name}: {quantity(value)}" for name, value in facts["deviations"].items()]
    lead = f"From {quantity(min(values))} to {quantity(max(values))}: small where a block changes little."
    return Section("responses", "Responses of branches", (chart, Listing("All blocks", rows)), lead)


def _paths(facts: Facts, shown: Mapping[str, Images]) -> Section:
    rows = facts["lengths"]
    lengths = [row["length"] for row in rows]
    share = Lines(
        "Share of all paths, by the number of branches on them", (Line(lengths, [row["share"] for row in rows]),),
        Axis("branches"), Axis(form="percent"),
    )  # fmt: skip
    norm = Lines(
        "Norm of the gradient through one path, as a power of ten",
        (Line(lengths, [math.log10(row["norm"]) if row["norm"] > 0 else math.nan for row in rows]),),
        Axis("branches"), Axis(form="digits"),
    )  # fmt: skip
    total = Lines(
        "Share of the gradient, norm times number of paths", (Line(lengths, [row["total"] for row in rows]),),
        Axis("branches"), Axis(form="percent"),
    )  # fmt: skip
    top = max(rows, key=lambda row: row["total"])
    lead = (
        f"{facts['blocks']} residual blocks make 2^{facts['blocks']} paths. Of the lengths here, most of the "
        f"gradient comes through {counted(top['length'], 'branch', 'branches')}."
    )
    return Section("paths", "Paths", (Grid((share, norm, total)),), lead)


def _gradients(facts: Facts, shown: Mapping[str, Images]) -> Section:
    norms = [math.log10(norm) if norm > 0 else math.nan for norm in facts["norms"]]
    chart = Lines(
        "Norm of the gradient in each layer's output, first to last, as a power of ten",
        (Line(range(1, len(norms) + 1), norms),),
        Axis("layer"),
        Axis(form="digits"),
    )
    rows = [f"{name}: {quantity(norm)}" for name, norm in zip(facts["layers"], facts["norms"], strict=True)]
    lead = f"First layer over last: {quantity(facts['ratio'])}. Near 0 gradients vanish; far above 1 they explode."
    return Section("gradients", "Gradients by layer", (chart, Listing("All layers", rows)), lead)


def _surface(facts: Facts, shown: Mapping[str, Images]) -> Section:
    losses = np.array(facts["losses"])
    middle = len(losses) // 2
    caption = (
        f"Two random directions, each filter moved by at most its own length. Dark: {quantity(float(losses.min()))}, "
        f"light: {quantity(float(losses.max()))}, equal steps of the logarithm between; the mark is the network."
    )
    line = Lines(
        "Loss along the first direction, as a power of ten",
        (Line(facts["steps"], np.log10(np.maximum(losses[middle], 1e-6))),),
        Axis("step"),
        Axis(form="digits"),
    )
    lead = (
        f"The loss of the network on {counted(facts['images'], 'image')} is {quantity(float(losses[middle, middle]))}. "
        "Norms and biases are left as they are."
    )
    return Section("surface", "Loss surface", (MapPictures((MapPicture(shown["surface"], caption),)), line), lead)


SECTIONS: dict[str, Callable[[Any, Mapping[str, Images]], Section]] = {
    "patches": _patches,
    "lesions": _lesions,
    "responses": _responses,
    "paths": _paths,
    "gradients": _gradients,
    "surface": _surface,
}
