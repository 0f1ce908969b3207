"""Would more data help? The held-out score of heads fitted to parts of the training images, and what more would give.

Nested parts, drawn class by class; images that belong together are drawn together. The scores are fitted by a power law
with an offset and extrapolated. Uncertainty: the bootstrap over the held-out images, the same for every part, with the
spread between draws of training images; each sample is fitted anew.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.splits import units_of
from striate.learning.power_law import USUAL, fit_power_law
from striate.learning.split import Split
from striate.tasks import Evaluation, Task
from striate.tasks.metrics import quantile_interval
from striate.tasks.values import Metric, or_none

SHARES = ((0.1, 5), (0.2, 4), (0.4, 3), (0.7, 2))  # of the training images, and the draws of each; besides all
FITS = sum(draws for _, draws in SHARES)
TIMES = (2, 4)  # multiples of the training images that are extrapolated to
SAMPLES = 400  # of the bootstrap
# Measured on 17 flowers and CIFAR-10, from a quarter of the images to half and to all: the root mean square error of
# the extrapolation falls by 19 to 44 %, and its bias from -1 point to about 0. From 0.02 to 0.1 it is the same.
PRIOR = 0.04
FEW_HELD_OUT, FEW_TRAINED, FEW_SIZES = 20, 20, 4  # with fewer nothing is said
WIDE = 0.2  # of a share, or of the error itself: an interval as wide says nothing

Doubles = NDArray[np.float64]
Range = tuple[float, float]
Predict = Callable[[list[int]], NDArray[np.float32]]  # from training rows to predictions of the held-out images


@dataclass(frozen=True)
class CurvePoint:
    """Heads fitted to `images` of the training images: their mean score, its 95 % interval, and how many draws."""

    images: int
    draws: int
    score: float
    interval: Range


@dataclass(frozen=True)
class Forecast:
    """The extrapolated score with `times` as many training images, and its 95 % interval.

    difference: the interval of the law's rise from now on; between two single runs there is their noise as well.
    """

    times: int
    images: int
    score: float
    interval: Range
    difference: Range

    def surely_better(self, metric: Metric) -> bool:
        """Whether the whole interval of the difference is on the better side."""
        low, high = self.difference
        return low > 0 if metric.share else high < 0


@dataclass(frozen=True)
class LearningCurve:
    """The points, by size, and what they foretell. law: a, b and c, n in multiples of all training images.

    why_not: why nothing is foretold, or "". drawn: (images, score) along the fitted law, up to the largest forecast.
    """

    metric: Metric
    points: tuple[CurvePoint, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    law: tuple[float, float, float] | None = None
    drawn: tuple[tuple[float, float], ...] = ()
    why_not: str = ""

    def line(self) -> str:
        """What more images would give, in one line."""
        if self.why_not:
            return f"Learning curve: nothing can be said of more images: {self.why_not}"
        said = []
        for one in self.forecasts:
            often = {2: "twice as many images", 4: "four times as many"}.get(one.times, f"{one.times} times as many")
            low, high = (self.metric.text(end) for end in one.interval)
            said.append(f"{often}: about {self.metric.text(one.score)}, {low} to {high}")
        return f"Learning curve: {'; '.join(said)} (now {self.metric.text(self.points[-1].score)}{self._noise()})"

    def _noise(self) -> str:
        better = self.forecasts[0].surely_better(self.metric)
        return "" if better else "; twice as many may make no difference"

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "points": [
                {"images": p.images, "draws": p.draws, "score": or_none(p.score), "interval": _known(p.interval)}
                for p in self.points
            ],
            "forecasts": [
                {
                    "times": one.times,
                    "images": one.images,
                    "score": one.score,
                    "interval": list(one.interval),
                    "difference": list(one.difference),
                }
                for one in self.forecasts
            ],
            "law": None if self.law is None else dict(zip("abc", self.law, strict=True)),
            "why_not": self.why_not,
        }


def learning_curve(
    split: Split, whole: NDArray[np.float32], predict: Predict, seed: int, on_fit: Callable[[], object] = lambda: None
) -> LearningCurve:
    """The learning curve of the heads that `predict` fits, on the held-out images.

    whole [held out, outputs]: predictions by the head of all training images. on_fit: called before each fit.
    """
    task, rows = split.audit.task, split.rows("train")
    held_out = split.held_out_rows
    if why := _too_few(len(rows), len(held_out), bool(split.held_out_part)):
        return LearningCurve(task.metric, why_not=why)
    found: list[_Size] = []
    drawn = list(_draws(split, rows, seed))
    for place, (_, draws) in enumerate(SHARES):
        parts = [parts[place] for parts in drawn[:draws]]
        predictions = []
        for part in parts:
            on_fit()
            predictions.append(predict(part))
        found.append(_Size(float(np.mean([len(part) for part in parts])), tuple(predictions)))
    found.append(_Size(float(len(rows)), (whole,)))
    return _extrapolated(found, task, split.targets(held_out), seed)


def _too_few(trained: int, held_out: int, any_part: bool) -> str:
    if not any_part:
        return "no images are held out; without --folds some are"
    if trained < FEW_TRAINED:
        return f"{trained} training images are too few; at least {FEW_TRAINED} are needed"
    if held_out < FEW_HELD_OUT:
        return f"{held_out} held-out images are too few; at least {FEW_HELD_OUT} are needed"
    return ""


def _draws(split: Split, rows: list[int], seed: int) -> Iterator[list[list[int]]]:
    """Draws of the training images without end: of each its nested parts, by SHARES; of each class at least one unit.

    Images that belong together come together: one without the others would be a different image for less data.
    """
    inside, usable = set(rows), split.audit.usable
    buckets: dict[int, list[list[int]]] = defaultdict(list)
    for unit in units_of(usable, split.audit.twins()):
        if kept := [row for row in unit if row in inside]:
            buckets[int(usable[kept[0]].item.target) if split.audit.task.one_class else 0].append(kept)
    generator = np.random.default_rng([seed, 1])
    for _ in range(max(draws for _, draws in SHARES)):
        parts: list[list[int]] = [[] for _ in SHARES]
        for _, units in sorted(buckets.items()):
            order = generator.permutation(len(units))
            for part, (share, _) in zip(parts, SHARES, strict=True):
                taken = order[: max(1, round(share * len(units)))]
                part += [row for place in taken for row in units[place]]
        yield [sorted(part) for part in parts]


@dataclass(frozen=True, eq=False)
class _Size:
    """Heads of `images` training images (the mean of the draws): the predictions of each for the held-out images."""

    images: float
    predictions: tuple[NDArray[np.float32], ...]


def _extrapolated(found: Sequence[_Size], task: Task, targets: NDArray[Any], seed: int) -> LearningCurve:
    metric, generator = task.metric, np.random.default_rng([seed, 2])
    sizes = np.array([one.images for one in found])
    scores, samples = _scores(found, task, targets, generator)
    spread = _spread(scores, sizes)
    means = np.array([np.mean(one) for one in scores])
    samples = samples + generator.standard_normal(samples.shape) * spread
    points = tuple(
        CurvePoint(round(one.images), len(one.predictions), float(mean), _interval(column, metric))
        for one, mean, column in zip(found, means, samples.T, strict=True)
    )
    plain = LearningCurve(metric, points)
    if len(np.unique(np.round(sizes))) < FEW_SIZES:
        return _without(plain, "the classes have too few images to be divided into parts of different sizes")
    rows = np.isfinite(samples).all(axis=1)
    if not np.isfinite(means).all() or rows.sum() < SAMPLES / 2:
        return _without(plain, "the score of some parts is not known")
    weights = sizes * np.array([len(one.predictions) for one in found])
    errors = (1 - np.vstack([means, samples[rows]])) if metric.share else np.vstack([means, samples[rows]])
    # What is usual is not certain either: each sample has its own.
    usual = np.append(USUAL, np.abs(generator.normal(USUAL, USUAL / 2, len(errors) - 1)))
    law = fit_power_law(sizes, errors, weights, PRIOR, usual)
    now, ahead = sizes[-1], sizes[-1] * np.array(TIMES, np.float64)
    told = law(np.append(ahead, now))
    told = 1 - told if metric.share else told
    forecasts = tuple(
        Forecast(
            times,
            round(now * times),
            float(told[0, place]),
            _interval(told[1:, place], metric),
            quantile_interval(told[1:, place] - told[1:, -1]),
        )
        for place, times in enumerate(TIMES)
    )
    low, high = forecasts[0].interval
    if high - low > (WIDE if metric.share else WIDE * 2 * means[-1]):
        return _without(
            plain,
            f"from {len(targets):,} held-out images, twice as many could mean anything from {metric.text(low)} to "
            f"{metric.text(high)}",
        )
    across = np.geomspace(sizes[0], ahead[-1], 60)
    along = law(across)[0]
    drawn = tuple(zip(across.tolist(), (1 - along if metric.share else along).tolist(), strict=True))
    first = (float(law.offset[0]), float(law.factor[0]), float(law.exponent[0]))
    return LearningCurve(metric, points, forecasts, first, drawn)


def _without(curve: LearningCurve, why: str) -> LearningCurve:
    return LearningCurve(curve.metric, curve.points, why_not=why)


def _scores(
    found: Sequence[_Size], task: Task, targets: NDArray[Any], generator: np.random.Generator
) -> tuple[list[Doubles], Doubles]:
    """Scores of every draw of each size; and samples [SAMPLES, sizes] of their means over resampled held-out images."""
    evaluations = [[task.evaluate("", one, targets) for one in size.predictions] for size in found]
    scores = [np.array([one.score for one in some]) for some in evaluations]
    count = len(targets)
    means = [_of_images(some) for some in evaluations]
    if known := [one for one in means if one is not None]:
        each = np.stack(known)  # [sizes, N]
        return scores, np.array([each[:, generator.integers(0, count, count)].mean(axis=1) for _ in range(SAMPLES)])
    samples = []
    for _ in range(SAMPLES // 4):  # each is a ranking of all images
        rows = generator.integers(0, count, count)
        again = [[task.evaluate("", one[rows], targets[rows]).score for one in size.predictions] for size in found]
        samples.append(np.array([np.mean(one) for one in again]))
    return scores, np.repeat(np.array(samples), 4, axis=0)


def _of_images(evaluations: Sequence[Evaluation]) -> Doubles | None:
    """The mean score [N] of each image over several heads, where the task has scores of single images."""
    each = [one.image_scores for one in evaluations]
    known = [scores for scores in each if scores is not None]
    return np.mean(known, axis=0, dtype=np.float64) if known else None


def _spread(scores: Sequence[Doubles], sizes: Doubles) -> Doubles:
    """The standard deviation [sizes] of the mean score over other training images of the kind.

    The variance is v / n, v being pooled over the sizes. Draws of a share f of the same images overlap: their variance
    among each other is (1 - f) v / n, and what they have in common stays, however many there are.
    """
    shares = sizes / sizes[-1]
    several = [place for place, one in enumerate(scores) if len(one) > 1 and shares[place] < 1]
    freedom = np.array([len(scores[place]) - 1 for place in several])
    variances = np.array([scores[place].var(ddof=1) * sizes[place] / (1 - shares[place]) for place in several])
    pooled = float(variances @ freedom / freedom.sum()) if len(several) else 0.0
    counts = np.array([len(one) for one in scores])
    return np.asarray(np.sqrt(pooled / sizes * (shares + (1 - shares) / counts)))


def _interval(samples: Doubles, metric: Metric) -> Range:
    return metric.clipped(*quantile_interval(samples))


def _known(interval: Range) -> list[float] | None:
    return list(interval) if all(map(math.isfinite, interval)) else None
