"""The objective of a search: the accuracy, weighted by what a network costs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from striate.anatomy.summary import madds, parameters
from striate.errors import RequestError
from striate.layers.modes import in_evaluation
from striate.nets.base import Net
from striate.nets.build import create_classifier
from striate.training.threads import one_thread

Cost = Literal["madds", "latency"]
EXPONENT = -0.07  # w of Tan et al. 2018, section 3: twice the latency for 5 % more accuracy is as good
FULL_TARGET, FULL_SIDE = 400e6, 224  # multiply-adds of Tan and Le 2019, section 4, at that side
WARM_UP, REPEATS, ROUNDS = 5, 25, 3  # passes; a noisy round is measured again
NOISY = 0.1  # relative spread of a round from which on it counts as noisy


@dataclass(frozen=True)
class Objective:
    """max ACC(m) x (COST(m) / target) ** exponent.

    cost: "madds" (Tan and Le 2019, arXiv:1905.11946, section 4) or "latency" on this machine (Tan et al. 2018,
    arXiv:1807.11626, equation 2). target: T, in multiply-adds or seconds. Raises RequestError for a target that is not
    above 0 or an exponent outside [-1, 0].
    """

    cost: Cost
    target: float
    exponent: float = EXPONENT

    def __post_init__(self) -> None:
        """Check the values."""
        if not self.target > 0:
            raise RequestError(f"the target of the cost must be above 0, not {self.target}")
        if not -1 <= self.exponent <= 0:
            raise RequestError(f"the exponent of the cost must be from -1 to 0, not {self.exponent}")

    def reward(self, accuracy: float, cost: float) -> float:
        """The objective of a network with this accuracy, from 0 to 1, and cost, in the unit of the target."""
        return accuracy * math.pow(cost / self.target, self.exponent)


def madds_target(side: int) -> float:
    """EfficientNet's T of 400 M multiply-adds, scaled from 224 pixels to images of `side` by their pixels."""
    return FULL_TARGET * (side / FULL_SIDE) ** 2


class Size(NamedTuple):
    """Parameters and multiply-adds of a network."""

    parameters: int
    madds: int


def size_of(net: str, options: Mapping[str, object], classes: int, side: int) -> Size:
    """Parameters and multiply-adds of one image, counted on the meta device."""
    with torch.device("meta"):
        made = create_classifier(net, classes=classes, input_size=(side, side), options=options)
    return Size(parameters(made), madds(made, (side, side)))


class Latency(NamedTuple):
    """seconds: the median of a batch of one image. spread: the interquartile range as a share of the median."""

    seconds: float
    spread: float

    @property
    def noisy(self) -> bool:
        """Whether the machine was too busy for the figure to be trusted."""
        return self.spread > NOISY


def measured_latency(net: Net, side: int) -> Latency:
    """The time of one image on one thread of this machine.

    After WARM_UP passes, REPEATS passes are timed and their median taken. A noisy round is repeated, at most ROUNDS in
    all, and the least noisy one counts; its spread says how noisy that was.
    """
    images = torch.zeros(1, net.in_channels, side, side)
    rounds: list[Latency] = []
    with one_thread(), in_evaluation(net), torch.inference_mode():
        for _ in range(WARM_UP):
            net(images)
        while len(rounds) < ROUNDS and not any(not one.noisy for one in rounds):
            rounds.append(_round(net, images))
    return min(rounds, key=lambda one: one.spread)


def _round(net: Net, images: torch.Tensor) -> Latency:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        net(images)
        seconds.append(time.perf_counter() - start)
    low, middle, high = statistics.quantiles(seconds, n=4)
    return Latency(middle, (high - low) / middle)
