"""Predict masks: a class for each pixel of image files, as PNG files of the images' own sizes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.decoding.decode import Decoded
from striate.errors import RequestError
from striate.inference.engine import in_batches
from striate.inference.image_predictor import decoded_file
from striate.inference.predictor import Predictor
from striate.jobs.load import load
from striate.jobs.outputs import write_png
from striate.jobs.predict import image_files
from striate.jobs.usable import usable
from striate.pixels import Images
from striate.progress import Progress
from striate.storage import write_atomically
from striate.tasks import Answer
from striate.tasks.mask_pictures import indexed
from striate.tasks.segmentation_evaluation import overlay
from striate.tasks.values import DENSE

FULL = 0  # of `decode`: no reduced decoding


@dataclass(frozen=True)
class PredictedMask:
    """One mask. source: the image's file. mask, overlay: the files written; no overlay unless it was asked for."""

    source: str
    mask: Path
    overlay: Path | None
    answer: Answer


@dataclass(frozen=True)
class PredictedMasks:
    """The masks in the order of the files. failed: (path, why) of files that could not be used."""

    masks: list[PredictedMask]
    failed: list[tuple[str, str]]
    predictor: Predictor


def predict_masks(
    model: str | os.PathLike[str],
    files: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    overlays: bool = False,
    engine: str = "auto",
    progress: Progress | None = None,
) -> PredictedMasks:
    """Write a mask for each image file, folders standing for the images in them, into the new or empty folder `out`.

    A mask is an indexed PNG as large as its upright image: the value of a pixel is the index of its class in
    `model.classes`, and the palette has a colour for each. Files are decoded on several threads, and predicted DENSE at
    a time. overlays: also write each image with its mask laid over it.
    Raises RequestError for a model that predicts no masks, or a folder that is not empty.
    """
    progress = progress or Progress()
    predictor = load(model, engine=engine)
    if not isinstance(predictor, Predictor) or not predictor.task.masks:
        raise RequestError(f"the task of this model is {predictor.task.kind!r}: it predicts no masks (--out)")
    folder = require_empty(out, "masks")
    given = image_files(files)
    failed, masks, taken = list(given.failed), list[PredictedMask](), set[str]()

    def crop(path: str) -> tuple[_Image, Images]:
        decoded = decoded_file(Path(path), predictor.view.at_least)
        return _Image(path, decoded.upright_size), predictor.view.apply(decoded.image)

    with progress.bar("Predicting", len(given.paths)) as bar:
        for image, logits in in_batches(predictor.embed, usable(given.paths, crop, failed, bar), DENSE):
            try:
                mask = _most_probable(logits, image.size)
                name = free_name(Path(image.path).stem, taken)
                masks.append(_written(predictor, image.path, mask, folder, name, overlays))
            except (RequestError, OSError) as error:
                failed.append((image.path, str(error)))
    order = {path: place for place, path in enumerate(given.paths)}
    failed.sort(key=lambda row: order.get(row[0], -1))  # folders that could not be listed are first
    return PredictedMasks(masks, failed, predictor)


class _Image(NamedTuple):
    """An image file, and width and height of the upright image."""

    path: str
    size: tuple[int, int]


def require_empty(out: str | os.PathLike[str], what: str) -> Path:
    """The folder to write into. Raises RequestError unless it is new or empty."""
    folder = Path(out)
    if not os.fspath(out) or folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise RequestError(f"the {what} are written to a new or empty folder, not to {str(out)!r}")
    return folder


def full_mask(predictor: Predictor, decoded: Decoded) -> Images:
    """The most probable class of each pixel of the upright image at its own size: uint8 [H, W].

    The network's logits are enlarged bilinearly, class by class, and then compared.
    """
    return _most_probable(predictor.embed(predictor.view.apply(decoded.image)[None])[0], decoded.upright_size)


def _most_probable(logits: NDArray[np.float32], size: tuple[int, int]) -> Images:
    if not np.isfinite(logits).all():
        raise RequestError("the outputs of the model are NaN or infinite: its weights are damaged")
    return largest(logits, size)


def largest(logits: NDArray[np.float32], size: tuple[int, int]) -> Images:
    """Logits [classes, h, w] enlarged to `size` (width, height) -> the class of the largest: uint8 [height, width]."""
    best = np.full(size[::-1], -np.inf, np.float32)
    mask = np.zeros(size[::-1], np.uint8)
    for place, one in enumerate(logits):
        wide = np.asarray(Image.fromarray(one.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
        larger = wide > best
        best[larger], mask[larger] = wide[larger], place
    return mask


def _written(predictor: Predictor, path: str, mask: Images, folder: Path, name: str, overlays: bool) -> PredictedMask:
    picture = indexed(mask)
    to = folder / f"{name}.png"
    write_atomically(to, lambda file: picture.save(file, "PNG"))
    over = None
    if overlays:
        over = folder / "overlays" / f"{name}.png"
        whole = decoded_file(Path(path), FULL)  # again: all images of a batch at their full size would be too much
        write_png(over, overlay(np.asarray(whole.image, np.uint8), mask))
    return PredictedMask(path, to, over, predictor.task.answer(mask))


def free_name(stem: str, taken: set[str]) -> str:
    """The stem, or with a number if it is taken by a file of the same name in another folder."""
    number, name = 1, stem
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name
