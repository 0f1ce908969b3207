"""Evaluation of a model on a source of labelled images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit, audit
from striate.data.audit.looking import Record, look
from striate.data.augment.crops import TenCrops
from striate.data.sources.base import Item, Source
from striate.data.splits import measured_part
from striate.errors import RequestError
from striate.inference.engine import engine_version, in_batches
from striate.pixels import Images, Pixels
from striate.progress import Progress
from striate.tasks import Evaluation, Target, Task
from striate.tasks.base import NONE
from striate.tasks.values import MetricFunction


@dataclass(frozen=True, eq=False)
class ModelEvaluation:
    """The evaluation of a model on labelled images. audit: of these images. engine, precision: of inference."""

    evaluation: Evaluation
    audit: Audit
    engine: str
    precision: str

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values; shares are 0..1."""
        return {
            **self.evaluation.as_dict(),
            "engine": f"{self.engine} {engine_version(self.engine)}",
            "precision": self.precision,
            "set_aside": self.audit.as_dict()["set_aside"],
        }


def evaluate_on(
    source: Source,
    task: Task,
    pixels: Pixels,
    predict: Callable[[Images], NDArray[np.float32]],
    *,
    part: str = "",
    ten_crop: bool = False,
    metrics: Mapping[str, MetricFunction] = NONE,
    progress: Progress | None = None,
) -> tuple[Evaluation, Audit]:
    """Evaluate a model of this task on the images of a source: its predictions by `predict`, from crops by `pixels`.

    part: "train", "val" or "test"; by default the held-out one, or all images if there are no parts.
    ten_crop: average the predictions over ten views of each image, as for AlexNet; ten times the work.
    Raises RequestError if the data have another task, or none of the model's classes.
    """
    index = shared_names(task, source)
    part = _part_of(source, part)
    items = [item for item in source.items if item.part == part]
    pairs: list[tuple[Item, Record]] = []

    def usable() -> Iterator[tuple[Target, Images]]:
        for looked in look(source, TenCrops(pixels) if ten_crop else pixels, items=items):
            bar.advance()
            pairs.append((looked.item, looked.record))
            if looked.crop is not None:
                yield in_the_models_order(looked.item, source.task, index, task), looked.crop

    def predictions(crops: Images) -> NDArray[np.float32]:
        """[N, outputs] of crops [N, H, W, C]; of views [N, V, H, W, C], the mean over the views."""
        views = predict(crops.reshape(-1, *crops.shape[-3:]))
        return np.asarray(views.reshape(len(crops), -1, views.shape[1]).mean(axis=1))

    with (progress or Progress()).bar("Evaluating", len(items)) as bar:
        found = list(in_batches(predictions, usable()))
    if not found:
        raise RequestError(f"no usable image to evaluate on in {source.name!r}")
    rows, targets = np.stack([row for _, row in found]), task.collate(target for target, _ in found)
    return task.evaluate(part, rows, targets, metrics=metrics), audit(source, pairs, trained_only=False)


def shared_names(task: Task, source: Source) -> dict[int, int]:
    """The data's class indices -> the model's, for the names that both have.

    Raises RequestError for different tasks, or without a common name.
    """
    if source.task.kind != task.kind:
        raise RequestError(f"the model's task is {task.kind!r}, and that of {source.name!r} is {source.task.kind!r}")
    theirs = {name: index for index, name in enumerate(task.names)}
    shared = {index: theirs[name] for index, name in enumerate(source.task.names) if name in theirs}
    if task.wording.names_listed and not shared:
        raise RequestError(
            f"none of the {task.wording.many} of {source.name!r} ({', '.join(source.task.names[:3])}, ...) "
            f"is one of the model's ({', '.join(task.names[:3])}, ...)"
        )
    return shared


def in_the_models_order(item: Item, theirs: Task, index: dict[int, int], task: Task) -> Target:
    """The item's target by the model's indices. Raises RequestError for a name that the model does not have."""
    if not task.wording.names_listed:
        return item.target
    for place in theirs.indices(item.target):
        if place not in index:
            raise RequestError(f"the model has no {task.wording.one} {theirs.names[place]!r} ({item.key!r})")
    return theirs.reindexed(item.target, index)


def _part_of(source: Source, asked: str) -> str:
    """The part to evaluate on. Raises RequestError for one that the data do not have."""
    given = {item.part for item in source.items}
    part = asked or measured_part(sorted(given))
    if part and part not in given:
        known = ", ".join(sorted(filter(None, given))) or "none"
        raise RequestError(f"{source.name!r} has no part {part!r}; it has {known}")
    return part
