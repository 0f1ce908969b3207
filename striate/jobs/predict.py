"""Predict: what a model says of image files; and evaluate: how often it is right on labelled ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.audit import Audit, audit
from striate.data.looking import Record, look
from striate.data.opening import open_source
from striate.data.sources import SUFFIXES, Item, Source
from striate.data.splits import measured_part
from striate.errors import RequestError, StriateError
from striate.inference.classifier import Classifier, Prediction
from striate.inference.engine import BATCH, engine_version
from striate.jobs.measure import Measured, measure
from striate.jobs.models import load
from striate.pixels import Images
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
                answers += classifier.named(names, classifier.probabilities(np.stack(crops)))
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


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model is worth on labelled images."""

    measured: Measured
    audit: Audit
    classifier: Classifier

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values; `accuracy` is 0..1."""
        per_class = {}
        for index, name in enumerate(self.classifier.classes):
            row = self.measured.confusion[index]
            if row.sum():
                per_class[name] = {"count": int(row.sum()), "recall": float(row[index] / row.sum())}
        engine = self.classifier.engine_name
        return {
            **self.measured.as_dict(),
            "classes": per_class,
            "engine": f"{engine} {engine_version(engine)}",
            "precision": self.classifier.precision,
            "set_aside": self.audit.as_dict()["set_aside"],
        }


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    part: str = "",
    engine: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model on a source. part: "train", "val" or "test"; by default the held-out one, or all without parts.

    Raises RequestError where no class of the data is one of the model's.
    """
    classifier = load(model, engine=engine, precision=precision)
    source = open_source(data)
    index = {name: place for place, name in enumerate(classifier.classes)}
    if not index.keys() & set(source.task.names):
        raise RequestError(
            f"none of the classes of {str(data)!r} ({', '.join(source.task.names[:3])}, ...) "
            f"is one of the model's ({', '.join(classifier.classes[:3])}, ...)"
        )
    part = _part_of(source, data, part)
    items = [item for item in source.items if item.part == part]
    pairs: list[tuple[Item, Record]] = []
    labels: list[int] = []
    rows: list[NDArray[np.float32]] = []
    waiting: list[Images] = []
    with (progress or Progress()).bar("Evaluating", len(items)) as bar:
        for looked in look(source, classifier.model.pixels, items=items):
            bar.advance()
            pairs.append((looked.item, looked.record))
            if looked.crop is not None:
                labels.append(_label(index, source, looked.item))
                waiting.append(looked.crop)
            if len(waiting) == BATCH:
                rows.append(classifier.probabilities(np.stack(waiting)))
                waiting.clear()
        if waiting:
            rows.append(classifier.probabilities(np.stack(waiting)))
    if not rows:
        raise RequestError(f"no usable image to evaluate on in {str(data)!r}")
    measured = measure(part, np.concatenate(rows), np.array(labels, np.int64), len(classifier.classes))
    return Evaluation(measured, audit(source, pairs, trained_only=False), classifier)


def _part_of(source: Source, data: str | os.PathLike[str], asked: str) -> str:
    """The part to measure on. Raises RequestError for one that the data do not have."""
    given = {item.part for item in source.items}
    part = asked or measured_part(sorted(given))
    if part and part not in given:
        known = ", ".join(sorted(filter(None, given))) or "none"
        raise RequestError(f"{str(data)!r} has no part {part!r}; it has {known}")
    return part


def _label(index: dict[str, int], source: Source, item: Item) -> int:
    """The place of the item's class in the model. Raises RequestError for a class that the model does not know."""
    name = source.task.spoken(item.target)
    if name not in index:
        raise RequestError(f"the model has no class {name!r} ({item.key!r})")
    return index[name]
