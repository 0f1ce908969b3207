"""A chart of named bubbles: a cost across, a score up, areas for a third quantity; names where there is room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from striate.report.plot import Plot, Say, tick, ticks
from striate.report.wording import text, words
from striate.sections import Axis, Bubble, Bubbles, spoken
from striate.sections.wording import formatted

LARGEST, DOT = 9.0, 2.3  # radius of the largest bubble, and of a dot, in units
LETTER, LINE = 3.6, 7.5  # width of a letter and height of a name, in units
HEIGHT = 230.0

CSS = """
.charts figure.bubbles { max-width: 46rem } .charts .bubbles text { font-size: 7.2px }
.charts circle.bubble { fill-opacity: .38; stroke-opacity: .9; stroke-width: .7 }
.charts .bubbles line.wide { stroke-width: 1.3 }
.charts .bubble.good { stroke: rgb(var(--good)) } .charts .bubble.bad { stroke: rgb(var(--bad)) }
.charts .bubbles .names text { font-size: 6.6px; fill: var(--ink) }
.charts .front { stroke: var(--ink); stroke-width: 1.1; stroke-dasharray: 3 3; fill: none }
.charts .level { stroke: rgb(var(--bad)); stroke-width: 1.2; stroke-dasharray: 6 3 }
"""

Box = tuple[float, float, float, float]  # left, top, right, bottom, in units


def bubbles(chart: Bubbles) -> str:
    """The chart; empty without a finite point."""
    shown = [one for one in chart.bubbles if math.isfinite(one.x) and math.isfinite(one.y) and _placeable(chart.x, one)]
    if not shown:
        return ""
    plot = _plot(chart, shown)
    _axes(plot, chart)
    if chart.level is not None:
        plot.stroke((plot.x[0], chart.level), (plot.x[1], chart.level), "level")
        plot.label(plot.left + 2, plot.down(chart.level) - 3, text(chart.level_name))
    _front(plot, chart)
    most = max((one.size for one in shown if one.size), default=0.0)
    radii = [_radius(one, most) for one in shown]
    for one, radius in sorted(zip(shown, radii, strict=True), key=lambda pair: -pair[1]):  # small ones on top
        _bubble(plot, chart, one, radius)
    plot.parts.append(f'<g class="names">{"".join(_names(plot, chart, shown, radii))}</g>')
    sized = f"<span>area: {text(chart.size_name)}</span>" if chart.size_name and most else ""
    drawn = plot.figure(words(chart.title), text(f"{spoken(chart.title)}: {len(shown)} points"), sized)
    return drawn.replace("<figure>", '<figure class="bubbles">', 1)


def _placeable(axis: Axis, one: Bubble) -> bool:
    return one.x > 0 or not axis.log


def _plot(chart: Bubbles, shown: Sequence[Bubble]) -> Plot:
    xs = [_on(chart.x, one.x) for one in shown]
    ys = [value for one in shown for value in (one.y, *(one.range or ()))]
    ys += [] if chart.level is None else [chart.level]
    across = (_on(chart.x, chart.x.range[0]), _on(chart.x, chart.x.range[1])) if chart.x.range else _roomy(xs)
    return Plot(across, chart.y.range or _roomy(ys), height=HEIGHT, left=38, foot=34, right=350)


def _roomy(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.09 * (high - low or abs(high) or 1.0)
    return low - room, high + room


def _on(axis: Axis, value: float) -> float:
    return math.log10(value) if axis.log else value


def _axes(plot: Plot, chart: Bubbles) -> None:
    say: Say = tick if chart.y.form == "plain" else lambda value: text(formatted(value, chart.y.form))
    plot.rules(ticks(*plot.y, 5), say)
    if chart.x.log:
        marks = list(_round_values(*plot.x))
        if len(marks) < 2:
            marks = ticks(10 ** plot.x[0], 10 ** plot.x[1])
        plot.marks([math.log10(value) for value in marks], lambda power: text(_short(10**power)))
    else:
        whole = [value for value in ticks(*plot.x, 6) if value == round(value)] or ticks(*plot.x, 6)
        years = plot.x[0] > 1900 and plot.x[1] < 2100
        plot.marks(whole, lambda value: f"{value:.0f}" if years else tick(value))
    plot.label((plot.left + plot.right) / 2, plot.height - 3, text(chart.x.label), "middle")
    plot.label(plot.left - 30, plot.top - 4, text(chart.y.label))


def _round_values(low: float, high: float) -> Iterator[float]:
    """1, 2 and 5 times powers of ten between two powers; only the powers on a wide axis."""
    steps = (1,) if high - low > 2.5 else (1, 2, 5)
    for power in range(math.floor(low), math.ceil(high) + 1):
        for step in steps:
            if low <= math.log10(step) + power <= high:
                yield step * 10.0**power


def _short(value: float) -> str:
    for unit, name in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= 0.999 * unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"


def _front(plot: Plot, chart: Bubbles) -> None:
    """The front as steps: a score holds until the next cost at which a better one begins."""
    points = [(plot.across(_on(chart.x, x)), plot.down(y)) for x, y in sorted(chart.front)]
    if not points:
        return
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for x, y in points[1:]:
        path += f"H{x:.1f}V{y:.1f}"
    plot.parts.append(f'<path class="front" d="{path}H{plot.right:.1f}"/>')


def _radius(one: Bubble, most: float) -> float:
    return DOT if one.size is None or not most else max(1.4, LARGEST * math.sqrt(one.size / most))


def _bubble(plot: Plot, chart: Bubbles, one: Bubble, radius: float) -> None:
    x = _on(chart.x, one.x)
    if one.range is not None:
        plot.stroke((x, one.range[0]), (x, one.range[1]), f"{one.tone} wide")
    value = formatted(one.y, chart.y.form)
    title = text(f"{one.name}: {value}{f', {one.more}' if one.more else ''}")
    plot.dot(x, one.y, f"bubble {one.tone}", round(radius, 1), title)


def _names(plot: Plot, chart: Bubbles, shown: Sequence[Bubble], radii: Sequence[float]) -> Iterator[str]:
    """Names beside their bubbles, those of the first bubbles first, where they cover no other name."""
    taken: list[Box] = []
    if chart.level is not None:
        height = plot.down(chart.level)
        taken.append((plot.left, height - LINE - 2, plot.left + LETTER * len(chart.level_name) + 8, height))
    for one, radius in list(zip(shown, radii, strict=True))[: chart.named]:
        x, y = plot.across(_on(chart.x, one.x)), plot.down(one.y)
        wide = LETTER * len(one.name)
        places = [
            (x + radius + 2, y - 1.5, "start", 0.0),
            (x - radius - 2, y + 2.3, "end", -wide),
            (x, y - radius - 2, "middle", -wide / 2),
            (x, y + radius + 7, "middle", -wide / 2),
        ]
        for left, base, anchor, shift in places:
            box = (left + shift, base - LINE + 1.5, left + shift + wide, base + 1.5)
            inside = box[0] >= plot.left and box[2] <= 360 and box[1] >= 0 and box[3] <= plot.bottom
            if inside and not any(_meet(box, other) for other in taken):
                taken.append(box)
                yield f'<text x="{left:.1f}" y="{base:.1f}" text-anchor="{anchor}">{text(one.name)}</text>'
                break


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
