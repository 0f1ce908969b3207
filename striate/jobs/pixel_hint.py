"""What to tell of an imported network that would do better with its pixels on another scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from striate.data.sources.base import Item, Source
from striate.errors import RequestError
from striate.inference.evaluation import in_the_models_order, part_of, shared_names
from striate.inference.predictor import Predictor
from striate.interop.readers.named_pixels import SCALES
from striate.model import Model
from striate.pixels import Images, Pixels, UnreadableImage

IMAGES = 200  # that are tried, at most
LEAST = 20  # that are needed
GAIN = 0.02  # of the metric, from which another scale is told

NAMED = "named_pixels"  # what the user named when the network was imported, among the facts of its training


def pixel_hint(model: Model, source: Source, part: str = "") -> str:
    """A line that names another scale of `SCALES`, or another order of channels, with which some images do better.

    For a network that was imported with pixels that the user named; "" for others, and where none does better.
    """
    if NAMED not in model.training or not model.task.metric.share:
        return ""
    crops, targets = _some(model, source, part)
    if len(targets) < LEAST:
        return ""
    own = _score(model, crops, targets)
    tried = {name: (scaled(model.pixels, name), False) for name in SCALES if name != "caffe"}
    if model.pixels.channels == 3:
        tried["bgr"] = (model.pixels, True)
        tried["caffe"] = (replace(model.pixels, mean=SCALES["caffe"][0][::-1], std=(1.0,) * 3), True)
    scores = {
        name: _score(replace(model, pixels=pixels), crops[..., ::-1] if swapped else crops, targets)
        for name, (pixels, swapped) in tried.items()
        if swapped or pixels != model.pixels
    }
    best = max(scores, key=lambda name: scores[name])
    if scores[best] < own + GAIN:
        return ""
    metric = model.task.metric
    given = model.training[NAMED]
    return (
        f"the pixels may be wrong: on {len(targets)} of these images the {metric.name} is {metric.text(own)} with "
        f"{given!r}, as named at the import, and {metric.text(scores[best])} with {best!r}: import again"
    )


def scaled(pixels: Pixels, name: str) -> Pixels:
    """The preprocessing with the scale of that name of `SCALES`, for RGB or grey."""
    mean, std = (values * pixels.channels if len(values) == 1 else values[: pixels.channels] for values in SCALES[name])
    return replace(pixels, mean=mean, std=std)


def _some(model: Model, source: Source, part: str) -> tuple[Images, list[object]]:
    """Crops of some images, evenly taken, with their targets."""
    part = part_of(source, part)
    items: list[Item] = [item for item in source.items if item.part == part]
    index = shared_names(model.task, source)
    crops, targets = [], []
    for item in items[:: max(1, len(items) // IMAGES)][:IMAGES]:
        try:
            image = source.decode(source.read(item), model.pixels.at_least).image
            targets.append(in_the_models_order(item, source.task, index, model.task))
            crops.append(model.pixels.apply(image))
        except (OSError, UnreadableImage, RequestError):
            targets = targets[: len(crops)]  # the evaluation lists it
    return np.stack(crops) if crops else np.zeros((0, *model.pixels.shape), np.uint8), list(targets)


def _score(model: Model, crops: Images, targets: list[object]) -> float:
    try:
        rows = Predictor(model, engine="torch", precision="float32").predictions(np.ascontiguousarray(crops))
    except RequestError:  # not finite
        return 0.0
    return float(model.task.evaluate("", rows, model.task.collate(targets)).score)
