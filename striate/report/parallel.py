"""Charts of points over several keys: one key at a time, and all of them as parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from striate.report.plot import Plot, Say, tick, ticks
from striate.report.wording import text, words
from striate.sections import Parallel, Slice, spoken
from striate.sections.wording import clipped, formatted, percent

MOST_ROWS = 600  # of points or lines in one chart: more hide each other and weigh
_LETTERS = 9  # of a word under a chart


def one_key(chart: Slice) -> str:
    """Points, the one that stands out last; empty without a finite one."""
    x, y = (np.asarray(values, np.float64).ravel() for values in (chart.x, chart.y))
    x = np.log10(np.where(x > 0, x, np.nan)) if chart.log else x
    known = [int(row) for row in np.flatnonzero(np.isfinite(x) & np.isfinite(y))]
    if not known:
        return ""
    across = _across(chart, [float(x[row]) for row in known])
    heights = [float(y[row]) for row in known]
    plot = Plot(across, _span(heights), height=220)
    plot.rules(ticks(*plot.y, 5), _say(chart))
    if chart.names:
        step = max(1, math.ceil(len(chart.names) / 4))
        for place in range(0, len(chart.names), step):
            plot.label(plot.across(place), plot.bottom + 20, text(clipped(chart.names[place], _LETTERS)), "middle")
    elif chart.log:
        plot.marks(ticks(*across, 5), lambda power: tick(float(f"{10**power:.2g}")))
    else:
        plot.marks(ticks(*across, 4), tick)
    shown = known if len(known) <= MOST_ROWS else [known[place] for place in _spread(len(known))]
    for row in shown:
        plot.dot(float(x[row]), float(y[row]), "faint", 3.2)
    if chart.best is not None and chart.best in known:
        plot.dot(float(x[chart.best]), float(y[chart.best]), "bad", 5, _say(chart)(float(y[chart.best])))
    return plot.figure(words(chart.title), text(f"{spoken(chart.title)}: {len(known)} points"))


def coordinates(chart: Parallel) -> str:
    """A line for each row; empty without a row or with fewer than two axes."""
    shares, weights = np.asarray(chart.shares, np.float64), np.asarray(chart.weights, np.float64)
    if len(chart.axes) < 2 or not len(shares):
        return ""
    last = len(chart.axes) - 1
    plot = Plot((0, last), (0, 1), height=270, foot=50, left=30, right=300)
    for place, axis in enumerate(chart.axes):
        plot.stroke((place, 0), (place, 1), "grid")
        for share, said in axis.marks:
            plot.label(
                plot.across(place) + 4, plot.down(share) + (11 if share > 0.5 else -3), text(clipped(said, _LETTERS))
            )
        # In two lines by turns, so that long names do not run into each other.
        down = plot.bottom + 18 + 16 * (place % 2)
        middle = "middle" if 0 < place < last else "start" if place == 0 else "end"
        plot.label(plot.across(place) + {0: -28, last: 58}.get(place, 0), down, text(clipped(axis.name, 16)), middle)
    order = np.argsort(weights, kind="stable")
    order = order[_spread(len(order))] if len(order) > MOST_ROWS else order
    low, high = float(weights.min()), float(weights.max())
    for row in order:
        strength = (float(weights[row]) - low) / (high - low) if high > low else 1.0
        _line(plot, shares[row].tolist(), "good", 0.08 + 0.5 * strength**2, 1.2)
    if chart.best is not None:
        _line(plot, shares[chart.best].tolist(), "bad", 1.0, 2.6)
    return plot.figure(words(chart.title), text(f"{spoken(chart.title)}: {len(shares)} lines over {last + 1} axes"))


def _line(plot: Plot, shares: Sequence[float], tone: str, opacity: float, width: float) -> None:
    """A line over the axes that it has a share of."""
    run = [
        f"{plot.across(place):.1f},{plot.down(share):.1f}" for place, share in enumerate(shares) if math.isfinite(share)
    ]
    if len(run) > 1:
        style = f"fill:none;opacity:{opacity:.2f};stroke-width:{width:g}"
        plot.parts.append(f'<polyline class="{tone}" style="{style}" points="{" ".join(run)}"/>')


def _across(chart: Slice, values: list[float]) -> tuple[float, float]:
    """The range of x: that of the places, a given one, or that of the values."""
    if chart.names:
        return -0.5, len(chart.names) - 0.5
    if chart.range is None:
        return _span(values)
    low, high = map(math.log10, chart.range) if chart.log else chart.range
    return _span([low, high])


def _say(chart: Slice) -> Say:
    if chart.form == "percent":
        return percent
    return tick if chart.form == "plain" else lambda value: text(formatted(value, chart.form))


def _span(values: list[float]) -> tuple[float, float]:
    """The range of values with some room, so that no point lies on the edge."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _spread(count: int) -> list[int]:
    """Evenly spaced places of `count`, its first and last among them."""
    return [round(place * (count - 1) / (MOST_ROWS - 1)) for place in range(MOST_ROWS)]
