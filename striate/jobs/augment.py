"""A sheet of augmented images: one row per transform, the plain image first, then one draw per epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.statistics import measure
from striate.data.opening import open_source
from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.jobs.outputs import require_apart
from striate.jobs.sheet import Row, drawn
from striate.learning.planning import SMALL, DataSummary, summarise
from striate.pixels import Images, Pixels, UnreadableImage
from striate.progress import Progress
from striate.recipe import Augment, Recipe
from striate.recipe.augment import NO_AUGMENTATION
from striate.storage import write_atomically
from striate.training.batches import sample_order
from striate.training.examples import Examples
from striate.training.threads import one_thread
from striate.training.view import View

EPOCHS = 7
IMAGES = 24  # at most, spread over the source: one per row, also as mixup partners and for the colour statistics
PHOTOGRAPH = 224  # pixels: the default size for photographs
_SPARE = 8, 7  # images are stored a little larger than the network input, as in the AlexNet paper: 256 to 224


@dataclass(frozen=True)
class Sheet:
    """The sheet. rows: the keys of each row's augmentation. size: height and width of the network input."""

    path: Path
    rows: tuple[str, ...]
    size: tuple[int, int]
    unreadable: int

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        plain = {"rows": list(self.rows), "size": list(self.size), "unreadable": self.unreadable}
        return {"sheet": str(self.path), **plain}


def augment(
    data: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    augment: Augment | Mapping[str, Any] | None = None,
    size: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Sheet:
    """Write the sheet for some images of `data` to `out`, a PNG file.

    `augment`: keys of a recipe's `[augment]`: one row for each transform alone, and one for all together; None shows
    every transform with a typical value. `size`: side of the network input in pixels; 0: the images' size if they are
    small, 224 for photographs. The images are augmented by the same code as in training.
    Raises RequestError for an invalid key or value, a name without .png, and data without a readable image.
    """
    path, progress = Path(out), progress or Progress()
    if path.suffix.lower() != ".png":
        raise RequestError(f"the sheet is a PNG file: its name must end in .png, not {str(out)!r}")
    if not 0 <= size <= 2048:
        raise RequestError(f"size must be from 1 to 2048 pixels, not {size}")
    given = _given(augment)
    if given and not given.transforms:
        raise RequestError("this augmentation has no transform, so there is nothing to show")
    source = open_source(data)
    require_apart(path, data, source)
    seen = summarise(source)
    side = size or (seen.largest if 0 < seen.largest <= SMALL else PHOTOGRAPH)
    images, unreadable = _some_images(source, _pixels(side, seen))
    if unreadable:
        progress.say(f"{unreadable} of the images tried could not be read; `striate audit` lists the reasons")
    chosen = _rows(given) if given else typical(side)
    rows = []
    with progress.bar("Drawing", len(chosen)) as bar, one_thread():  # single images are too little work for several
        for place, one in enumerate(chosen):
            rows.append(_row(images, place % len(images), one, side, seed))
            bar.advance()
    sheet = drawn(rows, f"{source.name}: what a network of {side} x {side} pixels will see")
    write_atomically(path, lambda file: sheet.save(file, "PNG"))
    return Sheet(path, tuple(one.label() for one in chosen), (side, side), unreadable)


def typical(side: int) -> list[Augmentation]:
    """Every transform alone, with a typical value for images of `side` pixels."""
    sides = tuple((round(side * ratio), share) for ratio, share in ((1.125, 0.5), (1.5, 0.3), (2, 0.2)))
    elastic = (1.4, 4.0) if side <= SMALL else (float(f"{side / 64:.2g}"), float(side // 16))
    return [
        Augmentation(flip=0.5), Augmentation(shift=0.125), Augmentation(crop=(0.35, 1.0)),
        Augmentation(shorter_side=sides), Augmentation(scale=(0.8, 1.25)), Augmentation(rotate=15),
        Augmentation(shear=15), Augmentation(elastic=elastic[0], elastic_sigma=elastic[1]), Augmentation(colour=30),
        Augmentation(lighting=0.1), Augmentation(cutout=0.25), Augmentation(pixel_dropout=0.1),
        Augmentation(mixup=0.4),
    ]  # fmt: skip


def _given(augment: Augment | Mapping[str, Any] | None) -> Augmentation | None:
    if augment is None or isinstance(augment, Augment):
        return None if augment is None else Augmentation.of(augment)
    return Augmentation.of(Recipe(augment=NO_AUGMENTATION).updated({"augment": augment}).augment)


def _rows(given: Augmentation) -> list[Augmentation]:
    alone = [given.only(name) for name in given.transforms]
    return [*alone, given] if len(alone) > 1 else alone


def _pixels(side: int, seen: DataSummary) -> Pixels:
    """How images are stored: small ones at their size, larger ones as squares with a small margin."""
    channels = 1 if seen.grey else 3
    neutral = (0.0,) * channels, (1.0,) * channels
    if 0 < seen.largest <= side:
        return Pixels(side, side, channels, rule="centre", mean=neutral[0], std=neutral[1])
    spare = -(-side * _SPARE[0] // _SPARE[1])
    return Pixels(spare, spare, channels, rule="crop", mean=neutral[0], std=neutral[1])


def _some_images(source: Source, pixels: Pixels) -> tuple[Images, int]:
    """Up to IMAGES of the source, evenly spaced, uint8 [N, H, W, C], and how many of those tried cannot be read."""
    crops, unreadable = [], 0
    for place in np.unique(np.linspace(0, len(source.items) - 1, IMAGES).round().astype(int)):
        try:
            crops.append(pixels.apply(source.decode(source.read(source.items[place]), pixels.at_least).image))
        except (UnreadableImage, OSError):
            unreadable += 1
    if not crops:
        raise RequestError(f"none of the {unreadable} images tried in {source.name} can be read; see `striate audit`")
    # Neighbours in a source are of one class; the rows should show several classes.
    return np.stack(crops)[np.argsort(np.arange(len(crops)) * 5 % len(crops), kind="stable")], unreadable


def _row(images: Images, place: int, chosen: Augmentation, side: int, seed: int) -> Row:
    """The image at `place`, plain and as drawn in the first epochs."""
    mean = measure(images).mean.tolist()  # blanked values are set to the mean, as in training
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    unused = torch.zeros(len(images), dtype=torch.int64)  # targets
    examples = Examples(tensor, unused, mean, [1.0] * len(mean), size=(side, side))
    view = View(examples, torch.device("cpu"), chosen, seed=seed)
    cells = [view.plain(torch.tensor([place]))]
    for epoch in range(EPOCHS):
        whole = sample_order(len(images), seed=seed, epoch=epoch)
        cells.append(view.training_batch(whole.of(np.flatnonzero(whole.rows == place)), whole, epoch).x)
    names = chosen.transforms
    words = chosen.words(names[0]) if len(names) == 1 else "all transforms together"
    return Row(chosen.label(), words, _shown(torch.cat(cells), mean))


def _shown(x: torch.Tensor, mean: list[float]) -> NDArray[np.uint8]:
    """Normalised images [B, C, H, W] as bytes [B, H, W, C] again."""
    levels = x + torch.tensor(mean).view(-1, 1, 1)
    return np.asarray(levels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1))
