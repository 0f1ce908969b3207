"""The evaluation of boxes: COCO's average precision; and its report sections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.errors import printable
from striate.sections import Bar, Column, Gallery, Picture, Preformatted, Section, Step, Strong, Table, Text
from striate.sections.wording import percent
from striate.tasks.base import Evaluation
from striate.tasks.box_pictures import Drawn, draw_boxes
from striate.tasks.coco_metrics import (
    THRESHOLDS,
    Figure,
    Matches,
    Scene,
    average_precisions,
    class_precisions,
    coco_figures,
    match,
    mean_or,
)
from striate.tasks.detection_arrays import BOX, CLASS, CROWD, FOUND_BOX, FOUND_CLASS, SCORE, SIZE, scenes, shown
from striate.tasks.metrics import bootstrap_interval
from striate.tasks.report_common import SHOWN, Example, ReportContext
from striate.tasks.values import or_none

SHOWN_SCORE = 0.4  # from here on a detection is drawn, named, and counted as an error if it is wrong
HALF = np.array([0.5])  # the IoU at which an object counts as found, for the errors of an image
MANY = 20_000  # images times classes: from here on no interval is computed
NEVER = 0.05  # AP50 of a class that is as good as never found


class DetectionEvaluation(Evaluation):
    """COCO's figures over a set of images; predictions float32 [N, 100, 6], targets float32 [N, rows, 9]."""

    @cached_property
    def scenes(self) -> list[Scene]:
        """The images in their own pixels."""
        return scenes(self.predictions, self.targets)

    @cached_property
    def precisions(self) -> NDArray[np.float64]:
        """The average precision of each class at each IoU from 0.5 to 0.95: [classes, 10]; NaN without an object."""
        return class_precisions(self.scenes, self.task.outputs)

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """COCO's twelve numbers."""
        return coco_figures(self.scenes, self.task.outputs)

    @property
    def score(self) -> float:
        """The average precision, over IoUs from 0.5 to 0.95 and over the classes."""
        return mean_or(self.precisions)

    @property
    def ap50(self) -> float:
        """The average precision at an IoU of 0.5."""
        return mean_or(self.precisions[:, 0])

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval over samples of the images with replacement; (-inf, inf) for a large set."""
        if self.total * self.task.outputs > MANY:
            return -math.inf, math.inf
        classes = [[match(scene, name) for scene in self.scenes] for name in range(self.task.outputs)]
        low, high = bootstrap_interval(lambda rows: _resampled(classes, rows), self.total)
        return (max(0.0, low), min(1.0, high)) if math.isfinite(low) else (low, high)

    @cached_property
    def mistakes(self) -> NDArray[np.int64]:
        """Objects of each image that are found, that are missed, and detections that are wrong: [N, 3]."""
        table = np.zeros((self.total, 3), np.int64)
        shown_only = [shown(one, SHOWN_SCORE) for one in self.predictions]
        padded = [np.pad(one, ((0, 1), (0, 0)), constant_values=-1) for one in shown_only]
        for row, scene in enumerate(
            scene for one, true in zip(padded, self.targets, strict=True) for scene in scenes(one[None], true[None])
        ):
            for name in range(self.task.outputs):
                found = match(scene, name, thresholds=HALF)
                counts = ~found.ignored[0]
                right = int((found.hit[0] & counts).sum())
                table[row] += (right, found.objects - right, int((~found.hit[0] & counts).sum()))
        return table

    def lines(self) -> list[str]:
        """AP and AP50, then COCO's twelve numbers as pycocotools prints them."""
        low, high = self.interval
        sure = f"95 % interval {percent(low)} to {percent(high)}; " if math.isfinite(low) else ""
        if math.isnan(self.score):
            return [f"No object in {self.where()}: there is no average precision"]
        head = f"AP {percent(self.score)}, AP50 {percent(self.ap50)} ({sure}{self.where()})"
        return [head, *(one.line() for one in self.figures)]

    def details(self) -> dict[str, Any]:
        """The metrics as JSON values; a class without an object has no average precision."""
        per_class = zip(self.task.names, self.precisions, strict=True)
        return {
            "ap": or_none(self.score),
            "ap50": or_none(self.ap50),
            "interval": list(map(or_none, self.interval)),
            "coco": {one.name: None if one.value < 0 else one.value for one in self.figures},
            "class_ap": {name: or_none(mean_or(values)) for name, values in per_class},
        }

    def errors(self) -> NDArray[np.float64]:
        """Of each image, missed objects and wrong detections as a share of these and the found ones."""
        wrong = self.mistakes[:, 1] + self.mistakes[:, 2]
        return np.asarray(wrong / np.maximum(1, self.mistakes.sum(axis=1)))

    def worst(self, limit: int) -> list[int]:
        """The images with the most mistakes."""
        wrong = self.mistakes[:, 1] + self.mistakes[:, 2]
        order = np.lexsort((-self.errors(), -wrong))[:limit]
        return [int(row) for row in order if wrong[row]]

    def outcomes(self) -> NDArray[np.float64]:
        """One less the error of each image."""
        return 1 - self.errors()

    def rows(self) -> dict[str, str]:
        """Each class's average precision."""
        pairs = zip(self.task.names, self.precisions, strict=True)
        return {
            printable(name): percent(mean_or(values)) if np.isfinite(values).any() else "no object"
            for name, values in pairs
        }


