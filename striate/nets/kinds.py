"""The interfaces of networks that are no image classifiers: one class for each other kind of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from striate.errors import RequestError
from striate.nets.base import Network, under_tracer


class Segmenter(Network):
    """A network that gives a class for each pixel.

    forward: images [N, in_channels, H, W] -> logits [N, classes, H / stride, W / stride]. H and W must be multiples of
    `multiple`; `stride` is 1 for logits as large as the image. The loss is cross-entropy over pixels.
    """

    kind = "segmenter"
    multiple: int
    stride: int = 1

    def check(self, x: Tensor) -> None:
        """Raise RequestError unless `x` is a batch of images that this network accepts."""
        super().check(x)
        _check_multiple(self, x, self.multiple)


class Detector(Network):
    """A network that finds objects: at places of several levels it predicts a box and the classes of what is in it.

    forward: images [N, in_channels, H, W] -> outputs [N, places, 9 + classes], whose columns are those of
    `striate.tasks.detection_arrays`. H and W must be multiples of the coarsest of `strides`.
    """

    kind = "detector"
    strides: tuple[int, ...]

    def check(self, x: Tensor) -> None:
        """Raise RequestError unless `x` is a batch of images that this network accepts."""
        super().check(x)
        _check_multiple(self, x, max(self.strides))

    def places(self, height: int, width: int) -> int:
        """How many places there are in an image of that size."""
        return sum((height // stride) * (width // stride) for stride in self.strides)


def _check_multiple(net: Network, x: Tensor, multiple: int) -> None:
    if not under_tracer(x) and any(side % multiple for side in x.shape[2:]):
        given = f"{x.shape[2]} x {x.shape[3]}"
        raise RequestError(f"{net.name} needs sides that are multiples of {multiple} pixels, not {given}")


class SequenceModel(Network):
    """A network that reads symbols one after another and gives, after each, logits of the next.

    forward: symbols [N, T], whole numbers below `in_channels` -> logits [N, T, classes], from the state of the start.
    run: the same from any `state`, and the state after the last symbol, with which the sequence is continued:
    `run` of two parts, one after the other, gives what `forward` gives for the whole. States are nested tuples of
    tensors [N, units]; None is that of the start, zeros.
    """

    kind = "sequence-model"
    minimum_size = 1

    def forward(self, symbols: Tensor) -> Tensor:
        """Symbols [N, T] -> logits [N, T, classes]. Raises RequestError for other shapes, or a symbol out of range."""
        return self.run(symbols)[0]

    def run(self, symbols: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Symbols [N, T] and a state -> logits [N, T, classes] and the state after them."""
        raise NotImplementedError

    def example(self, count: int, size: Sequence[int]) -> Tensor:
        """A batch of `count` sequences without values; `size` is (1, length)."""
        return torch.empty(count, size[1], dtype=torch.long, device="meta")

    def check(self, symbols: Tensor) -> None:
        """Raise RequestError unless these are symbols [N, T] that the network knows."""
        if under_tracer(symbols):
            return
        if symbols.ndim != 2 or symbols.dtype != torch.long or symbols.shape[1] < 1:
            given = f"{symbols.dtype} {list(symbols.shape)}".removeprefix("torch.")
            raise RequestError(f"{self.name} takes symbols [N, T] of int64, not {given}")
        if (
            not symbols.is_meta
            and symbols.numel()
            and not 0 <= int(symbols.min()) <= int(symbols.max()) < self.in_channels
        ):
            raise RequestError(f"{self.name} has the symbols 0 to {self.in_channels - 1}")


class SelfOrganising(Network):
    """A network that learns features of images by a rule of its own: without labels, a loss or gradients.

    forward: images [N, in_channels, H, W], values of at least 0 -> responses [N, C, h, w], at least 0.
    learn: one image is presented, and the weights of the cells that respond most are reinforced. Weights are parameters
    that need no gradient, so that they are counted, saved and loaded as those of other networks.
    """

    kind = "self-organising"

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> the responses of the last stage [N, C, h, w]."""
        return self.maps(x)[self.stages[-1]]

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Images [N, in_channels, H, W] -> the responses of each stage by its name, in order."""
        self.check(x)
        found: dict[str, Tensor] = {}
        for stage in self.stages:
            found[stage] = x = getattr(self, stage)(x)
        return found

    def learn(self, image: Tensor) -> None:
        """Present one image [in_channels, H, W] and reinforce what responds to it."""
        raise NotImplementedError
