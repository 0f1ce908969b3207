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

    failed: (path, why) of files that could not be used, and of folders that could not be listed. set_aside: entries of
    the folders that are not images, such as hidden and other files.
    """

    predictions: list[Prediction]
    failed: list[tuple[str, str]]
    predictor: Predictor
    set_aside: tuple[Oddity, ...] = ()


@dataclass(frozen=True)
class _Given:
    """The files to predict. failed: (path, why) of folders. set_aside: what was left out in folders."""

    paths: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    set_aside: tuple[Oddity, ...]


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
    Raises RequestError if there is no image file.
    """
    predictor = load(model, engine=engine, precision=precision)
    given = _image_files(files)
    failed = list(given.failed)

    def crop(path: str) -> tuple[str, Images | StriateError]:
        try:
            return path, predictor.crop(path, path)
        except StriateError as error:
            return path, error

    def usable() -> Iterator[tuple[str, Images]]:
        for path, found in in_order(crop, given.paths):
            bar.advance()
            if isinstance(found, StriateError):
                failed.append((path, str(found)))
            else:
                yield path, found

    with (progress or Progress()).bar("Predicting", len(given.paths)) as bar:
        predictions = list(predictor.predict_crops(usable()))
    return Predictions(predictions, failed, predictor, given.set_aside)


def _image_files(files: Sequence[str | os.PathLike[str]]) -> _Given:
    """The files in order, folders replaced by the images in them. Raises RequestError if no file is left."""
    paths: list[str] = []
    failed: list[tuple[str, str]] = []
    set_aside: list[Oddity] = []
    for path in map(Path, files):
        if not os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
            paths.append(str(path))
            continue
        try:
            source = open_images(path)
        except RequestError as error:
            failed.append((str(path), str(error)))
            continue
        paths += [str(path / item.key) for item in source.items]
        for one in source.oddities:
            where = str(path / one.path)
            if one.kind == "unreadable":  # a folder, in which there may be images
                failed.append((where, f"{where!r}: {one.why}"))
            else:
                set_aside.append(Oddity(where, one.kind, one.why))
    if not paths:
        raise RequestError(failed[0][1] if failed else "no image files were given")
    return _Given(tuple(paths), tuple(failed), tuple(set_aside))
