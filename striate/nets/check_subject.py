"""What the checks of every kind share: the network under test, made again at will, and how a failure is told."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError

COUNT = 4  # images of a batch
PASSES = 16  # of which one at least has a gradient for each parameter: some nets leave parts out at random
CLOSE = 1e-5  # of the largest logit: another order of the same sums
HALF_CLOSE = 0.05  # the same for bfloat16


class Failure(NamedTuple):
    """A violation of the contract: the name of the check, what was found, and what to do."""

    check: str
    found: str
    advice: str

    def __str__(self) -> str:
        return f"{self.check}: {self.found}; {self.advice}"


Found = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Subject:
    """What is checked: an image classifier. `make` creates it again with (classes, in_channels, size); None where a
    module was given. Subclasses are networks of other kinds, with inputs, outputs and a loss of their own.
    """

    net: nn.Module
    classes: int
    in_channels: int
    size: tuple[int, int]
    make: Callable[[int, int, tuple[int, int]], nn.Module] | None
    any_channels: bool

    def images(self, count: int = COUNT, size: tuple[int, int] | None = None, channels: int | None = None) -> Tensor:
        """The same images at every call, [count, channels, height, width]."""
        generator = torch.Generator().manual_seed(1)
        shape = (count, channels or self.in_channels, *(size or self.size))
        # Drawn image by image, so that a smaller batch has the same first images.
        return torch.stack([torch.randn(shape[1:], generator=generator) for _ in range(count)])

    def outputs(self, count: int = COUNT) -> tuple[int, ...]:
        """The shape of what comes out for so many inputs."""
        return (count, self.classes)

    def loss(self, outputs: Tensor) -> Tensor:
        """A loss of the outputs for `images()`, which depends on every class."""
        return nn.functional.cross_entropy(outputs, torch.arange(len(outputs)) % self.classes)

    def seeded(self, seed: int = 0) -> nn.Module:
        """The network created with this seed; a copy if a module was given."""
        torch.manual_seed(seed)
        return copy.deepcopy(self.net) if self.make is None else self.make(self.classes, self.in_channels, self.size)


def gap(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float(((one.float() - other.float()).abs().max() / one.float().abs().max().clamp_min(1e-12)).detach())


def refused(net: nn.Module, given: Tensor, what: str) -> Found:
    """What is wrong if a network takes an input that it must refuse."""
    try:
        net(given)
    except RequestError:
        return
    yield f"{what} are accepted", "call self.check(x) before the first layer"
