"""A plotting area as SVG that needs no script and no file: rules, lines, bars and points."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from striate.sections.wording import MINUS, number

MOST_STEPS = 120  # of one line

Say = Callable[[float], str]
Point = tuple[float, float]

CSS = """
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(16rem, 100%), 1fr)); gap: 1.5rem }
.charts.under { margin-top: 1.3rem }
.charts figure { margin: 0; min-width: 0; max-width: 27rem } .charts.small { gap: 1.2rem }
.charts.small { grid-template-columns: repeat(auto-fill, minmax(min(13rem, 100%), 1fr)) }
.charts svg { width: 100%; height: auto; display: block; overflow: visible }
.charts figcaption { margin-bottom: .3rem }
.charts text { font-size: 12px; fill: var(--muted) }
.charts.small text { font-size: 18px }
.charts .grid { stroke: var(--line); stroke-width: 1 }
.charts .even { stroke: var(--muted); stroke-width: 1.2; stroke-dasharray: 4 4 }
.charts polyline { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round }
.charts polyline.good { stroke: rgb(var(--good)) } .charts polyline.bad { stroke: rgb(var(--bad)) }
.charts circle.good { fill: rgb(var(--good)) } .charts circle.bad { fill: rgb(var(--bad)) }
.charts circle.faint { fill: rgb(var(--good) / .5) }
.charts rect { fill: rgb(var(--good) / .6) } .charts rect.bad { fill: rgb(var(--bad) / .55) }
.charts rect.count { fill: var(--muted); opacity: .45 } .charts rect.span { fill: rgb(var(--good) / .16) }
.charts .limit { stroke: var(--ink); stroke-width: 1.6 } .charts .mean { stroke: rgb(var(--good)); stroke-width: 2 }
.charts line.wide { stroke-width: 2.5 }
.charts line.good { stroke: rgb(var(--good)) } .charts line.bad { stroke: rgb(var(--bad)) }
@media (max-width: 46rem) { .charts.small { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem }
  .charts.small text { font-size: 24px } }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.3rem; color: var(--muted); font-size: .82rem; margin-top: .5rem }
