"""Predict masks: a class for each pixel of image files, as PNG files of the images' own sizes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.decoding.decode import Decoded
from striate.errors import RequestError
from striate.inference.image_predictor import decoded_file
from striate.inference.predictor import Predictor
from striate.jobs.load import load
from striate.jobs.outputs import write_png
from striate.jobs.predict import image_files
from striate.pixels import Images
from striate.progress import Progress
from striate.storage import write_atomically
from striate.tasks import Answer
from striate.tasks.pixel_losses import VOID
from striate.tasks.segmentation_evaluation import colours, overlay

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
    `model.classes`, and the palette has a colour for each. overlays: also write each image with its mask laid over it.
    Raises RequestError for a model that predicts no masks, or a folder that is not empty.
    """
    progress = progress or Progress()
    predictor = load(model, engine=engine)
    if not isinstance(predictor, Predictor) or not predictor.task.masks:
        raise RequestError(f"the task of this model is {predictor.task.kind!r}: it predicts no masks (--out)")
    folder = require_empty(out, "masks")
    given = image_files(files)
    failed, masks, taken = list(given.failed), [], set[str]()
    with progress.bar("Predicting", len(given.paths)) as bar:
        for path in given.paths:
            bar.advance()
            try:
                decoded = decoded_file(Path(path), FULL if overlays else predictor.view.at_least)
                masks.append(_written(predictor, path, decoded, folder, free_name(Path(path).stem, taken), overlays))
            except (RequestError, OSError) as error:
                failed.append((path, str(error)))
    return PredictedMasks(masks, failed, predictor)


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
    logits = predictor.embed(predictor.view.apply(decoded.image)[None])[0]
    if not np.isfinite(logits).all():
        raise RequestError("the outputs of the model are NaN or infinite: its weights are damaged")
    return largest(logits, decoded.upright_size)


def largest(logits: NDArray[np.float32], size: tuple[int, int]) -> Images:
    """Logits [classes, h, w] enlarged to `size` (width, height) -> the class of the largest: uint8 [height, width]."""
    best = np.full(size[::-1], -np.inf, np.float32)
    mask = np.zeros(size[::-1], np.uint8)
    for place, one in enumerate(logits):
        wide = np.asarray(Image.fromarray(one.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
        larger = wide > best
        best[larger], mask[larger] = wide[larger], place
    return mask


def _written(
    predictor: Predictor, path: str, decoded: Decoded, folder: Path, name: str, overlays: bool
) -> PredictedMask:
    mask = full_mask(predictor, decoded)
    picture = Image.fromarray(mask, "P")
    picture.putpalette(colours(VOID + 1).tobytes())
    to = folder / f"{name}.png"
    write_atomically(to, lambda file: picture.save(file, "PNG"))
    over = None
    if overlays:
        over = folder / "overlays" / f"{name}.png"
        write_png(over, overlay(np.asarray(decoded.image, np.uint8), mask))
    return PredictedMask(path, to, over, predictor.task.answer(mask))


def free_name(stem: str, taken: set[str]) -> str:
    """The stem, or with a number if it is taken by a file of the same name in another folder."""
    number, name = 1, stem
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name