def _resampled(classes: Sequence[Sequence[Matches]], rows: NDArray[np.int64]) -> float:
    return mean_or(np.stack([average_precisions([own[row] for row in rows])[0] for own in classes]))


# The report


def report_sections(evaluation: DetectionEvaluation, context: ReportContext) -> tuple[Section, ...]:
    """Figures by class, COCO's numbers, and the worst images with their boxes."""
    if not evaluation.total:
        return ()
    return figures_section(evaluation), mistakes_section(evaluation, context.examples)


def figures_section(evaluation: DetectionEvaluation) -> Section:
    """Each class's average precision and number of objects; COCO's twelve numbers."""
    real = (evaluation.targets[..., CLASS] >= 0) & (evaluation.targets[..., CROWD] == 0)
    counts = np.bincount(evaluation.targets[..., CLASS][real].astype(np.int64), minlength=evaluation.task.outputs)
    places = {"AP50": 0, "AP75": int(np.isclose(THRESHOLDS, 0.75).argmax())}
    rows: list[tuple[str | Bar, ...]] = []
    for name, values, count in zip(evaluation.task.names, evaluation.precisions, counts.tolist(), strict=True):
        ap = mean_or(values)
        known = math.isfinite(ap)
        by_iou = [percent(float(values[place])) if known else "" for place in places.values()]
        cells = (percent(ap) if known else "no object", *by_iou, f"{count:,}")
        rows.append((printable(name), Bar(ap if known else None), *cells))
    columns = (Column("class"), Column("AP"), Column(""), *map(Column, places), Column("objects", True))
    found, missed, wrong = evaluation.mistakes.sum(axis=0).tolist()
    counted = (
        f"At a score of {SHOWN_SCORE} or more: {found:,} objects found, {missed:,} missed, {wrong:,} wrong detections "
        "(IoU of at least 0.5)."
    )
    printed = "\n".join(one.line() for one in evaluation.figures)
    blocks = (
        Table(columns, rows, ("class", "classes"), "classes"),
        Text(counted),
        Preformatted("COCO\u2019s twelve numbers, as pycocotools prints them", printed),
    )
    lead = "AP is the mean over IoUs from 0.5 to 0.95: how many objects are found, at which precision, and how exactly."
    return Section("classes", "Classes", blocks, lead)


def mistakes_section(evaluation: DetectionEvaluation, examples: Sequence[Example]) -> Section:
    """The images with the most mistakes: the true boxes beside the predicted ones."""
    if not examples:
        why = (
            "No pictures of them are available." if evaluation.worst(1) else "Every object was found, and nothing else."
        )
        return Section("mistakes", "Worst images", (Text(why, "quiet"),))
    pictures: list[Picture] = []
    for one in examples[:SHOWN]:
        _, missed, wrong = evaluation.mistakes[one.row].tolist()
        true, found = evaluation.targets[one.row], shown(evaluation.predictions[one.row], SHOWN_SCORE)
        image = _in_shape(one.image, true[0, SIZE])
        caption = ("predicted: ", Strong(f"{missed} missed, {wrong} wrong"))
        pictures += [
            Picture(draw_boxes(image, _true(true, image)), "true boxes", one.path),
            Picture(draw_boxes(image, _predicted(found, image)), caption, one.path),
        ]
    lead = (
        f"The most mistakes first, at a score of {SHOWN_SCORE} or more. Check the true boxes: is every object boxed, "
        "and closely?"
    )
    return Section("mistakes", "Worst images", (Gallery(tuple(pictures)),), lead)


def _in_shape(image: NDArray[np.uint8], size: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The network's square view of an image in the image's own aspect."""
    width, height = size.tolist()
    longer = max(image.shape[:2])
    to = (max(1, round(longer * min(1.0, width / height))), max(1, round(longer * min(1.0, height / width))))
    return np.asarray(Image.fromarray(image).resize(to, Image.Resampling.BILINEAR))


def _true(rows: NDArray[np.float32], image: NDArray[np.uint8]) -> list[Drawn]:
    return [Drawn(_pixels(row[BOX], image), int(row[CLASS])) for row in rows if row[CLASS] >= 0]


def _predicted(rows: NDArray[np.float32], image: NDArray[np.uint8]) -> list[Drawn]:
    return [Drawn(_pixels(row[FOUND_BOX], image), int(row[FOUND_CLASS]), f"{row[SCORE]:.2f}") for row in rows]


def _pixels(box: NDArray[np.float32], image: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box.tolist()
    return x1 * width, y1 * height, x2 * width, y2 * height


def next_steps(evaluation: DetectionEvaluation, context: ReportContext) -> tuple[Step, ...]:
    """What to look at next, the most useful first."""
    if not evaluation.total or math.isnan(evaluation.score):
        return ()
    steps = []
    by_name = zip(evaluation.task.names, evaluation.precisions, strict=True)
    if lost := [printable(name) for name, values in by_name if values[0] < NEVER]:
        why = f"{', '.join(lost[:3])}: AP50 below {percent(NEVER)}. More images of them are needed, or larger ones."
        steps.append(Step("classes", "Classes that are not found", why))
    if context.examples:
        steps.append(
            Step("mistakes", "Check the boxes of the worst images", "A missing true box costs as an error does.")
        )
    return tuple(steps)
