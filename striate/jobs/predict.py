"""Predict: the predictions of a model for image files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from striate.data.sources.base import Oddity
from striate.data.sources.folder import open_images
from striate.data.threads import in_order
from striate.errors import RequestError, StriateError
from striate.inference.predictor import Prediction, Predictor
from striate.jobs.load import load
from striate.pixels import Images
from striate.progress import Progress


@dataclass(frozen=True)
class Predictions:
    """The predictions, in the order of the files.

    failed: (path, why) of image files that could not be used. set_aside: entries of the folders that are not images,
    such as hidden and other files.
    """

    predictions: list[Prediction]
    failed: list[tuple[str, str]]
    predictor: Predictor
    set_aside: tuple[Oddity, ...] = ()


def predict(
    model: str | os.PathLike[str],
    files: Sequence[str | os.PathLike[str]],
    *,
    engine: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Predictions:
    """Predict image files; a folder stands for the images in it, found as in training.

    Files are read and decoded on several threads. What cannot be used is listed in `failed`.
    Raises RequestError for a folder without images.
    """
    predictor = load(model, engine=engine, precision=precision)
    paths, set_aside = _image_files(files)
    failed: list[tuple[str, str]] = []

    def crop(path: str) -> tuple[str, Images | StriateError]:
        try:
            return path, predictor.crop(path, path)
        except StriateError as error:
            return path, error

    def usable() -> Iterator[tuple[str, Images]]:
        for path, found in in_order(crop, paths):
            bar.advance()
            if isinstance(found, StriateError):
                failed.append((path, str(found)))
            else:
                yield path, found

    with (progress or Progress()).bar("Predicting", len(paths)) as bar:
        predictions = list(predictor.predict_crops(usable()))
    return Predictions(predictions, failed, predictor, set_aside)


def _image_files(files: Sequence[str | os.PathLike[str]]) -> tuple[list[str], tuple[Oddity, ...]]:
    """The files in order, folders replaced by the images in them; and what was set aside in the folders."""
    found: list[str] = []
    set_aside: list[Oddity] = []
    for given in files:
        path = Path(given)
        if path.is_dir():
            source = open_images(path)
            found += [str(path / item.key) for item in source.items]
            set_aside += [Oddity(str(path / one.path), one.kind, one.why) for one in source.oddities]
        else:
            found.append(str(path))
    if not found:
        raise RequestError("no image files were given")
    return found, tuple(set_aside)
