"""The evaluation of masks: one confusion matrix over the set, and boundaries; and its report sections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import printable
from striate.sections import Bar, Column, Fact, Facts, Gallery, Picture, Section, Step, Strong, Table, Text
from striate.sections.wording import percent
from striate.tasks.base import Evaluation
from striate.tasks.metrics import bootstrap_interval
from striate.tasks.pixel_losses import VOID, pixel_shares
from striate.tasks.report_common import BEATEN, SHOWN, Example, ReportContext
from striate.tasks.values import or_none

BOUNDARY = 0.0075  # of the image's diagonal: how far apart boundaries may be and still match (Csurka et al. 2013)
NEVER = 0.05  # IoU of a class that is as good as never found

Counts = NDArray[np.int64]


def confusion(predicted: NDArray[np.uint8], true: NDArray[np.uint8], classes: int) -> Counts:
    """Pixels by true class (rows) and predicted class: int64 [classes, classes]; void pixels of `true` are left out."""
    counted = true < classes
    pairs = true[counted].astype(np.int64) * classes + np.minimum(predicted[counted], classes - 1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_ious(matrix: Counts) -> NDArray[np.float64]:
    """The intersection over union of each class [classes]; NaN for one that is neither there nor predicted."""
    hit = np.diagonal(matrix).astype(np.float64)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - hit
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(union > 0, hit / np.maximum(union, 1), np.nan))


def mean_iou(matrix: Counts) -> float:
    """The mean IoU over the classes that are there or predicted; NaN for no pixel."""
    found = class_ious(matrix)
    return float(np.nanmean(found)) if np.isfinite(found).any() else math.nan


def boundary_f1(predicted: NDArray[np.uint8], true: NDArray[np.uint8], classes: int) -> float:
    """How well the outlines of one image agree, from 0 to 1: the mean over its classes; NaN where there is no outline.

    Of each class, precision and recall of boundary pixels that lie within BOUNDARY of the diagonal of the other's, as
    their harmonic mean. Source: Csurka et al. 2013, "What is a good evaluation measure for semantic segmentation?".
    """
    reach = max(1, round(BOUNDARY * math.hypot(*true.shape)))
    predicted = np.where(true == VOID, np.uint8(VOID), predicted)
    found = []
    for name in range(classes):
        mine, theirs = _outline(predicted == name), _outline(true == name)
        if not (mine.any() or theirs.any()):
            continue
        precision = float(_within(theirs, reach)[mine].mean()) if mine.any() else 0.0
        recall = float(_within(mine, reach)[theirs].mean()) if theirs.any() else 0.0
        found.append(2 * precision * recall / max(precision + recall, 1e-12))
    return float(np.mean(found)) if found else math.nan


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a region with a neighbour outside it; the image's edge is no outline."""
    whole = np.pad(inside, 1, mode="edge")
    core = whole[:-2, 1:-1] & whole[2:, 1:-1] & whole[1:-1, :-2] & whole[1:-1, 2:]
    return np.asarray(inside & ~core)


