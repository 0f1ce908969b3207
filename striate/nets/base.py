"""What every image classifier here offers, whatever stands inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, fx, nn

from striate.errors import RequestError


class Net(nn.Module):
    """An image classifier: `forward(x)` is `head(embed(x))`, and `embed(x)` is `features(x)`, pooled.

    features  [N, in_channels, H, W] -> [N, feature_channels, h, w], the last map: the modules of `stages`, in order
    embed     -> [N, embedding_size], one vector an image; dropout, in training only, is applied here
    head      -> [N, classes], scores before any softmax; replace it to learn other classes

    A network whose fully connected layers are as large as its last map takes images of one size: its `input_size`,
    which the constructor was given. All others take any size from `minimum_size` on, and have None there.

    `create` (in `striate.nets.build`) fills in `name` and `options`, from which the same network can be made again.
    """

    table: ClassVar[str]  # The paper's table, as printed at the top of the file.
    minimum_size: ClassVar[int]  # The least height and width of an image.
    input_size: tuple[int, int] | None = None  # The only height and width; None: any.

    head: nn.Module
    stages: tuple[str, ...]
    in_channels: int
    feature_channels: int
    embedding_size: int
    name: str
    options: dict[str, object]

    def __init__(self) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.options = {}

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> scores [N, classes]. Raises RequestError for images of a wrong size."""
        scores: Tensor = self.head(self.embed(x))
        return scores

    def embed(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> vectors [N, embedding_size]: the mean of the last map over its pixels."""
        return self.features(x).mean((2, 3))

    def features(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> the last map [N, feature_channels, h, w]."""
        self.check(x)
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return x

    def check(self, x: Tensor) -> None:
        """Raise RequestError unless `x` is a batch of images that this network can look at."""
        # A tracer asks about shapes that have no value yet; it is given its example input by one who has checked it.
        if torch._C._get_tracing_state() is not None or torch.compiler.is_compiling() or isinstance(x, fx.Proxy):
            return
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise RequestError(f"{self.name} takes images [N, {self.in_channels}, H, W], not {list(x.shape)}")
        if min(x.shape[2:]) < self.minimum_size:
            least, given = self.minimum_size, f"{x.shape[2]} x {x.shape[3]}"
            raise RequestError(f"{self.name} needs images of at least {least} x {least} pixels, not {given}")
        if self.input_size is not None and tuple(x.shape[2:]) != self.input_size:
            made, given = (f"{height} x {width}" for height, width in (self.input_size, x.shape[2:]))
            raise RequestError(f"this {self.name} was made for images of {made} pixels (input_size), not {given}")


class Variant(NamedTuple):
    """A named network of a paper: the class, and what its constructor is given beside classes and channels."""

    net: type[Net]
    options: Mapping[str, object]
