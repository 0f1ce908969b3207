"""The images that a study's arms are compared on, and what a table of probabilities scores on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.sources.base import Item, Source
from striate.data.splits import apply_split
from striate.errors import RequestError
from striate.model import Model
from striate.pixels import Images, Pixels
from striate.studies.study import Context

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Images with their classes [N], and the names that tell them apart."""

    source: Source
    items: tuple[Item, ...]

    @property
    def targets(self) -> NDArray[np.int64]:
        """The classes."""
        return np.array([item.target for item in self.items], np.int64)

    def crops(self, pixels: Pixels) -> Images:
        """uint8 [N, H, W] or [N, H, W, 3], as a network with this preprocessing sees them."""
        read = (self.source.decode(self.source.read(item), pixels.at_least).image for item in self.items)
        return np.stack([pixels.apply(image) for image in read])

    def wrong(self, probabilities: Floats) -> dict[str, float]:
        """By image: 1 where the most probable class [N, classes] is not its own, else 0."""
        right = probabilities.argmax(1) == self.targets
        return {item.key: float(not one) for item, one in zip(self.items, right, strict=True)}


def held_out(source: Source, run: Path | None = None) -> HeldOut:
    """The held-out images of a source, or those of the run that was trained on it, by its split.

    Raises RequestError for data without any.
    """
    if run is not None:
        source, _ = apply_split(source, run / "split.csv")
    items = tuple(item for item in source.items if item.part in ("val", "test"))
    if not items:
        raise RequestError(f"{source.name!r} has no test images")
    return HeldOut(source, items)


def share_of(found: HeldOut, place: int, parts: int, most: int) -> HeldOut:
    """At most so many of the images: those at `place` of so many parts, which have no image in common."""
    return HeldOut(found.source, found.items[place::parts][:most])


def of_seed(context: Context, model: Model, seeds: int, most: int) -> HeldOut:
    """At most so many test images of the data for a published model: each of so many seeds has others.

    Raises RequestError for data with another number of classes than the model, or without test images.
    """
    source = context.opened(context.data)
    found, theirs = len(source.task.names), len(model.task.names)
    if found != theirs:
        raise RequestError(f"{source.name!r} has {found} classes, and {model.net} was trained on {theirs}")
    return share_of(held_out(source), context.seed, seeds, most)
