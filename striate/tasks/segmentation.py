"""Segmentation: a class for each pixel. Targets are masks of class indices, which are read with the images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError, printable
from striate.sections import Section, Step
from striate.tasks import segmentation_evaluation as report
from striate.tasks.base import Evaluation, Task
from striate.tasks.losses import Loss
from striate.tasks.metrics import percent
from striate.tasks.pixel_losses import VOID, PixelCrossEntropy, enet_weights, pixel_shares
from striate.tasks.report_common import ReportContext
from striate.tasks.segmentation_evaluation import SegmentationEvaluation
from striate.tasks.values import (
    Agreement,
    Answer,
    Metric,
    Predictions,
    Strata,
    Target,
    Targets,
    Wording,
    are_places,
    table_of_places,
)

FITTED = 0.9  # mean IoU: outlines between two classes are never fitted to the last pixel
LISTED = 5  # classes in a line


@dataclass(frozen=True)
class Segmentation(Task):
    """A class for each pixel. An image's target is the ascending tuple of the classes in its mask.

    What is trained on are the masks themselves: uint8 [N, H, W], `VOID` where a pixel has no class.
    Predictions are masks too: the most probable class of each pixel.
    """

    kind: ClassVar[str] = "segmentation"
    metric: ClassVar[Metric] = Metric("mean IoU", "mean_iou", "mean_iou", share=True)
    wording: ClassVar[Wording] = Wording(
        one="class",
        many="classes",
        target="the mask",
        relabel="change the mask\u2026",
        hint="a mask is changed in its file",
        names_listed=True,
    )
    losses: ClassVar[tuple[str, ...]] = ("cross-entropy", "weighted-cross-entropy")
    evaluation: ClassVar[type[Evaluation]] = SegmentationEvaluation
    activation: ClassVar[str] = "softmax"
    output_name: ClassVar[str] = "probabilities"
    dense: ClassVar[bool] = True
    net_kind: ClassVar[str] = "segmenter"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.names) > VOID:
            raise RequestError(f"masks have up to {VOID} classes, not {len(self.names)}")

    def collate(self, targets: Iterable[Target]) -> Targets:
        """Which classes are in each image: float32 [N, classes] of 0 and 1."""
        return table_of_places(targets, self.outputs)

    def is_target(self, target: Target) -> bool:
        """Whether it is a tuple of indices of classes."""
        return are_places(target, self.outputs)

    def check_targets(self, targets: Targets) -> None:
        """Raise RequestError unless they are masks, uint8 [N, H, W] of class indices and void."""
        if targets.dtype != np.uint8 or targets.ndim != 3:
            raise RequestError(f"targets must be uint8 masks [N, H, W], not {targets.dtype} {list(targets.shape)}")
        wrong = int(np.where(targets == VOID, 0, targets).max(initial=0))
        if wrong >= self.outputs:
            raise RequestError(f"masks of {self.outputs} classes have the values 0 to {self.outputs - 1}, not {wrong}")

    def text(self, target: Target) -> str:
        """The classes in the image."""
        return ", ".join(self.names[place] for place in target) or "void only"

    def indices(self, target: Target) -> tuple[int, ...]:
        """The classes in the image."""
        return tuple(target)

    def reindexed(self, target: Target, index: Mapping[int, int]) -> Target:
        """Raises RequestError for other indices: the masks keep theirs."""
        if any(index.get(place, place) != place for place in target):
            raise RequestError("the classes of masks keep their indices")
        return target

    def describe(self) -> str:
        """How many classes."""
        return f"with masks of {self.outputs} {'class' if self.outputs == 1 else 'classes'}"

    def strata(self, targets: Targets) -> Strata:
        """The classes in each image."""
        return Strata((targets > 0).astype(np.int64), overlapping=True)

    def loss(
        self,
        name: str | None = None,
        targets: Targets | None = None,
        *,
        label_smoothing: float = 0.0,
        prior: NDArray[Any] | None = None,
    ) -> Loss:
        """Cross-entropy of each pixel; "weighted-cross-entropy": its class weighted as ENet's paper does.

        targets: the training masks, of which the weights are computed.
        """
        weights = None
        if self.loss_name(name) == self.losses[1] and targets is not None:
            weights = enet_weights(pixel_shares(targets, self.outputs))
        return PixelCrossEntropy(weights, label_smoothing)

    def fitted(self, score: float, targets: Targets) -> bool:
        """Whether the mean IoU means that the training images are fitted."""
        return score >= FITTED

    def predictions(self, logits: NDArray[np.float32]) -> Predictions:
        """Logits [N, classes, H, W] -> masks uint8 [N, H, W]."""
        return np.asarray(logits.argmax(axis=1), np.uint8)

    def no_predictions(self) -> Predictions:
        """uint8 [0, 0, 0]."""
        return np.zeros((0, 0, 0), np.uint8)

    def answer(self, prediction: NDArray[Any]) -> Answer:
        """The classes of one image's mask [H, W] by their share of its pixels; `value` is the mask."""
        counts = np.bincount(prediction.astype(np.uint8).reshape(-1), minlength=self.outputs)[: self.outputs]
        shares = counts / max(1, prediction.size)
        order = [place for place in np.argsort(-shares, kind="stable").tolist() if shares[place] > 0]
        line = ", ".join(f"{printable(self.names[place])} {percent(float(shares[place]))}" for place in order[:LISTED])
        facts = {"shares": {self.names[place]: round(float(shares[place]), 6) for place in order}}
        label = ", ".join(self.names[place] for place in order)
        return Answer(label, math.nan, np.zeros(0, np.float32), prediction, line, facts)

    def agreement(self, reference: Predictions, other: Predictions, *, ties: float = 0.0) -> Agreement:
        """The share of images of which 99 % of the pixels agree; the largest share of pixels that differ."""
        apart = (reference != other).reshape(len(reference), -1).mean(axis=1)
        return Agreement(float((apart <= 0.01).mean()), float(apart.max(initial=0.0)), "shares of pixels")

    def report_sections(self, evaluation: SegmentationEvaluation, context: ReportContext) -> tuple[Section, ...]:
        """See `segmentation_evaluation`."""
        return report.report_sections(evaluation, context)

    def next_steps(self, evaluation: SegmentationEvaluation, context: ReportContext) -> tuple[Step, ...]:
        """See `segmentation_evaluation`."""
        return report.next_steps(evaluation, context)


def names_of_values(values: Sequence[int]) -> tuple[str, ...]:
    """Names for masks without any: 0 is the background, the others are called by their number."""
    return tuple("background" if value == 0 else str(value) for value in values)
