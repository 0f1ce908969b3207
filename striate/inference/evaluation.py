"""Evaluation of a model on a source of labelled images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit, audit
from striate.data.audit.looking import Looked, Record, look
from striate.data.augment.crops import Several
from striate.data.sources.base import Item, Source
from striate.data.splits import measured_part
from striate.errors import RequestError
from striate.inference.averaging import Part, average, viewed
from striate.inference.engine import engine_version, in_batches
from striate.inference.image_predictor import ImagePredictor
from striate.pixels import Images, Pixels
from striate.progress import Progress
from striate.tasks import Evaluation, Target, Task
from striate.tasks.base import NONE
from striate.tasks.paired import PairedGain, paired_gain
from striate.tasks.pixel_losses import VOID
from striate.tasks.values import MetricFunction, Targets, or_none


@dataclass(frozen=True, eq=False)
class ModelEvaluation:
    """The evaluation of a model on labelled images. audit: of these images. engine, precision: of inference.

    views: over which predictions were averaged, "" for the plain one alone; then `plain` is the evaluation of that one,
    and `gain` what averaging brought. hint: a line for the user on what would do better, "" for none.
    """

    evaluation: Evaluation
    audit: Audit
    engine: str
    precision: str
    views: str = ""
    plain: Evaluation | None = None
    gain: PairedGain | None = None
    hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values; shares are 0..1."""
        found = {
            **self.evaluation.as_dict(),
            "engine": f"{self.engine} {engine_version(self.engine)}",
            "precision": self.precision,
            "set_aside": self.audit.as_dict()["set_aside"],
            **({"hint": self.hint} if self.hint else {}),
        }
        if self.plain is not None and self.gain is not None:
            plain = or_none(self.plain.score)
            found |= {"views": self.views, "plain": {self.plain.task.metric.key: plain}, "gain": self.gain.as_dict()}
        return found


@dataclass(frozen=True, eq=False)
class Predicted:
    """What several parts predict for labelled images. rows: of each part, [N, outputs]. audit: of the images."""

    part: str
    task: Task
    rows: tuple[NDArray[np.float32], ...]
    targets: Targets
    audit: Audit

    def evaluated(self, weights: Sequence[float], metrics: Mapping[str, MetricFunction] = NONE) -> Evaluation:
        """The evaluation of the parts' mean with these weights."""
        total = sum(weights)
        rows = average(self.rows, [weight / total for weight in weights])
        return self.task.evaluate(self.part, rows, self.targets, metrics=metrics)


def evaluate_views(
    predictor: ImagePredictor,
    source: Source,
    *,
    part: str = "",
    views: str = "",
    metrics: Mapping[str, MetricFunction] = NONE,
    progress: Progress | None = None,
) -> ModelEvaluation:
    """Evaluate a model on the images of a source; with `views`, averaged over them, and compared with the plain view.

    part: "train", "val" or "test"; by default the held-out one, or all images if there are no parts.
    Raises RequestError if the data have another task, or none of the model's classes.
    """
    averaged = viewed(predictor.averaged, views) if views else predictor.averaged
    part = part_of(source, part)
    items = [item for item in source.items if item.part == part]
    found = predict_on(source, items, part, predictor.task, averaged, progress)
    evaluation = found.evaluated([one.weight for one in averaged], metrics)
    engine, precision = predictor.engine_name, predictor.precision
    if not views:
        return ModelEvaluation(evaluation, found.audit, engine, precision)
    plain = found.evaluated([one.plain for one in averaged], metrics)
    gain = paired_gain(evaluation, [plain])
    return ModelEvaluation(evaluation, found.audit, engine, precision, views, plain, gain)


def predict_on(
    source: Source,
    items: Sequence[Item],
    part: str,
    task: Task,
    parts: Sequence[Part],
    progress: Progress | None = None,
) -> Predicted:
    """The predictions of several networks or views for labelled images, each decoded once.

    Raises RequestError if the data have another task, none of the model's classes, or no usable image, and for
    predictions that are not finite.
    """
    index, view = shared_names(task, source), Several.of(one.view for one in parts)
    pairs: list[tuple[Item, Record]] = []
    pixels = plain_pixels(parts) if task.dense else None

    def usable() -> Iterator[tuple[Target, Images]]:
        for looked in look(source, view, items=items):
            bar.advance()
            pairs.append((looked.item, looked.record))
            if looked.crop is not None:
                mask = mask_of(looked, pixels, index) if pixels else None
                yield mask if pixels else in_the_models_order(looked.item, source.task, index, task), looked.crop

    def predictions(crops: Images) -> NDArray[np.float32]:
        """[N, parts, outputs] of the views of N images."""
        seen = view.parts(crops)
        return np.stack([one.finite(seen[one.view]) for one in parts], axis=1)

    with (progress or Progress()).bar("Evaluating", len(items)) as bar:
        found = list(in_batches(predictions, usable()))
    if not found:
        raise RequestError(f"no usable image to evaluate on in {source.name!r}")
    rows, given = np.stack([row for _, row in found]), [target for target, _ in found]
    targets = np.stack(given) if task.dense else task.collate(given)
    each = tuple(rows[:, place] for place in range(len(parts)))
    return Predicted(part, task, each, targets, audit(source, pairs, trained_only=False))


def plain_pixels(parts: Sequence[Part]) -> Pixels:
    """The preprocessing of masks. Raises RequestError for several networks or views: masks have no mean."""
    view = parts[0].view
    if len(parts) > 1 or not isinstance(view, Pixels):
        raise RequestError("masks are predicted by one network on the plain image: no views and no ensemble")
    return view


def mask_of(looked: Looked, pixels: Pixels, index: Mapping[int, int]) -> Images:
    """The mask of an image as the model sees it, in the model's classes; classes that it does not have are void."""
    if looked.mask is None:
        raise RequestError(f"the source gives no mask of {looked.item.key!r}")
    table = np.full(256, VOID, np.uint8)
    for theirs, ours in index.items():
        table[theirs] = ours
    return np.asarray(table[pixels.apply_mask(looked.mask, VOID)])


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


def part_of(source: Source, asked: str) -> str:
    """The part to evaluate on. Raises RequestError for one that the data do not have."""
    given = {item.part for item in source.items}
    part = asked or measured_part(sorted(given))
    if part and part not in given:
        known = ", ".join(sorted(filter(None, given))) or "none"
        raise RequestError(f"{source.name!r} has no part {part!r}; it has {known}")
    return part
