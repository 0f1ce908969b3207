"""Charts of what was measured: curves by epoch, calibration, ranking, folds, strangers, numbers, sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.report.plot import Plot, Point, Say, Series, line_panel, tick, ticks
from striate.report.run.content import Finder, LabelCurve, Numbers, RunReport, Strangers
from striate.report.wording import clipped, number, percent, quantity, text
from striate.tasks.metrics import Calibration

MOST_POINTS = 1500  # in one scatter: more hide each other and weigh
MOST_FOLDS = 40


def loss(value: float) -> str:
    """A loss, as a curve says it."""
    return f"{value:.3f}" if value < 10 else f"{value:.4g}"


CURVES: tuple[tuple[str, str, str, Say], ...] = (
    ("accuracy", "Accuracy on held-out images", "good", percent),
    ("average_precision", "Mean average precision on held-out images", "good", percent),
    ("error", "Mean error on held-out images", "good", quantity),
    ("loss", "Training loss", "bad", loss),
    ("held_out_loss", "Loss on held-out images", "good", loss),
)


def curve_points(curve: Sequence[Mapping[str, float]], key: str) -> list[Point]:
    """Epoch and value of the rows that have a finite one."""
    rows = [(row.get("epoch", place + 1), row[key]) for place, row in enumerate(curve) if row.get(key) is not None]
    points = [(float(epoch), float(value)) for epoch, value in rows]
    return [point for point in points if math.isfinite(point[0]) and math.isfinite(point[1])]


def learning_curves(curve: Sequence[Mapping[str, float]]) -> str:
    """Each of CURVES that was recorded, by epoch, one small panel each; empty when there is nothing to draw."""
    panels = ""
    for key, name, tone, say in CURVES:
        points = curve_points(curve, key)
        if points:
            panels += line_panel([Series(points, tone)], name, say)
    return f'<div class="charts">{panels}</div>' if panels else ""


def rate_finder(found: Finder) -> str:
    """The loss of the trial by learning rate, on powers of ten; shaded where it falls, a rule at the rate taken.

    A loss that explodes is cut off, so that the fall before it can be seen.
    """
    lowest, start = min(found.losses), float(np.mean(found.losses[:20]))
    room = max(start - lowest, 1e-9)
    low, high = math.log10(found.rates[0]), math.log10(found.rates[-1])
    top = min(max(found.losses), start + 0.6 * room)
    plot = Plot((low, high), (lowest - 0.05 * room, top), height=210, foot=44)
    plot.bar((math.log10(found.low), math.log10(found.high)), top, "span", 0)
    plot.rules((lowest, (lowest + start) / 2, start), loss)
    powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1, max(1, math.ceil((high - low) / 5)))
    plot.marks(list(powers), lambda power: f'10<tspan dy="-5" font-size="9">{tick(power)}</tspan>')
    shown = [(math.log10(rate), value) for rate, value in zip(found.rates, found.losses, strict=True)]
    plot.line(Series([point for point in shown if point[1] <= top], "bad"))
    plot.stroke((math.log10(found.rate), plot.y[0]), (math.log10(found.rate), top), "limit")
    plot.label((plot.left + plot.right) / 2, plot.height - 2, "learning rate", "middle")
    said = f"Training loss by learning rate; taken: <b>{found.rate:.2g}</b>"
    label = (
        f"Loss by learning rate; it falls between {found.low:.1g} and {found.high:.1g}, and {found.rate:.2g} was taken"
    )
    return plot.figure(said, label, '<span><i class="band"></i>where the loss falls</span>')


def reliability(found: Calibration) -> str:
    """How often the network is right at each confidence, against the diagonal, and how many answers that rests on."""
    plot, counts = Plot((0, 1), (0, 1), height=220), Plot((0, 1), (0, float(max(1, found.counts.max()))), height=84)
    plot.rules((0, 0.5, 1), _whole)
    edges = np.linspace(0, 1, len(found.counts) + 1)
    for low, high, count, right in zip(edges[:-1], edges[1:], found.counts, found.accuracy, strict=True):
        if count:
            plot.bar((low, high), float(right))
            counts.bar((low, high), float(count), "count")
    plot.stroke((0, 0), (1, 1), "even")
    plot.marks((0, 0.5, 1), _whole)
    most = int(found.counts.max())
    counts.rules((0, float(max(1, most))), lambda value: number(round(value)))
    counts.label((counts.left + counts.right) / 2, counts.bottom + 20, "answers in each range", "middle")
    label = f"Share right by confidence; expected calibration error {percent(found.error)}"
    drawn = plot.svg(label) + counts.svg(f"Answers by confidence, at most {number(most)} in a range")
    return f"<figure><figcaption>Share that was right, by how sure it was</figcaption>{drawn}</figure>"


def _whole(share: float) -> str:
    return f"{100 * share:.0f}&nbsp;%"


def precision_recall_panel(curve: LabelCurve, average: float) -> str:
    """One label's precision by recall."""
    recall, precision = np.asarray(curve.recall, np.float64).ravel(), np.asarray(curve.precision, np.float64).ravel()
    plot = Plot((0, 1), (0, 1), height=190)
    plot.rules((0, 0.5, 1), _whole)
    plot.marks((0.5, 1), _whole)
    points = [(float(x), float(y)) for x, y in zip(recall, precision, strict=True) if math.isfinite(x + y)]
    if points:
        plot.line(Series([(0.0, points[0][1]), *points], "good"))
    said = f"<b>{text(curve.name)}</b> {percent(average)}"
    return plot.figure(said, f"Precision by recall of {text(curve.name)}, average precision {percent(average)}")


