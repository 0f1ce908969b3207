"""The page of inspected images, and the maps as PNG files."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.inspect.sensitivity import ENOUGH
from striate.jobs.inspect_boxes import object_blocks, object_pictures
from striate.jobs.inspect_captions import caption_blocks, caption_pictures
from striate.jobs.inspect_checks import checks
from striate.jobs.inspect_masks import mask_blocks, mask_pictures
from striate.jobs.inspection import ImageInspection, Inspection
from striate.jobs.outputs import write_png
from striate.report.maps import overlay
from striate.report.page import render
from striate.sections import (
    Axis,
    Bar,
    Block,
    Code,
    ColourScale,
    Column,
    Dot,
    Fact,
    Grid,
    Heading,
    Headline,
    Intervals,
    Line,
    Lines,
    MapPicture,
    MapPictures,
    Report,
    Section,
    Step,
    Strong,
    Table,
    Text,
    TileRows,
    Tiles,
    Words,
)
from striate.sections.wording import NO_BREAK, counted, number, percent, quantity

BARS = 5  # outputs with a bar

STRONG_PIXELS = 99.5  # percentile of a map of pixels that has full colour
KINDS = {
    "cam": "class activation map (CAM)",
    "planes": "the class's own map",
    "hirescam": "gradient times map (HiResCAM)",
}


def page(done: Inspection) -> str:
    """The page, one HTML file."""
    task = done.predictor.model.task
    first, scales = done.images[0], _scales(done)
    sections = tuple(_section(done, one, place, scales) for place, one in enumerate(done.images))
    answer = first.answer
    several = len(done.images) > 1
    title = counted(len(done.images), "image") if several else answer.label
    share = answer.confidence
    if first.masks is not None:
        title, share = (title if several else task.names[first.masks.explained]), first.masks.share
    if first.caption is not None and not several:
        title, share = f"probability of {first.caption.words[first.caption.place]!r}", first.predictions[first.asked[0]]
    value = number(len(done.images)) if several else percent(share) if np.isfinite(share) else answer.label
    steps = [_step(done, one, place) for place, one in enumerate(done.images)]
    model = done.predictor.model.net
    return render(
        Report(
            f"Why this answer? {model}",
            f"{title}: which parts of the image speak for it, and whether the maps can be trusted",
            Headline("Images" if several else title, value, (Text((Code(Path(first.path).name),)),) * (not several)),
            tuple(sorted(steps, key=lambda step: not step.urgent)),
            _facts(done),
            sections,
        )
    )


def _step(done: Inspection, one: ImageInspection, place: int) -> Step:
    failed = [check for check in checks(one.trust) if not check.passed] if one.trust else []
    answer = one.answer.label
    why = f"Read the map with care: {failed[0].failure}." if failed else "The map passes its checks."
    if one.trust is None:
        why = "Its maps, and what each stage makes of it."
    return Step(_anchor(place), f"{Path(one.path).name}: {answer}", why, urgent=bool(failed))


def _anchor(place: int) -> str:
    return f"image-{'abcdefghijkl'[place]}"


def _facts(done: Inspection) -> tuple[Fact, ...]:
    found = [Fact("Network", done.predictor.model.net), Fact("Layer of the class maps", done.layer)]
    maps = done.images[0].classes
    if maps is not None:
        exact = "exact: its mean plus the bias is the output" if maps.exact else "not exact: what follows is not linear"
        found.append(Fact("Class map", KINDS[maps.kind], exact))
        if not (done.predictor.model.task.dense or done.predictor.task.searched):
            found.append(Fact("Offset", _offset(done), "of the map from an object, at five places"))
    if done.bfloat16:
        found.append(Fact("Precision", "bfloat16", f"of {', '.join(done.bfloat16)}; all else in float32"))
    return tuple(found)


def _offset(done: Inspection) -> str:
    if done.offset is None:
        return "not measurable: the map does not find the object"
    down, right = done.offset.mean
    return (
        f"{abs(down):.0f} px {'down' if down > 0 else 'up'}, {abs(right):.0f} px {'right' if right > 0 else 'left'}; "
        f"at most {done.offset.furthest:.0f} px"
    )


def _scales(done: Inspection) -> dict[str, ColourScale]:
    """One scale for all maps of a kind on the page."""
    task = done.predictor.model.task
    unit = "logits" if task.wording.names_listed or task.searched else task.names[0]
    captions = [one.caption for one in done.images if one.caption is not None]
    looks = [one.attention for one in captions if one.attention is not None]
    classes = [one.classes.values for one in done.images if one.classes is not None]
    covered = [one.occlusion.pixels for one in done.images if one.occlusion is not None]
    covered += [lost.pixels for one in captions for lost in one.occlusion or ()]
    slopes = [one.gradient for one in done.images if one.gradient is not None]
    added = [_added(one) for one in done.images if one.integrated is not None]
    return {
        "cam": ColourScale(_most(classes), unit, "for", "against"),
        "occlusion": ColourScale(_most(covered), unit, "lost when covered", "gained"),
        "gradient": ColourScale(_most(slopes, STRONG_PIXELS), f"{unit} a unit of input", "strong"),
        "ig": ColourScale(_most(added, STRONG_PIXELS), unit, "for", "against"),
        "attention": ColourScale(_most(looks), "of the attention", "looked at"),
    }


def _most(maps: list[NDArray[np.float32]], percentile: float = 100) -> float:
    return _rounded_up(max((float(np.percentile(np.abs(one), percentile)) for one in maps), default=0.0))


def _added(one: ImageInspection) -> NDArray[np.float32]:
    """Integrated gradients, summed over the channels."""
    assert one.integrated is not None
    found: NDArray[np.float32] = one.integrated.values.sum(0)
    return found


def _section(done: Inspection, one: ImageInspection, place: int, scales: dict[str, ColourScale]) -> Section:
    blocks: list[Block] = [*_seen(done, one, scales), *_maps(done, one, scales)]
    if one.trust is not None:
        blocks += _trust(one)
    blocks += [Heading("Stage by stage"), *_stages(one)]
    return Section(_anchor(place), one.answer.label, tuple(blocks), (Code(one.path),))


def _seen(done: Inspection, one: ImageInspection, scales: dict[str, ColourScale]) -> list[Block]:
    task = done.predictor.model.task
    crop = _crop(one)
    photo = MapPicture(one.photo, "The photograph; the network sees what is in the frame.", box=one.box)
    seen = MapPicture(crop, f"What enters the network: {_sides((crop.shape[1], crop.shape[0]))} pixels.")
    blocks: list[Block] = [MapPictures((photo, seen))]
    if one.caption is not None:
        blocks += caption_blocks(one.caption, crop, scales["attention"], scales["occlusion"])
    elif not task.wording.names_listed:
        return [*blocks, Text((f"{task.names[0]}: ", Strong(quantity(float(one.predictions[0])))), "large")]
    if one.masks is not None:
        blocks += mask_blocks(one.masks, crop, task.names)
    if one.boxes is not None:
        blocks += object_blocks(one.boxes, crop)
    order = [row for row in np.argsort(-one.logits, kind="stable")[:BARS].tolist() if np.isfinite(one.logits[row])]
    order += [one.labelled] if one.labelled is not None and one.labelled not in order else []
    rows = [
        ((Strong(task.names[row]), ", its folder's label") if row == one.labelled else task.names[row],
         Bar(float(one.predictions[row])), percent(float(one.predictions[row])), quantity(float(one.logits[row])))
        for row in order
    ]  # fmt: skip
    means = ("Probability", "Logit") if one.masks is None else ("Mean probability", "Mean logit")
    kinds = ("word", "words") if one.caption is not None else (task.wording.one, task.wording.many)
    columns = (Column(kinds[0].capitalize()), Column(""), *map(Column, means))
    return [*blocks, Table(columns, rows, kinds, kinds[1])]


def _crop(one: ImageInspection) -> NDArray[np.uint8]:
    return one.crop[..., 0] if one.crop.shape[2] == 1 else one.crop


def _maps(done: Inspection, one: ImageInspection, scales: dict[str, ColourScale]) -> list[Block]:
    names = done.predictor.model.task.names
    blocks: list[Block] = []
    shown = _pictures(done, one, scales)
    if one.classes is not None:
        failed = [check for check in checks(one.trust) if not check.passed] if one.trust else []
        blocks.append(Heading("Which places speak for it?"))
        blocks += [
            Text((Strong("Read this map with care"), f": {check.failure} ({check.name.lower()})."), "large")
            for check in failed
        ]
        blocks.append(Text(_sum(one), "quiet"))
        blocks.append(MapPictures(tuple(picture for key, picture in shown if key.startswith("cam"))))
    rest = tuple(picture for key, picture in shown if not key.startswith("cam"))
    if rest:
        blocks += [Heading(f"Which pixels count for {names[one.asked[0]]}?"), MapPictures(rest)]
    return blocks


def _sum(one: ImageInspection) -> str:
    assert one.classes is not None
    mean, bias, output = float(one.classes.values[0].mean()), float(one.classes.bias[0]), float(one.classes.outputs[0])
    said = f"mean of the map {quantity(mean)}, output for an empty map {quantity(bias)}, output {quantity(output)}"
    if one.classes.exact:
        return f"Exact: the {said}. All maps on this page have one scale."
    return f"Not exact, because the network is not linear above this layer: {said}. All maps have one scale."


def _pictures(done: Inspection, one: ImageInspection, scales: dict[str, ColourScale]) -> list[tuple[str, MapPicture]]:
    """Each map over the crop by its name."""
    names, crop = done.predictor.model.task.names, _crop(one)
    explained = names[one.asked[0]]
    found: list[tuple[str, MapPicture]] = []
    if one.classes is not None:
        for values, place in zip(one.classes.values, one.asked, strict=True):
            output = f", output {quantity(float(one.logits[place]))}"
            found.append(
                (f"cam {names[place]}", MapPicture(crop, (Strong(names[place]), output), values, scales["cam"]))
            )
    if one.gradient is not None:
        words = (Strong("Gradient (SmoothGrad)"), ": at which pixels would a small change move the output most?")
        found.append((f"gradient {explained}", MapPicture(crop, words, one.gradient, scales["gradient"])))
    if one.occlusion is not None and one.caption is None:  # which has that of each word
        sides = _sides(one.occlusion.patch)
        words = (Strong("Occlusion"), f": how much output is lost when a patch of {sides} pixels is covered?")
        found.append((f"occlusion {explained}", MapPicture(crop, words, one.occlusion.pixels, scales["occlusion"])))
    if one.integrated is not None:
        words = (Strong("Integrated gradients"), f": what does each pixel add, on the way from grey? {_converged(one)}")
        found.append((f"ig {explained}", MapPicture(crop, words, _added(one), scales["ig"])))
    return found


def _converged(one: ImageInspection) -> str:
    assert one.integrated is not None
    gap, steps = percent(one.integrated.gap), one.integrated.steps
    if one.integrated.converged:
        return f"{steps} steps, gap {gap}."
    return f"It did not converge: gap {gap} after {steps} steps, more than {percent(ENOUGH)}."


def _trust(one: ImageInspection) -> list[Block]:
    assert one.trust is not None
    rows: list[tuple[Words | Bar, ...]] = [
        (
            (Strong(each.name), f": {each.rule}"),
            quantity(each.value),
            "passed" if each.passed else (Strong("failed"),),
        )
        for each in checks(one.trust)
    ]
    columns = (Column("Check, and when it passes"), Column("Measured"), Column("Result"))
    dots = tuple(Dot(row.stage, row.mean, (row.low, row.high)) for row in one.trust.randomised)
    curve = one.trust.deletion
    charts = Grid(
        (
            Intervals("Likeness to the map of shuffled weights, from the head down to each stage", dots, "digits"),
            Lines(
                "Output as the image is covered: by the map, and in random order (orange)",
                (Line(curve.shares, curve.by_map), Line(curve.shares, curve.by_chance, "bad")),
                Axis("share covered", "percent", (0.0, 1.0)),
                Axis(form="digits"),
            ),
        )
    )
    return [Heading("Can these maps be trusted?"), Table(columns, rows, ("check", "checks"), "checks"), charts]


def _sides(size: tuple[int, int]) -> str:
    """As text that is not broken."""
    return f"{size[0]}{NO_BREAK}\u00d7{NO_BREAK}{size[1]}"


def _stages(one: ImageInspection) -> list[Block]:
    rows = []
    for stage in one.stages:
        field = "" if stage.field is None else f"field {_sides(stage.field)} px; "
        said = f"{len(stage.strongest)} of {number(stage.channels)}, {_sides(stage.size)}; {field}"
        rows.append(Tiles(stage.name, f"{said}{percent(stage.dead)} dead", stage.maps))
    lead = "The maps of each stage with the highest mean strength, on one grey scale a stage. Dead: constant here."
    return [Text(lead, "quiet"), TileRows(tuple(rows))]


def map_pictures(done: Inspection, folder: Path) -> list[Path]:
    """Write each map over the network's input as a PNG file, at twice the size on the page."""
    scales = _scales(done)
    written: list[Path] = []
    for place, one in enumerate(done.images, 1):
        own = [] if one.masks is None else mask_pictures(one.masks, _crop(one), done.predictor.classes)
        own += [] if one.boxes is None else object_pictures(one.boxes, _crop(one))
        if one.caption is not None:
            own = caption_pictures(one.caption, _crop(one), scales["attention"], scales["occlusion"])
        for name, picture in [*own, *_pictures(done, one, scales)]:
            slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{place:02d}-{slug}.png"
            write_png(path, overlay(picture, 480))
            written.append(path)
    return written


def _rounded_up(value: float) -> float:
    """The next number of two digits, for the end of a scale; 1 for nothing."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit * (1 - 1e-9)) * unit
