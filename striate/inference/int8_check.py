"""Whether int8 predicts as float32 does: figures on labelled images, and the limits they must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from striate.tasks import Task
from striate.tasks.values import Metric, Predictions, Targets

ENOUGH = 500  # labelled images, where there are as many
LOSS = 0.01  # of the headline metric: a point of accuracy; of an error in units, the twentieth part
ERROR_GROWTH = 0.05
AGREEMENT = 0.98  # of the predictions that float32 is sure of
SURE = 0.5  # its probability


@dataclass(frozen=True)
class Int8Check:
    """int8 beside float32 on the same images.

    images: how many; held_out: of them, not trained on. float32, int8: the task's metric; interval: of int8's, 95 %.
    sure: images whose class has a probability above 0.5 in float32; all of them for tasks without one class an image.
    agreement: the share of these with the same prediction.
    """

    metric: Metric
    images: int
    held_out: int
    float32: float
    int8: float
    interval: tuple[float, float]
    sure: int
    agreement: float

    @property
    def passed(self) -> bool:
        """Whether int8 loses at most a point (of an error: grows it by 5 %), and agrees on 98 % of the sure ones."""
        if self.metric.share:
            as_good = self.int8 >= self.float32 - LOSS - 1e-9
        else:
            as_good = self.int8 <= self.float32 * (1 + ERROR_GROWTH)
        return as_good and self.agreement >= AGREEMENT

    def line(self) -> str:
        """The figures as a sentence without a full stop."""
        text, (low, high) = self.metric.text, self.interval
        sure = (
            f"the {self.sure:,} images that float32 is over 50 % sure of" if self.sure < self.images else "all images"
        )
        return (
            f"{self.metric.name} {text(self.int8)} in int8 (95 % interval {text(low)} to {text(high)}), "
            f"{text(self.float32)} in float32, on {self.images:,} images, {self.held_out:,} of them held out from "
            f"training; the same prediction for {100 * self.agreement:.1f} % of {sure}"
        )

    def refusal(self) -> str:
        """Why int8 is refused."""
        limit = "lose at most 1 point" if self.metric.share else f"grow by at most {100 * ERROR_GROWTH:.0f} %"
        return (
            f"int8 is refused: {self.line()}. The {self.metric.name} may {limit}, and {100 * AGREEMENT:.0f} % of the "
            "predictions must be the same; use bfloat16 or float32"
        )

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "metric": self.metric.key, "images": self.images, "held_out": self.held_out, "float32": self.float32,
            "int8": self.int8, "interval": list(self.interval), "sure": self.sure, "agreement": self.agreement,
        }  # fmt: skip


def compared(task: Task, targets: Targets, reference: Predictions, other: Predictions, *, held_out: int) -> Int8Check:
    """Compare predictions in float32 with those in int8, [N, outputs] each, of the same images."""
    ours, theirs = task.evaluate("", reference, targets), task.evaluate("", other, targets)
    sure = reference.max(axis=1) > SURE if task.one_class else slice(None)
    chosen, compared_to = reference[sure], other[sure]
    return Int8Check(
        task.metric, len(reference), held_out, ours.score, theirs.score, theirs.interval, len(chosen),
        task.agreement(chosen, compared_to).share if len(chosen) else 1.0,
    )  # fmt: skip