def fold_dots(content: RunReport, say: Say) -> str:
    """Each fold's score as a dot, at most MOST_FOLDS; the mean as a rule with its interval; the pooled score below."""
    folds, pooled, (mean, *interval) = content.folds[:MOST_FOLDS], content.pooled, content.fold_spread
    bounds = [fold.score for fold in folds] + interval + list(pooled.interval if pooled else ())
    bounds = [value for value in bounds if math.isfinite(value)]
    low, high = min(bounds, default=0.0), max(bounds, default=1.0)
    room = (high - low or 0.1) * 0.08
    rows = len(folds) + 2
    plot = Plot((low - room, high + room), (0, rows), height=44 + 24 * rows, left=78)
    for value in ticks(*plot.x):
        plot.stroke((value, 0), (value, rows), "grid")
    plot.marks(ticks(*plot.x), say)
    if all(map(math.isfinite, interval)):
        plot.bar((interval[0], interval[1]), rows, "span", 0)
        plot.stroke((mean, 0), (mean, rows), "mean")
    for place, fold in enumerate(folds):
        height = rows - 0.5 - place
        plot.label(70, plot.down(height) + 4, f"fold {number(fold.number)}", "end")
        if math.isfinite(fold.score):
            plot.dot(fold.score, height, "good", 5, f"{say(fold.score)} of {number(fold.images)}")
    if pooled and all(map(math.isfinite, (pooled.score, *pooled.interval))):
        plot.label(70, plot.down(0.7) + 4, "pooled", "end")
        plot.stroke((pooled.interval[0], 0.7), (pooled.interval[1], 0.7), "whisker")
        plot.dot(pooled.score, 0.7, "good", 5, say(pooled.score))
    key = '<span><i class="dot"></i>mean of the folds</span><span><i class="band"></i>its 95&nbsp;% interval</span>'
    return plot.figure("The score of each fold", f"Scores of {len(folds)} folds, mean {say(mean)}", key)


def score_dots(runs: Sequence[tuple[str, float, tuple[float, float] | None]], say: Say) -> str:
    """The score of each run as a dot with its interval as a line, on one scale; empty without a score."""
    bounds = [value for _, score, interval in runs for value in (score, *(interval or ())) if math.isfinite(value)]
    if not bounds:
        return ""
    low, high = min(bounds), max(bounds)
    room = (high - low or abs(high) or 1.0) * 0.06
    plot = Plot((low - room, high + room), (0, len(runs)), height=40 + 26 * len(runs), left=110)
    for value in ticks(*plot.x, 3):
        plot.stroke((value, 0), (value, len(runs)), "grid")
    plot.marks(ticks(*plot.x, 3), say)
    for place, (name, score, interval) in enumerate(runs):
        height = len(runs) - place - 0.5
        plot.label(102, plot.down(height) + 4, text(clipped(name, 16)), "end")
        tone = f"t{place % 6}"
        if interval and all(map(math.isfinite, interval)):
            plot.stroke((interval[0], height), (interval[1], height), f"{tone} wide")
        if math.isfinite(score):
            plot.dot(score, height, tone, 5, f"{text(name)}: {say(score)}")
    return plot.figure("", f"Scores of {len(runs)} runs with their intervals")


