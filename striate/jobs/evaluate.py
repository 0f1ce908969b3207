"""Evaluate: how good a model is on labelled images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit, audit
from striate.data.audit.looking import Record, look
from striate.data.augment.crops import TenCrops
from striate.data.opening import open_source
from striate.data.sources.base import Item, Source
from striate.data.splits import measured_part
from striate.errors import RequestError
from striate.inference.classifier import Classifier
from striate.inference.engine import BATCH, engine_version
from striate.jobs.load import load
from striate.jobs.measure import Measured, measure
from striate.pixels import Images
from striate.progress import Progress
from striate.task import Target, Task


@dataclass(frozen=True, eq=False)
class ModelEvaluation:
    """What a model is worth on labelled images."""

    evaluation: Measured
    audit: Audit
    classifier: Classifier

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values; shares are 0..1."""
        engine = self.classifier.engine_name
        return {
            **self.evaluation.as_dict(),
            "engine": f"{engine} {engine_version(engine)}",
            "precision": self.classifier.precision,
            "set_aside": self.audit.as_dict()["set_aside"],
        }


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    part: str = "",
    ten_crop: bool = False,
    engine: str = "auto",
    precision: str = "auto",
    progress: Progress | None = None,
) -> ModelEvaluation:
    """Measure a model on a source. part: "train", "val" or "test"; by default the held-out one, or all without parts.

    ten_crop: answer each image by the mean of ten views of it, as AlexNet was measured; ten times the work.
    Raises RequestError where the data are of another task, or no class of theirs is one of the model's.
    """
    classifier = load(model, engine=engine, precision=precision)
    source = open_source(data)
    place = _same_names(classifier.model.task, source, str(data))
    part = _part_of(source, data, part)
    items = [item for item in source.items if item.part == part]
    cropping = TenCrops(classifier.model.pixels) if ten_crop else classifier.model.pixels
    pairs: list[tuple[Item, Record]] = []
    learnt: list[Item] = []
    rows: list[NDArray[np.float32]] = []
    waiting: list[Images] = []
    with (progress or Progress()).bar("Evaluating", len(items)) as bar:
        for looked in look(source, cropping, items=items):
            bar.advance()
            pairs.append((looked.item, looked.record))
            if looked.crop is not None:
                learnt.append(_as_the_model_has_it(looked.item, source.task, place))
                waiting.append(looked.crop)
            if len(waiting) == BATCH:
                rows.append(_answers(classifier, np.stack(waiting)))
                waiting.clear()
        if waiting:
            rows.append(_answers(classifier, np.stack(waiting)))
    if not rows:
        raise RequestError(f"no usable image to evaluate on in {str(data)!r}")
    task = classifier.model.task
    measured = measure(part, task, np.concatenate(rows), task.targets(learnt))
    return ModelEvaluation(measured, audit(source, pairs, trained_only=False), classifier)


def _answers(classifier: Classifier, crops: Images) -> NDArray[np.float32]:
    """Answers [N, outputs] to crops [N, H, W, C]; to views [N, V, H, W, C], the mean over the views."""
    views = classifier.answers(crops.reshape(-1, *crops.shape[-3:]))
    return np.asarray(views.reshape(len(crops), -1, views.shape[1]).mean(axis=1))


def _same_names(task: Task, source: Source, data: str) -> dict[str, int]:
    """The model's places by name. Raises RequestError where model and data cannot speak of the same thing."""
    if source.task.kind != task.kind:
        raise RequestError(f"the model's task is {task.kind!r}, and that of {data!r} is {source.task.kind!r}")
    place = {name: number for number, name in enumerate(task.names)}
    if task.kind != "number" and not place.keys() & set(source.task.names):
        raise RequestError(
            f"none of the classes of {data!r} ({', '.join(source.task.names[:3])}, ...) "
            f"is one of the model's ({', '.join(task.names[:3])}, ...)"
        )
    return place


def _as_the_model_has_it(item: Item, task: Task, place: dict[str, int]) -> Item:
    """The item with its target counted as the model counts. Raises RequestError for a name the model does not know."""
    if task.kind == "number":
        return item
    several = isinstance(item.target, tuple)
    names = [task.names[number] for number in (item.target if isinstance(item.target, tuple) else (int(item.target),))]
    for name in names:
        if name not in place:
            what = "label" if several else "class"
            raise RequestError(f"the model has no {what} {name!r} ({item.key!r})")
    target: Target = tuple(sorted(place[name] for name in names)) if several else place[names[0]]
    return Item(item.key, target, item.part)


def _part_of(source: Source, data: str | os.PathLike[str], asked: str) -> str:
    """The part to measure on. Raises RequestError for one that the data do not have."""
    given = {item.part for item in source.items}
    part = asked or measured_part(sorted(given))
    if part and part not in given:
        known = ", ".join(sorted(filter(None, given))) or "none"
        raise RequestError(f"{str(data)!r} has no part {part!r}; it has {known}")
    return part
