"""Detection: the objects in an image, each with a box and a class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable
from striate.sections import Section, Step
from striate.tasks import detection_evaluation as report
from striate.tasks.base import Evaluation, Task
from striate.tasks.detection_arrays import (
    CLASS,
    COLUMNS,
    FOUND_BOX,
    FOUND_CLASS,
    MOST,
    SCORE,
    collated,
    counted,
    detections,
    shown,
)
from striate.tasks.detection_evaluation import SHOWN_SCORE, DetectionEvaluation
from striate.tasks.detection_loss import DetectionLoss
from striate.tasks.losses import Loss
from striate.tasks.metrics import percent
from striate.tasks.report_common import ReportContext
from striate.tasks.values import Agreement, Answer, Metric, Predictions, Strata, Target, Targets, Wording

FITTED = 0.8  # AP over IoUs up to 0.95: boxes are never fitted to the last pixel
LISTED = 5  # objects in a line
SAME = 0.02  # of the image's side, and of the score: detections that differ by less agree


@dataclass(frozen=True)
class Detection(Task):
    """The objects in an image. An image's target is (width, height, objects): its size upright, and for each object
    (class, x1, y1, x2, y2, crowd, area), with the box in pixels and the area of the object in square pixels.

    An image may be without objects. Arrays of targets and of predictions: see `detection_arrays`.
    """

    kind: ClassVar[str] = "detection"
    metric: ClassVar[Metric] = Metric("average precision", "ap", "ap", share=True)
    wording: ClassVar[Wording] = Wording(
        one="class",
        many="classes",
        target="the boxes",
        relabel="change the boxes\u2026",
        hint="boxes are changed in their file",
        names_listed=True,
    )
    losses: ClassVar[tuple[str, ...]] = ("detection",)
    evaluation: ClassVar[type[Evaluation]] = DetectionEvaluation
    output_name: ClassVar[str] = "outputs"
    dense: ClassVar[bool] = True
    boxes: ClassVar[bool] = True
    net_kind: ClassVar[str] = "detector"

    def collate(self, targets: Iterable[Target]) -> Targets:
        """float32 [N, rows, 9]."""
        return collated(targets)

    def is_target(self, target: Target) -> bool:
        """Whether it is a size and a tuple of objects of the task's classes."""
        if not (isinstance(target, tuple) and len(target) == 3 and isinstance(target[2], tuple)):
            return False
        return all(
            isinstance(one, tuple) and len(one) == 7 and type(one[0]) is int and 0 <= one[0] < self.outputs
            for one in target[2]
        )

    def check_targets(self, targets: Targets) -> None:
        """Raise RequestError unless they are finite rows float32 [N, rows, 9] of classes of the task."""
        if targets.dtype != np.float32 or targets.ndim != 3 or targets.shape[2] != COLUMNS:
            raise RequestError(
                f"targets must be float32 rows [N, rows, {COLUMNS}], not {targets.dtype} {list(targets.shape)}"
            )
        if not np.isfinite(targets).all() or (targets[..., CLASS] >= self.outputs).any():
            raise RequestError(f"targets must be finite, and their classes 0 to {self.outputs - 1}, or -1 for none")

    def text(self, target: Target) -> str:
        """How many of each class."""
        return counted(self.names, (one[0] for one in target[2]))

    def indices(self, target: Target) -> tuple[int, ...]:
        """The classes in the image."""
        return tuple(sorted({one[0] for one in target[2]}))

    def reindexed(self, target: Target, index: Mapping[int, int]) -> Target:
        """The same boxes under other indices of classes."""
        width, height, objects = target
        return width, height, tuple((index.get(one[0], one[0]), *one[1:]) for one in objects)

    def describe(self) -> str:
        """How many classes."""
        return f"with boxes of {self.outputs} {'class' if self.outputs == 1 else 'classes'}"

    def strata(self, targets: Targets) -> Strata:
        """The classes in each image."""
        found = targets[..., CLASS, None] == np.arange(self.outputs)
        return Strata(found.any(axis=1).astype(np.int64), overlapping=True)

    def loss(
        self,
        name: str | None = None,
        targets: Targets | None = None,
        *,
        label_smoothing: float = 0.0,
        prior: NDArray[Any] | None = None,
    ) -> Loss:
        """That of the network's rows: see `detection_loss`."""
        self.loss_name(name)
        if label_smoothing:
            raise RequestError("the loss of boxes has no label smoothing")
        return DetectionLoss()

    def fitted(self, score: float, targets: Targets) -> bool:
        """Whether the average precision means that the training images are fitted."""
        return score >= FITTED

    def predictions(self, logits: NDArray[np.float32]) -> Predictions:
        """Outputs of a detector -> detections float32 [N, 100, 6], the best first, overlapping ones suppressed."""
        return detections(logits)

    def no_predictions(self) -> Predictions:
        """float32 [0, 100, 6]."""
        return np.zeros((0, MOST, 6), np.float32)

    def answer(self, prediction: NDArray[Any]) -> Answer:
        """The objects found, with a score of at least SHOWN_SCORE. `value`: float32 [K, 6] of class, score and box."""
        found = shown(prediction, SHOWN_SCORE)
        names = [self.names[int(row[FOUND_CLASS])] for row in found]
        scores = found[:, SCORE].tolist()
        pairs = zip(names[:LISTED], scores, strict=False)
        line = ", ".join(f"{printable(name)} {percent(score)}" for name, score in pairs)
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        boxes = [
            {"label": name, "score": round(score, 6), "box": [round(value, 6) for value in row[FOUND_BOX].tolist()]}
            for name, score, row in zip(names, scores, found, strict=True)
        ]
        label = counted(self.names, found[:, FOUND_CLASS].astype(np.int64))
        return Answer(label, math.nan, np.zeros(0, np.float32), found, line + more or "nothing", {"objects": boxes})

    def agreement(self, reference: Predictions, other: Predictions, *, ties: float = 0.0) -> Agreement:
        """The share of objects that both find within SAME; of these the largest difference of a score or a side.

        ties: an object whose score is so close to SHOWN_SCORE may be missing. Where suppression decides between two
        boxes of almost one score, a rounding may turn it: such an object counts as not agreeing.
        """
        pairs = [*zip(reference, other, strict=True), *zip(other, reference, strict=True)]
        apart = np.concatenate([_apart(one, two, ties) for one, two in pairs] or [np.zeros(0)])
        close = apart <= SAME
        share = float(close.mean()) if len(apart) else 1.0
        return Agreement(share, float(apart[close].max(initial=0.0)), "scores and shares of sides")

    def report_sections(self, evaluation: DetectionEvaluation, context: ReportContext) -> tuple[Section, ...]:
        """See `detection_evaluation`."""
        return report.report_sections(evaluation, context)

    def next_steps(self, evaluation: DetectionEvaluation, context: ReportContext) -> tuple[Step, ...]:
        """See `detection_evaluation`."""
        return report.next_steps(evaluation, context)


def _apart(one: NDArray[Any], other: NDArray[Any], ties: float) -> NDArray[np.float64]:
    """For each object of an image, how far it is from the nearest of its class in `other`, at most 1: [K]."""
    sure, there = shown(one, SHOWN_SCORE + ties), shown(other, SHOWN_SCORE - ties)
    gaps = np.abs(sure[:, None] - there[None]).max(axis=2)
    return np.asarray(gaps.min(axis=1, initial=1.0), np.float64)