def two_histograms(strangers: Strangers) -> str:
    """Distances of known images and of strangers as shares of each, with the line from which on they are refused."""
    known, strange = _finite(strangers.known), _finite(strangers.strangers)
    every = np.concatenate([known, strange, [strangers.threshold]])
    low, high = float(every.min()), float(np.quantile(every, 0.995))
    high = max(high, strangers.threshold) + 1e-9
    edges = np.linspace(low, high, 31)
    shares = [np.histogram(np.minimum(part, high), edges)[0] / max(1, len(part)) for part in (known, strange)]
    plot = Plot((low, high), (0, float(max(shares[0].max(), shares[1].max(), 1e-9))), height=210)
    plot.rules((0, plot.y[1]), _whole)
    for share, tone in zip(shares, ("", "bad"), strict=True):
        for place in np.flatnonzero(share):
            plot.bar((edges[place], edges[place + 1]), float(share[place]), tone, 0.3)
    plot.stroke((strangers.threshold, 0), (strangers.threshold, plot.y[1]), "limit")
    right = plot.across(strangers.threshold) > 230
    plot.label(
        plot.across(strangers.threshold) + (-6 if right else 6),
        plot.top + 8,
        "refused from here on",
        "end" if right else "start",
    )
    plot.label(plot.left, plot.bottom + 20, "like the known images")
    plot.label(plot.right, plot.bottom + 20, "unlike them", "end")
    key = '<span><i class="known"></i>held-out images</span><span><i class="strange"></i>strangers</span>'
    caption = "Distance from what was learnt, share of images"
    return plot.figure(
        caption, f"{caption}: known images and strangers, threshold {quantity(strangers.threshold)}", key
    )


def number_scatter(numbers: Numbers) -> str:
    """True against answered numbers; on the dashed line the answer is right. At most MOST_POINTS, evenly chosen."""
    chosen = np.linspace(0, len(numbers.true) - 1, min(len(numbers.true), MOST_POINTS)).astype(np.int64)
    true, said = numbers.true[chosen], numbers.said[chosen]
    finite = np.isfinite(true) & np.isfinite(said)
    true, said = true[finite], said[finite]
    if not len(true):
        return ""
    low, high = float(min(true.min(), said.min())), float(max(true.max(), said.max()))
    low, high = (low - 1, high + 1) if high <= low else (low, high)
    plot = Plot((low, high), (low, high), height=330, foot=44)
    plot.rules(ticks(low, high), tick)
    plot.marks(ticks(low, high), tick)
    plot.stroke((low, low), (high, high), "even")
    radius = 3.2 if len(true) < 300 else 2
    for x, y in zip(true.tolist(), said.tolist(), strict=True):
        plot.dot(x, y, "faint", radius)
    plot.label((plot.left + plot.right) / 2, plot.height - 2, f"true {text(numbers.name)}", "middle")
    few = f" (a sample of {number(len(true))})" if len(chosen) < len(numbers.true) else ""
    return plot.figure(f"Answered by true {text(numbers.name)}{few}", f"Scatter of {len(true)} answers by true value")


def error_histogram(numbers: Numbers) -> str:
    """How far off the answers are, too low on the left, too high on the right."""
    errors = _finite(numbers.errors)
    if not len(errors):
        return ""
    reach = float(np.abs(errors).max()) or 1.0
    counts, edges = np.histogram(errors, np.linspace(-reach, reach, 32))
    plot = Plot((-reach, reach), (0, float(counts.max())), height=210)
    plot.rules((0, float(counts.max())), tick)
    for place in np.flatnonzero(counts):
        plot.bar((edges[place], edges[place + 1]), float(counts[place]), gap=0.4)
    plot.stroke((0, 0), (0, float(counts.max())), "limit")
    plot.marks([-reach, 0.0, reach], quantity)
    plot.label(plot.left, plot.top + 8, "too low")
    plot.label(plot.right, plot.top + 8, "too high", "end")
    return plot.figure("Images by error", f"Histogram of {len(errors)} errors from {-reach:.4g} to {reach:.4g}")


def size_scatter(sizes: ArrayLike) -> str:
    """Widths and heights of the images, one dot a size, larger where more images have it; both axes logarithmic."""
    table = np.asarray(sizes, np.float64).reshape(-1, 2)
    table = table[(table > 0).all(axis=1)]
    if not len(table):
        return ""
    grid, counts = np.unique(np.round(np.log2(table) * 8) / 8, axis=0, return_counts=True)
    order = np.argsort(-counts)[:MOST_POINTS]
    low, high = max(0, math.floor(grid.min() - 0.25)), math.ceil(grid.max() + 0.25)
    plot = Plot((low, high), (low, high), height=300, foot=44)
    powers = list(range(low, high + 1, max(1, math.ceil((high - low) / 6))))
    plot.rules(powers, lambda value: number(round(2**value)))
    plot.marks(powers, lambda value: number(round(2**value)))
    plot.stroke((low, low), (high, high), "even")
    for place in order:
        radius = 2.5 + 7 * math.sqrt(counts[place] / counts.max())
        plot.dot(float(grid[place, 0]), float(grid[place, 1]), "faint", round(radius, 1))
    plot.label((plot.left + plot.right) / 2, plot.height - 2, "width, pixels", "middle")
    middle = np.median(table, axis=0)
    return plot.figure(
        f"Height by width; the usual image is <b>{middle[0]:.0f} by {middle[1]:.0f}</b> pixels",
        f"Heights by widths of {len(table)} images",
    )


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64).ravel()
    finite: NDArray[np.float64] = array[np.isfinite(array)]
    return finite
