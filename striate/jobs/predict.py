"""Predict: what a model says of image files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from striate.data.sources.base import SUFFIXES
from striate.errors import RequestError, StriateError
from striate.inference.classifier import Classifier, Prediction
from striate.inference.engine import BATCH
from striate.jobs.load import load
from striate.progress import Progress


@dataclass(frozen=True)
class Predictions:
    """The answers, in the order asked. failed: (path, why) of files that could not be used."""

    answers: list[Prediction]
    failed: list[tuple[str, str]]
    classifier: Classifier


def predict(
    model: str | os.PathLike[str],
    files: Sequence[str | os.PathLike[str]],
    *,
    engine: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Predictions:
    """Predict files; a folder stands for the images in it. What cannot be used is listed in `failed`."""
    classifier = load(model, engine=engine, precision=precision)
    paths = _image_files(files)
    answers: list[Prediction] = []
    failed: list[tuple[str, str]] = []
    with (progress or Progress()).bar("Predicting", len(paths)) as bar:
        for start in range(0, len(paths), BATCH):
            names, crops = [], []
            for path in paths[start : start + BATCH]:
                try:
                    crops.append(classifier.crop(path, str(path)))
                    names.append(str(path))
                except StriateError as error:
                    failed.append((str(path), str(error)))
                bar.advance()
            if crops:
                answers += classifier.predictions(names, np.stack(crops))
    return Predictions(answers, failed, classifier)


def _image_files(files: Sequence[str | os.PathLike[str]]) -> list[Path]:
    found: list[Path] = []
    for given in files:
        path = Path(given)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
            if not inside:
                raise RequestError(f"no images in the folder {str(path)!r}")
            found += inside
        else:
            found.append(path)
    if not found:
        raise RequestError("no image files were given")
    return found
