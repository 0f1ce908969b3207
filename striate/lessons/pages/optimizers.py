"""The page on optimizers: a race over four surfaces, the lectures' formulas beside PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from striate.lessons.contours import contour
from striate.lessons.optimizers import LECTURES, PYTORCH, RULES, SURFACES, Form, Point, Rule, Surface, losses, path
from striate.lessons.pages.parts import Page, button, choice, controls, drawing, rows_table, said, slider, tick

NAMES = {
    "sgd": "Gradient descent",
    "momentum": "Momentum",
    "nesterov": "Nesterov momentum",
    "adagrad": "AdaGrad",
    "rmsprop": "RMSprop",
    "adam": "Adam",
}
FIRST, STEPS, MOST, HALVED = "ravine", 120, 300, 50
SIDE, LEVELS = 320, 9  # units of a drawing; contours
NORMALISED = ("adagrad", "rmsprop", "adam")

STYLE = """
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 1rem 2rem }
.pair h3 { margin: 0 0 .4rem } .level { fill: none; stroke: var(--line); stroke-width: 1.2 }
.pair polyline { fill: none; stroke-width: 2; stroke-linejoin: round } .pair .frame { fill: none; stroke: var(--line) }
.pair .begin { fill: var(--ink) } .pair svg { border-radius: 8px; background: var(--page) }
#formulas td { font-family: var(--mono); font-size: .8rem; text-align: left; white-space: normal }
#formulas th:not(:first-child) { text-align: left }
"""


def page() -> Page:
    """The page."""
    sections = (
        ("race", "The race", _RACE_LEAD, _race()),
        ("formulas-part", "The formulas", _FORMULAS_LEAD, _formulas()),
        ("nesterov-part", "Momentum and Nesterov momentum, written out", "", _expanded()),
    )
    data: dict[str, Any] = {
        "side": SIDE,
        "halved": HALVED,
        "names": NAMES,
        "surfaces": {name: _surface(surface) for name, surface in SURFACES.items()},
    }
    lead = "Six rules for the step that follows a gradient, on surfaces where one can see it."
    return Page("Optimizers", lead, sections, data, "optimizers", STYLE)


def _surface(surface: Surface) -> dict[str, Any]:
    return {
        "start": surface.start,
        "x": surface.x,
        "y": surface.y,
        "rates": surface.rates,
        "levels": [_level(surface, level) for level in levels(surface)],
    }


def levels(surface: Surface) -> list[float]:
    """Heights of the contours: their distances above the lowest point of the window grow as cubes."""
    values = [
        surface.value(
            surface.x[0] + (surface.x[1] - surface.x[0]) * i / 24, surface.y[0] + (surface.y[1] - surface.y[0]) * j / 24
        )
        for i in range(25)
        for j in range(25)
    ]
    low, high = min(values), sorted(values)[len(values) * 9 // 10]
    return [low + (high - low) * (place / LEVELS) ** 3 for place in range(1, LEVELS + 1)]


def across(surface: Surface, x: float) -> float:
    """Units from the left."""
    return SIDE * (x - surface.x[0]) / (surface.x[1] - surface.x[0])


def down(surface: Surface, y: float) -> float:
    """Units from the top."""
    return SIDE * (surface.y[1] - y) / (surface.y[1] - surface.y[0])


def _level(surface: Surface, level: float) -> str:
    """The path of an SVG."""
    segments = contour(surface.value, surface.x, surface.y, level)

    def place(point: Point) -> str:
        return f"{across(surface, point[0]):.0f} {down(surface, point[1]):.0f}"

    return "".join(f"M{place(a)}L{place(b)}" for a, b in segments)


_RACE_LEAD = (
    "Left: the lectures’ formulas, which the boxes change. Right: PyTorch’s, with the same rates. The points of "
    "Nesterov momentum are those at which its gradients are taken."
)


def rates(rule: str, surface: Surface, steps: int = STEPS) -> list[float]:
    """The learning rate of every step on the page as it opens."""
    return [surface.rates[rule in NORMALISED]] * steps


def _paths(form: Form) -> dict[Rule, list[Point]]:
    return {rule: path(rule, FIRST, rates(rule, SURFACES[FIRST]), form) for rule in RULES}


def _race() -> str:
    surface = SURFACES[FIRST]
    asked = controls(
        choice("surface", "Surface", {name: each.title for name, each in SURFACES.items()}, FIRST),
        slider(
            "plain-rate", "Rate of gradient descent, momentum, Nesterov", (-4, 0, 0.05), math.log10(surface.rates[0])
        ),
        slider("normal-rate", "Rate of AdaGrad, RMSprop, Adam", (-4, 0, 0.05), math.log10(surface.rates[1])),
        slider("momentum", "Momentum a", (0, 0.99, 0.01), LECTURES.momentum),
        slider("epsilon", "&epsilon;", (-10, 0, 1), -8),
        slider("steps", "Steps", (1, MOST, 1), STEPS),
        tick("halved", f"halve the rates after {HALVED} steps"),
        tick("inside", "left: &epsilon; inside the root", on=True),
        tick("corrected", "left: Adam’s bias corrected"),
        tick("rate-inside", "left: rate inside the velocity", on=True),
        button("play", "Play"),
    )
    lectures, torch = _paths(LECTURES), _paths(PYTORCH)
    rows = [
        (
            f'<span class="key t{place}"></span>{NAMES[rule]}',
            *(short(losses(FIRST, found[rule])[-1]) for found in (lectures, torch)),
            apart(lectures[rule], torch[rule]),
        )
        for place, rule in enumerate(RULES)
    ]
    head = ("rule", "loss, lectures", "loss, PyTorch", "largest distance")
    both = _drawn("lectures", "The lectures", lectures) + _drawn("torch", "PyTorch", torch)
    return (
        f'{asked}<div class="pair">{both}</div>'
        f"{rows_table(head, rows, 'losses', 'After the last step; the distance is between the two paths.')}"
    )


def apart(first: Sequence[Point], second: Sequence[Point]) -> str:
    """The largest distance between two paths at the same step, as the page writes it."""
    return short(max(math.dist(a, b) for a, b in zip(first, second, strict=False)))


def short(value: float) -> str:
    """A loss or distance; what is below rounding is 0."""
    if 1e-12 <= abs(value) < 1e-3:
        power = math.floor(math.log10(abs(value)))
        return f"{said(value / 10**power, 1)}e{said(power, 0)}"
    return said(value, 3)


def _drawn(name: str, title: str, paths: dict[Rule, list[Point]]) -> str:
    surface = SURFACES[FIRST]
    levels_drawn = "".join(f'<path class="level" d="{_level(surface, level)}"/>' for level in levels(surface))
    lines = "".join(
        f'<polyline class="t{place}" style="fill:none" points="'
        + " ".join(f"{across(surface, x):.1f},{down(surface, y):.1f}" for x, y in points)
        + '"/>'
        for place, points in enumerate(paths.values())
    )
    x, y = surface.start
    begin = f'<circle class="begin" cx="{across(surface, x):.1f}" cy="{down(surface, y):.1f}" r="4"/>'
    label = f"Paths of six optimizers on the surface, in the formulas of {title}"
    return f"<div><h3>{title}</h3>{drawing(name, (SIDE, SIDE), label, levels_drawn + lines + begin)}</div>"


_FORMULAS_LEAD = (
    "g: the gradient; &gamma;: the learning rate; a, b: the constants of the averages. They agree for gradient "
    "descent, and for momentum and Nesterov while the rate is constant. Inside the root, &epsilon; acts like its "
    "square root outside. Without the correction Adam’s first steps are about three times too long."
)


def _formulas() -> str:
    rows = [
        ("Gradient descent", "θ ← θ − γ g", "the same"),
        ("Momentum", "v ← a v − γ g; θ ← θ + v", "v ← a v + g; θ ← θ − γ v"),
        ("Nesterov momentum", "v ← a v − γ g; θ ← θ + a v − γ g", "v ← a v + g; θ ← θ − γ (g + a v)"),
        ("AdaGrad", "only named; here u ← u + g²; θ ← θ − γ g / √(u + ε)", "θ ← θ − γ g / (√u + ε)"),
        ("RMSprop", "u ← b u + (1 − b) g²; θ ← θ − γ g / √(u + ε)", "θ ← θ − γ g / (√u + ε)"),
        (
            "Adam",
            "v ← a v + (1 − a) g; u as above; θ ← θ − γ v / √(u + ε)",
            "θ ← θ − γ V / (√U + ε), V = v / (1 − a<sup>t</sup>), U = u / (1 − b<sup>t</sup>)",
        ),
    ]
    return rows_table(("rule", "the lectures", "PyTorch"), rows, "formulas")


def _expanded() -> str:
    a = LECTURES.momentum
    rows = [
        ("Momentum", "a", f"{said(a)}", "&gamma;", "1"),
        ("Nesterov momentum", "a²", f"{said(a * a, 4)}", "(1 + a) &gamma;", f"{said(1 + a)}"),
    ]
    table = rows_table(("one step", "of the last velocity", "a = 0.95", "of the gradient", "in units of &gamma;"), rows)
    return (
        "<p>Put the new velocity into the step: momentum moves by a v &minus; &gamma; g, and Nesterov momentum by "
        "a² v &minus; (1 + a) &gamma; g. It has less of the old direction and more of the gradient here.</p>" + table
    )