def _within(marked: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Pixels up to `reach` from a marked one, along each axis."""
    for axis in (0, 1):
        spread = marked.copy()
        for step in range(1, reach + 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            spread[tuple(ahead)] |= marked[tuple(behind)]
            spread[tuple(behind)] |= marked[tuple(ahead)]
        marked = spread
    return marked


class SegmentationEvaluation(Evaluation):
    """The mean IoU over the classes, of all pixels of the set together; predictions and targets uint8 [N, H, W]."""

    @cached_property
    def by_image(self) -> Counts:
        """The confusion matrix of each image: int64 [N, classes, classes]."""
        classes = self.task.outputs
        each = [confusion(p, t, classes) for p, t in zip(self.predictions, self.targets, strict=True)]
        return np.stack(each) if each else np.zeros((0, classes, classes), np.int64)

    @cached_property
    def matrix(self) -> Counts:
        """The confusion matrix of the set: true classes are rows."""
        return np.asarray(self.by_image.sum(axis=0))

    @property
    def score(self) -> float:
        """The mean IoU."""
        return mean_iou(self.matrix)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval over samples of the images with replacement."""
        low, high = bootstrap_interval(lambda rows: mean_iou(self.by_image[rows].sum(axis=0)), self.total)
        return max(0.0, low), min(1.0, high)

    @property
    def ious(self) -> NDArray[np.float64]:
        """Each class's IoU."""
        return class_ious(self.matrix)

    @property
    def pixel_accuracy(self) -> float:
        """The share of pixels whose class is right."""
        return float(np.trace(self.matrix) / self.matrix.sum()) if self.matrix.any() else math.nan

    @property
    def class_accuracy(self) -> float:
        """The mean over the classes of the share of their pixels that is found."""
        held = self.matrix.sum(axis=1)
        found = np.diagonal(self.matrix)[held > 0] / held[held > 0]
        return float(found.mean()) if len(found) else math.nan

    @cached_property
    def boundary(self) -> float:
        """The mean over the images of `boundary_f1`."""
        pairs = zip(self.predictions, self.targets, strict=True)
        found = [boundary_f1(one, true, self.task.outputs) for one, true in pairs]
        known = [value for value in found if math.isfinite(value)]
        return float(np.mean(known)) if known else math.nan

    def lines(self) -> list[str]:
        """Mean IoU, the IoU of each class, pixel accuracy, boundaries."""
        low, high = self.interval
        head = f"Mean IoU {percent(self.score)} (95 % interval {percent(low)} to {percent(high)}; {self.where()})"
        ious = ", ".join(f"{name} {text}" for name, text in list(self.rows().items())[:SHOWN])
        return [
            head,
            f"IoU: {ious}",
            f"Pixel accuracy {percent(self.pixel_accuracy)}; boundary F1 {percent(self.boundary)}",
        ]

    def details(self) -> dict[str, Any]:
        """The metrics as JSON values; a class that is neither there nor predicted has no IoU."""
        return {
            "mean_iou": or_none(self.score),
            "interval": list(map(or_none, self.interval)),
            "iou": {name: or_none(value) for name, value in zip(self.task.names, self.ious.tolist(), strict=True)},
            "pixel_accuracy": or_none(self.pixel_accuracy),
            "class_accuracy": or_none(self.class_accuracy),
            "boundary_f1": or_none(self.boundary),
        }

    def errors(self) -> NDArray[np.float64]:
        """One less the mean IoU of each image; 0 for an image of void pixels only."""
        found = np.array([mean_iou(matrix) for matrix in self.by_image], np.float64)
        return np.where(np.isfinite(found), 1 - found, 0.0)

    def outcomes(self) -> NDArray[np.float64]:
        """The mean IoU of each image."""
        return 1 - self.errors()

    def rows(self) -> dict[str, str]:
        """Each class's IoU."""
        pairs = zip(self.task.names, self.ious.tolist(), strict=True)
        return {printable(name): percent(iou) if math.isfinite(iou) else "not there" for name, iou in pairs}


# Colours and overlays


def colours(count: int) -> NDArray[np.uint8]:
    """A colour for each of `count` classes, uint8 [count, 3]: those of PASCAL VOC, the first black."""
    found = np.zeros((count, 3), np.uint8)
    for index in range(count):
        number, bit = index, 7
        while number:
            for channel in range(3):
                found[index, channel] |= ((number >> channel) & 1) << bit
            number, bit = number >> 3, bit - 1
    return found


def overlay(image: NDArray[np.uint8], mask: NDArray[np.uint8], strength: float = 0.55) -> NDArray[np.uint8]:
    """An image [H, W, 3] or [H, W] with the classes of its mask [H, W] laid over it; class 0 and void are left clear.

    The outlines of classes are drawn in their full colour.
    """
    rgb = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    painted = colours(VOID + 1)[mask]
    edge = np.zeros(mask.shape, bool)
    for name in np.unique(mask):
        edge |= _outline(mask == name)
    shown = (mask != 0) & (mask != VOID)
    mixed = np.where(shown[..., None], (1 - strength) * rgb + strength * painted, rgb)
    mixed[edge & shown] = painted[edge & shown]
    return np.asarray(mixed.round().astype(np.uint8))


# The report


def report_sections(evaluation: SegmentationEvaluation, context: ReportContext) -> tuple[Section, ...]:
    """Figures by class, and the worst images with their masks."""
    if not evaluation.total:
        return ()
    return figures_section(evaluation), mistakes_section(evaluation, context.examples)


def figures_section(evaluation: SegmentationEvaluation) -> Section:
    """Each class's IoU and pixels; pixel accuracy and boundaries."""
    facts = Facts(
        (
            Fact("Pixel accuracy", percent(evaluation.pixel_accuracy)),
            Fact("Mean class accuracy", percent(evaluation.class_accuracy)),
            Fact("Boundary F1", percent(evaluation.boundary), "outlines within 0.75 % of the diagonal"),
        )
    )
    shares = evaluation.matrix.sum(axis=1) / max(1, int(evaluation.matrix.sum()))
    recall = np.diagonal(evaluation.matrix) / np.maximum(1, evaluation.matrix.sum(axis=1))
    rows = [
        (
            printable(name),
            Bar(iou if math.isfinite(iou) else None),
            percent(iou) if math.isfinite(iou) else "not there",
            percent(float(found)),
            percent(float(share)),
        )
        for name, iou, found, share in zip(evaluation.task.names, evaluation.ious.tolist(), recall, shares, strict=True)
    ]
    columns = (Column("class"), Column("IoU"), Column(""), Column("found", True), Column("of all pixels", True))
    lead = "From one confusion matrix over all pixels of the held-out images; void pixels are left out."
    return Section("classes", "Classes", (facts, Table(columns, rows, ("class", "classes"), "classes")), lead)


def mistakes_section(evaluation: SegmentationEvaluation, examples: Sequence[Example]) -> Section:
    """The images of the lowest IoU: the true mask beside the predicted one."""
    if not examples:
        return Section("mistakes", "Worst images", (Text("No pictures of them are available.", "quiet"),))
    pictures: list[Picture] = []
    errors = evaluation.errors()
    for one in examples[:SHOWN]:
        true, predicted = evaluation.targets[one.row], evaluation.predictions[one.row]
        pictures += [
            Picture(overlay(one.image, true), "true mask", one.path),
            Picture(
                overlay(one.image, predicted),
                ("predicted, mean IoU\u00a0", Strong(percent(1 - float(errors[one.row])))),
                one.path,
            ),
        ]
    lead = "The lowest mean IoU first. Class 0 is left clear. Check the true masks: are they complete and exact?"
    return Section("mistakes", "Worst images", (Gallery(tuple(pictures)),), lead)


def next_steps(evaluation: SegmentationEvaluation, context: ReportContext) -> tuple[Step, ...]:
    """What to look at next, the most useful first."""
    if not evaluation.total:
        return ()
    steps = []
    base = baseline(evaluation, context.train_targets)
    if math.isfinite(base) and evaluation.score <= base:
        why = f"Giving every pixel the most frequent class has a mean IoU of {percent(base)}."
        steps.append(Step("classes", BEATEN, why, urgent=True))
    ious = list(zip(evaluation.task.names, evaluation.ious.tolist(), strict=True))
    if lost := [printable(name) for name, iou in ious if iou < NEVER]:
        names = ", ".join(lost[:3])
        why = f"{names}: IoU below {percent(NEVER)}. The loss weighted-cross-entropy counts rare classes more."
        steps.append(Step("classes", "Classes that are not found", why))
    if context.examples:
        steps.append(Step("mistakes", "Check the masks of the worst images", "Gaps in true masks cost as errors do."))
    return tuple(steps)


def baseline(evaluation: SegmentationEvaluation, train_masks: NDArray[Any]) -> float:
    """The mean IoU of giving every pixel the most frequent class of the training masks; NaN without any."""
    classes = evaluation.task.outputs
    shares = pixel_shares(train_masks, classes) if train_masks.size else np.zeros(classes)
    if not shares.any():
        return math.nan
    held, constant = evaluation.matrix.sum(axis=1), np.zeros_like(evaluation.matrix)
    constant[:, int(shares.argmax())] = held
    return mean_iou(constant)
