"""The gain of one set of predictions over others of the same images, with a paired interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.tasks.base import Evaluation
from striate.tasks.metrics import bootstrap_interval, difference_interval
from striate.tasks.values import Metric, or_none


@dataclass(frozen=True)
class PairedGain:
    """value: how much better the metric is, positive for better. low, high: the 95 % interval; infinite: not known."""

    metric: Metric
    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def line(self) -> str:
        """As text: "+1.2 points (95 %: -0.3 to +2.7)"; for an error, how much smaller it is."""
        if not math.isfinite(self.value):
            return "not known"
        known = math.isfinite(self.low) and math.isfinite(self.high)
        interval = f" (95 %: {self._text(self.low)} to {self._text(self.high)})" if known else ""
        return f"{self._text(self.value)}{' points' if self.metric.share else ''}{interval}"

    def as_dict(self) -> dict[str, Any]:
        """As JSON values; shares are 0..1."""
        return {"value": or_none(self.value), "interval": [or_none(self.low), or_none(self.high)]}

    def _text(self, value: float) -> str:
        return f"{100 * value:+.1f}" if self.metric.share else f"{value:+.3g}"


def paired_gain(ours: Evaluation, theirs: Sequence[Evaluation]) -> PairedGain:
    """How much better `ours` is than the mean of `theirs`, on the same images in the same order.

    The interval is of the mean difference over the images; for a metric that is no mean over images, over samples of
    the images with replacement.
    """
    metric = ours.task.metric
    sign = 1.0 if metric.share else -1.0
    value = sign * (ours.score - float(np.mean([one.score for one in theirs])))
    mine, others = ours.image_scores, [one.image_scores for one in theirs]
    if mine is not None:
        known = np.mean([one for one in others if one is not None], axis=0)
        low, high = difference_interval(sign * (mine - known))
        return PairedGain(metric, value, low, high)
    return PairedGain(metric, value, *bootstrap_interval(_difference(ours, theirs, sign), ours.total))


def _difference(ours: Evaluation, theirs: Sequence[Evaluation], sign: float) -> Callable[[NDArray[np.int64]], float]:
    def of(rows: NDArray[np.int64]) -> float:
        scores = [one.task.evaluate("", one.predictions[rows], one.targets[rows]).score for one in (ours, *theirs)]
        return sign * (scores[0] - float(np.mean(scores[1:])))

    return of
