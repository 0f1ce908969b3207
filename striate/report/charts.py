"""The charts among a section's blocks, as figures of SVG without a script."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striate.report.plot import Plot, Point, Say, tick, ticks
from striate.report.wording import text, words
from striate.sections import Axis, Dot, Histogram, Histograms, Intervals, Lines, Reliability, Scatter, spoken
from striate.sections.wording import Format, clipped, formatted, number, percent, quantity, whole_percent

MOST_POINTS = 1500  # in one scatter: more hide each other and weigh
MOST_DOTS = 40  # in one chart of intervals
BESIDE = 16  # letters of a name that fit beside its dot; longer names stand above it


def _say(form: Format, axis: Axis | None = None) -> Say:
    """How a value is written beside a rule, as HTML; on an axis from 0 to 100 % without decimals."""
    if form == "percent" and axis is not None and axis.range is not None:
        return whole_percent
    return tick if form == "plain" else lambda value: text(formatted(value, form))


def lines(chart: Lines) -> str:
    """A line chart; empty without a point."""
    drawn = (*chart.lines, *chart.points)
    every = [point for line in drawn for point in line.points if point[0] > 0 or not chart.x.log]
    if not every:
        return ""
    plot, ruled = _area(chart, every)
    if chart.band is not None:
        plot.bar((_on(chart.x, chart.band[0]), _on(chart.x, chart.band[1])), plot.y[1], "span", 0)
    plot.rules(ruled, _say(chart.y.form, chart.y))
    _mark_x(plot, chart.x)
    for line in drawn:
        points = [(_on(chart.x, x), y) for x, y in line.points if y <= plot.y[1] and (x > 0 or not chart.x.log)]
        if line in chart.points:
            for x, y in points:
                plot.dot(x, y, line.tone, 3.2)
        elif points:
            plot.line(points, line.tone)
    if chart.rule is not None:
        rule = _on(chart.x, chart.rule)
        plot.stroke((rule, plot.y[0]), (rule, plot.y[1]), "limit")
    key = f'<span><i class="band"></i>{text(chart.band_name)}</span>' if chart.band_name else ""
    key += "".join(f'<span><i class="{tone}"></i>{text(name)}</span>' for name, tone in chart.key)
    return plot.figure(words(chart.title), text(chart.label or spoken(chart.title)), key)


def _area(chart: Lines, every: list[Point]) -> tuple[Plot, list[float]]:
    """The plotting area, and where its horizontal rules are: at the ends and in the middle."""
    xs, ys = [_on(chart.x, x) for x, _ in every], [y for _, y in every]
    low, high = chart.y.range or (min(ys), max(ys))
    ruled = [low, (low + high) / 2, high]
    if high - low < 1e-9:
        low, high, ruled = low - 1, high + 1, [low]
    if chart.x.range is not None:
        across = (_on(chart.x, chart.x.range[0]), _on(chart.x, chart.x.range[1]))
    else:
        across = (min(xs), max(xs))
    if chart.x.log:
        return Plot(across, (low, high), height=210, foot=44), ruled
    return Plot(across, (low, high), height=190 if chart.x.range else 200), ruled


def _on(axis: Axis, value: float) -> float:
    return math.log10(value) if axis.log else value


def _mark_x(plot: Plot, axis: Axis) -> None:
    """Powers of ten, the middle and the end of a given range, or the first and the last value."""
    low, high = plot.x
    if axis.log:
        powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1, max(1, math.ceil((high - low) / 5)))
        plot.marks(list(powers), lambda power: f'10<tspan dy="-5" font-size="9">{tick(power)}</tspan>')
        plot.label((plot.left + plot.right) / 2, plot.height - 2, text(axis.label), "middle")
    elif axis.range is not None:
        plot.marks(((low + high) / 2, high), _say(axis.form, axis))
    else:
        say = _say(axis.form)
        plot.label(plot.left, plot.bottom + 20, f"{text(axis.label)} {say(low)}".strip())
        if high > low:
            plot.label(plot.right, plot.bottom + 20, say(high), "end")


def reliability(found: Reliability) -> str:
    """The accuracy at each confidence, against the diagonal, and how many predictions that rests on."""
    plot, counts = Plot((0, 1), (0, 1), height=220), Plot((0, 1), (0, float(max(1, found.counts.max()))), height=84)
    plot.rules((0, 0.5, 1), whole_percent)
    edges = np.linspace(0, 1, len(found.counts) + 1)
    for low, high, count, right in zip(edges[:-1], edges[1:], found.counts, found.accuracy, strict=True):
        if count:
            plot.bar((low, high), float(right))
            counts.bar((low, high), float(count), "count")
    plot.stroke((0, 0), (1, 1), "even")
    plot.marks((0, 0.5, 1), whole_percent)
    most = int(found.counts.max())
    counts.rules((0, float(max(1, most))), lambda value: number(round(value)))
    counts.label((counts.left + counts.right) / 2, counts.bottom + 20, "predictions in each range", "middle")
    label = f"Accuracy by confidence; expected calibration error {percent(found.error)}"
    drawn = plot.svg(text(label)) + counts.svg(f"Predictions by confidence, at most {number(most)} in a range")
    return f"<figure><figcaption>Accuracy by confidence</figcaption>{drawn}</figure>"


def intervals(chart: Intervals) -> str:
    """Dots with their intervals on one scale, at most MOST_DOTS; a mean behind them. Empty without a finite value."""
    dots, say = chart.dots[:MOST_DOTS], _say(chart.form)
    every = [value for dot in dots for value in (dot.value, *(dot.interval or ()))]
    every += [chart.mean[0], *chart.mean[1]] if chart.mean else []
    bounds = [value for value in every if math.isfinite(value)]
    if not bounds:
        return ""
    low, high = min(bounds), max(bounds)
    room = (high - low or abs(high) * 0.1 or 1.0) * 0.08
    longest = max(len(dot.name) for dot in dots)
    above = longest > BESIDE
    row, left = (40, 20) if above else (26, 78 if longest < 10 else 110)
    plot = Plot((low - room, high + room), (0, len(dots)), height=44 + row * len(dots), left=left)
    for value in ticks(*plot.x, 3):
        plot.stroke((value, 0), (value, len(dots)), "grid")
    plot.marks(ticks(*plot.x, 3), say)
    key = ""
    if chart.mean and all(map(math.isfinite, (chart.mean[0], *chart.mean[1]))):
        plot.bar(chart.mean[1], len(dots), "span", 0)
        plot.stroke((chart.mean[0], 0), (chart.mean[0], len(dots)), "mean")
        key = f'<span><i class="dot"></i>{text(chart.mean_names[0])}</span>'
        key += f'<span><i class="band"></i>{text(chart.mean_names[1])}</span>'
    for place, dot in enumerate(dots):
        top = len(dots) - place
        if above:
            plot.label(left, plot.down(top) + 13, text(clipped(dot.name, 44)))
        else:
            plot.label(left - 8, plot.down(top - 0.5) + 4, text(dot.name), "end")
        _dot(plot, dot, top - (0.7 if above else 0.5), say)
    return plot.figure(
        words(chart.title), text(f"{spoken(chart.title) or 'Values'} of {len(dots)}, with intervals"), key
    )


def _dot(plot: Plot, dot: Dot, height: float, say: Say) -> None:
    if dot.interval and all(map(math.isfinite, dot.interval)):
        plot.stroke((dot.interval[0], height), (dot.interval[1], height), f"{dot.tone} wide")
    if math.isfinite(dot.value):
        more = f" {text(dot.more)}" if dot.more else ""
        plot.dot(dot.value, height, dot.tone, 5, f"{text(dot.name)}: {say(dot.value)}{more}")


def histograms(chart: Histograms) -> str:
    """Two distributions as shares of each, with the threshold between them."""
    first, second = _finite(chart.first), _finite(chart.second)
    every = np.concatenate([first, second, [chart.threshold]])
    low, high = float(every.min()), float(np.quantile(every, 0.995))
    high = max(high, chart.threshold) + 1e-9
    edges = np.linspace(low, high, 31)
    shares = [np.histogram(np.minimum(part, high), edges)[0] / max(1, len(part)) for part in (first, second)]
    plot = Plot((low, high), (0, float(max(shares[0].max(), shares[1].max(), 1e-9))), height=210)
    plot.rules((0, plot.y[1]), whole_percent)
    for share, tone in zip(shares, ("", "bad"), strict=True):
        for place in np.flatnonzero(share):
            plot.bar((edges[place], edges[place + 1]), float(share[place]), tone, 0.3)
    plot.stroke((chart.threshold, 0), (chart.threshold, plot.y[1]), "limit")
    at = plot.across(chart.threshold)
    right = at > 230
    plot.label(at + (-6 if right else 6), plot.top + 8, text(chart.threshold_name), "end" if right else "start")
    plot.label(plot.left, plot.bottom + 20, text(chart.ends[0]))
    plot.label(plot.right, plot.bottom + 20, text(chart.ends[1]), "end")
    key = f'<span><i class="known"></i>{text(chart.names[0])}</span>'
    key += f'<span><i class="strange"></i>{text(chart.names[1])}</span>'
    label = f"{spoken(chart.title)}: {' and '.join(chart.names)}, threshold {quantity(chart.threshold)}"
    return plot.figure(words(chart.title), text(label), key)


def scatter(chart: Scatter) -> str:
    """Points, at most MOST_POINTS of them, evenly chosen; empty without a finite one."""
    x, y = (np.asarray(values, np.float64).ravel() for values in (chart.x, chart.y))
    chosen = np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).astype(np.int64)
    sampled = len(chosen) < len(x)
    x, y = x[chosen], y[chosen]
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if not len(x):
        return ""
    across, up = _range(x), _range(y)
    if chart.diagonal:
        across = up = min(across[0], up[0]), max(across[1], up[1])
    plot = Plot(across, up, height=330, foot=44)
    plot.rules(ticks(*up), tick)
    plot.marks(ticks(*across), tick)
    if chart.diagonal:
        plot.stroke((across[0], across[0]), (across[1], across[1]), "even")
    radius = 3.2 if len(x) < 300 else 2
    for right, height in zip(x.tolist(), y.tolist(), strict=True):
        plot.dot(right, height, "faint", radius)
    plot.label((plot.left + plot.right) / 2, plot.height - 2, text(chart.x_label), "middle")
    few = f" (a sample of {number(len(x))})" if sampled else ""
    return plot.figure(words(chart.title) + few, text(f"{spoken(chart.title)}: scatter of {len(x)} points"))


def _range(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 1, high + 1)


def histogram(chart: Histogram) -> str:
    """How many values lie where, about zero; empty without a finite one."""
    values = _finite(chart.values)
    if not len(values):
        return ""
    reach = float(np.abs(values).max()) or 1.0
    counts, edges = np.histogram(values, np.linspace(-reach, reach, 32))
    plot = Plot((-reach, reach), (0, float(counts.max())), height=210)
    plot.rules((0, float(counts.max())), tick)
    for place in np.flatnonzero(counts):
        plot.bar((edges[place], edges[place + 1]), float(counts[place]), gap=0.4)
    plot.stroke((0, 0), (0, float(counts.max())), "limit")
    plot.marks([-reach, 0.0, reach], quantity)
    plot.label(plot.left, plot.top + 8, text(chart.below))
    plot.label(plot.right, plot.top + 8, text(chart.above), "end")
    label = f"{spoken(chart.title)}: histogram of {len(values)} values from {-reach:.4g} to {reach:.4g}"
    return plot.figure(words(chart.title), text(label))


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
        f"Height by width; the median image is <b>{middle[0]:.0f} by {middle[1]:.0f}</b> pixels",
        f"Heights by widths of {len(table)} images",
    )


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64).ravel()
    finite: NDArray[np.float64] = array[np.isfinite(array)]
    return finite
