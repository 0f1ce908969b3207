"""Six optimizers on four surfaces of two parameters, in the lectures' formulas and in PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from striate.errors import unknown

Point = tuple[float, float]
Rule = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"]
RULES: tuple[Rule, ...] = get_args(Rule)
FAR = 1e6  # a path that leaves this square has diverged


class Surface(NamedTuple):
    """A loss of two parameters: its value and gradient, where paths start, and the window that is drawn.

    rates: of gradient descent, momentum and Nesterov; of AdaGrad, RMSprop and Adam, whose steps are normalised.
    They are powers of ten that the slider of the page has.
    """

    title: str
    value: Callable[[float, float], float]
    gradient: Callable[[float, float], Point]
    start: Point
    x: tuple[float, float]
    y: tuple[float, float]
    rates: tuple[float, float]


def _beale(x: float, y: float) -> float:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _beale_gradient(x: float, y: float) -> Point:
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
    across = 2 * a * (y - 1) + 2 * b * (y**2 - 1) + 2 * c * (y**3 - 1)
    return across, 2 * a * x + 4 * b * x * y + 6 * c * x * y**2


# Ravine: one direction is 25 times as sensitive as the other. Beale 1958; Rosenbrock 1960. The saddle is at the origin,
# its minima at (0, 2) and (0, -2).
SURFACES: Mapping[str, Surface] = {
    "ravine": Surface(
        "Ravine: x²/2 + 25 y²/2",
        lambda x, y: (x * x + 25 * y * y) / 2,
        lambda x, y: (x, 25 * y),
        (-4.0, 1.6),
        (-5.0, 3.0),
        (-2.5, 2.5),
        (0.01, 0.1),
    ),
    "beale": Surface(
        "Beale’s function", _beale, _beale_gradient, (0.5, 2.0), (-0.5, 4.5), (-1.0, 2.5), (10**-2.7, 0.1)
    ),
    "rosenbrock": Surface(
        "Rosenbrock’s valley: (1 − x)² + 10 (y − x²)²",
        lambda x, y: (1 - x) ** 2 + 10 * (y - x * x) ** 2,
        lambda x, y: (-2 * (1 - x) - 40 * x * (y - x * x), 20 * (y - x * x)),
        (-1.2, 1.6),
        (-2.0, 2.0),
        (-1.0, 3.0),
        (10**-2.7, 10**-1.3),
    ),
    "saddle": Surface(
        "Saddle: x² − y² + y⁴/8",
        lambda x, y: x * x - y * y + y**4 / 8,
        lambda x, y: (2 * x, -2 * y + y**3 / 2),
        (2.0, 0.001),
        (-2.5, 2.5),
        (-3.0, 3.0),
        (10**-1.7, 10**-1.3),
    ),
}


@dataclass(frozen=True)
class Form:
    """How the formulas are written, and their constants.

    rate_inside: v = a v - rate g, w = w + v; else b = a b + g, w = w - rate b.
    epsilon_inside: g / sqrt(u + epsilon); else g / (sqrt(u) + epsilon).
    bias_corrected: Adam divides its averages by 1 - a^t and 1 - b^t.
    momentum: of momentum and Nesterov; first, second: of Adam; square: of RMSprop.
    """

    rate_inside: bool = True
    epsilon_inside: bool = True
    bias_corrected: bool = False
    epsilon: float = 1e-8
    momentum: float = 0.95
    square: float = 0.99
    first: float = 0.9
    second: float = 0.999


LECTURES = Form()
PYTORCH = Form(rate_inside=False, epsilon_inside=False, bias_corrected=True)


def path(
    rule: Rule, surface: str, rates: Sequence[float], form: Form = LECTURES, start: Point | None = None
) -> list[Point]:
    """The points of an optimizer, its start first, one step for each of `rates`; it ends early where it diverges.

    The points of Nesterov momentum are those at which gradients are taken. Raises RequestError for an unknown rule or
    surface.
    """
    if rule not in RULES:
        raise unknown("optimizer", rule, RULES)
    if surface not in SURFACES:
        raise unknown("surface", surface, SURFACES)
    gradient = SURFACES[surface].gradient
    point = SURFACES[surface].start if start is None else start
    step = _STEPS[rule]
    found, states = [point], ([0.0, 0.0], [0.0, 0.0])  # of x and y: the average and the square
    for time, rate in enumerate(rates, 1):
        slopes = gradient(*point)
        moves = [step(state, slope, rate, time, form) for state, slope in zip(states, slopes, strict=True)]
        point = (point[0] + moves[0], point[1] + moves[1])
        if not all(abs(value) <= FAR for value in point):
            break
        found.append(point)
    return found


def losses(surface: str, points: Sequence[Point]) -> list[float]:
    """The value at each point."""
    return [SURFACES[surface].value(*point) for point in points]


State = list[float]


def _descend(state: State, slope: float, rate: float, time: int, form: Form) -> float:
    return -rate * slope


def _momentum(state: State, slope: float, rate: float, time: int, form: Form) -> float:
    state[0] = form.momentum * state[0] + (-rate * slope if form.rate_inside else slope)
    return state[0] if form.rate_inside else -rate * state[0]


def _nesterov(state: State, slope: float, rate: float, time: int, form: Form) -> float:
    state[0] = form.momentum * state[0] + (-rate * slope if form.rate_inside else slope)
    if form.rate_inside:
        return form.momentum * state[0] - rate * slope
    return -rate * (slope + form.momentum * state[0])


def _adagrad(state: State, slope: float, rate: float, time: int, form: Form) -> float:
    state[1] += slope * slope
    return -rate * slope / _root(state[1], form)


def _rmsprop(state: State, slope: float, rate: float, time: int, form: Form) -> float:
    state[1] = form.square * state[1] + (1 - form.square) * slope * slope
    return -rate * slope / _root(state[1], form)


def _adam(state: State, slope: float, rate: float, time: int, form: Form) -> float:
    state[0] = form.first * state[0] + (1 - form.first) * slope
    state[1] = form.second * state[1] + (1 - form.second) * slope * slope
    if not form.bias_corrected:
        return -rate * state[0] / _root(state[1], form)
    return -rate * state[0] / (1 - form.first**time) / _root(state[1] / (1 - form.second**time), form)


def _root(square: float, form: Form) -> float:
    return math.sqrt(square + form.epsilon) if form.epsilon_inside else math.sqrt(square) + form.epsilon


_STEPS: Mapping[str, Callable[[State, float, float, int, Form], float]] = {
    "sgd": _descend,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _adam,
}