.key i { display: inline-block; vertical-align: -.1em; margin-right: .5em; height: .95em }
.key .dot { width: 5px; border-radius: 3px; background: rgb(var(--good)) }
.key .band { width: 18px; height: .7em; border-radius: 4px; background: rgb(var(--good) / .38); vertical-align: 0 }
.key .base { width: 2px; background: var(--muted) }
.key .known { width: 12px; height: .8em; background: rgb(var(--good) / .6); vertical-align: 0 }
.key .strange { width: 12px; height: .8em; background: rgb(var(--bad) / .55); vertical-align: 0 }
.t0 { stroke: var(--t0); fill: var(--t0) } .t1 { stroke: var(--t1); fill: var(--t1) }
.t2 { stroke: var(--t2); fill: var(--t2) } .t3 { stroke: var(--t3); fill: var(--t3) }
.t4 { stroke: var(--t4); fill: var(--t4) } .t5 { stroke: var(--t5); fill: var(--t5) }
.key i.t0 { background: var(--t0) } .key i.t1 { background: var(--t1) } .key i.t2 { background: var(--t2) }
.key i.t3 { background: var(--t3) } .key i.t4 { background: var(--t4) } .key i.t5 { background: var(--t5) }
.key i[class^=t] { width: 16px; height: 3px; vertical-align: .25em }
"""


@dataclass(frozen=True)
class Plot:
    """A plotting area in an SVG 360 units wide: values x and y to units, and what is drawn around them."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: float = 200.0
    left: float = 64.0
    right: float = 340.0
    top: float = 12.0
    foot: float = 28.0
    parts: list[str] = field(default_factory=list)

    @property
    def bottom(self) -> float:
        """Where y is lowest."""
        return self.height - self.foot

    @cached_property
    def _spans(self) -> tuple[float, float]:
        return (self.x[1] - self.x[0]) or 1.0, (self.y[1] - self.y[0]) or 1.0

    def across(self, value: float) -> float:
        """Units from the left."""
        if self.x[0] == self.x[1]:
            return self.right
        return self.left + (self.right - self.left) * (value - self.x[0]) / self._spans[0]

    def down(self, value: float) -> float:
        """Units from the top."""
        return self.bottom - (self.bottom - self.top) * (value - self.y[0]) / self._spans[1]

    def rules(self, values: Sequence[float], say: Say) -> None:
        """Horizontal rules with their values at the left."""
        for value in values:
            y = self.down(value)
            self.parts.append(
                f'<line class="grid" x1="{self.left}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{say(value)}</text>'
            )

    def marks(self, values: Sequence[float], say: Say) -> None:
        """Values under the area."""
        for value in values:
            self.label(self.across(value), self.bottom + 20, say(value), "middle")

    def label(self, x: float, y: float, said: str, anchor: str = "start") -> None:
        """Words (HTML already) at units x, y."""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{said}</text>')

    def line(self, points: Sequence[Point], tone: str) -> None:
        """A line with a point at its end. tone: a CSS class ("good", "bad", "t0" to "t5")."""
        points = thinned(points)
        drawn = " ".join(f"{self.across(x):.1f},{self.down(y):.1f}" for x, y in points)
        x, y = points[-1]
        self.parts.append(f'<polyline class="{tone}" style="fill:none" points="{drawn}"/>')
        self.dot(x, y, tone, 4)

    def dot(self, x: float, y: float, tone: str, radius: float, title: str = "") -> None:
        """A point."""
        hint = f"><title>{title}</title></circle>" if title else "/>"
        self.parts.append(
            f'<circle class="{tone}" cx="{self.across(x):.1f}" cy="{self.down(y):.1f}" r="{radius:g}"{hint}'
        )

    def bar(self, x: tuple[float, float], y: float, tone: str = "", gap: float = 1.0) -> None:
        """A bar from the foot of the area up to y."""
        left, right, top = self.across(x[0]) + gap, self.across(x[1]) - gap, self.down(y)
        width, height = max(0.5, right - left), max(0.0, self.bottom - top)
        named = f' class="{tone}"' if tone else ""
        self.parts.append(f'<rect{named} x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>')

    def stroke(self, start: Point, end: Point, tone: str) -> None:
        """A straight line between two points of values."""
        self.parts.append(
            f'<line class="{tone}" x1="{self.across(start[0]):.1f}" y1="{self.down(start[1]):.1f}" '
            f'x2="{self.across(end[0]):.1f}" y2="{self.down(end[1]):.1f}"/>'
        )

    def svg(self, label: str) -> str:
        """The drawing; `label` (what a screen reader says) is HTML already."""
        return f'<svg viewBox="0 0 360 {self.height:g}" role="img" aria-label="{label}">{"".join(self.parts)}</svg>'

    def figure(self, caption: str, label: str, key: str = "") -> str:
        """The drawing under its caption and over its key, all HTML already."""
        named = f'<div class="key">{key}</div>' if key else ""
        said = f"<figcaption>{caption}</figcaption>" if caption else ""
        return f"<figure>{said}{self.svg(label)}{named}</figure>"


def thinned(points: Sequence[Point], most: int = MOST_STEPS) -> Sequence[Point]:
    """Evenly spaced points of a long line, its first and last among them."""
    if len(points) <= most:
        return points
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round values within low..high, roughly `about` of them: steps of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next((times for times in (1, 2, 5) if times * power >= raw), 10)
    found = [place * step for place in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    return found or [low, high]


def tick(value: float) -> str:
    """A tick's value, without the digits of its binary tail."""
    if abs(value) >= 1000:
        return number(round(value))
    return f"{value:.4g}".replace("-", MINUS)
