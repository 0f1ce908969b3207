"""The interface that every network of the catalogue has, and that of an image classifier."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, fx, nn

from striate.errors import RequestError


class Network(nn.Module):
    """What networks of every kind have: the paper's table, a name and options, and the images that they accept.

    `kind` is one of `striate.nets.catalog.KINDS`; `Net` is the class of a classifier, those of the other kinds are in
    `striate.nets.kinds`. `stages` are the names of the modules that are run, in order. A network whose fully connected
    layers are as large as its last map takes images of one size: its `input_size`, an argument of the constructor. All
    others take any size of at least `minimum_size`; their `input_size` is None.

    `create` (in `striate.nets.build`) sets `name` and `options`, from which the same network can be created again.
    """

    kind: ClassVar[str]
    table: str  # The paper's table, as printed at the top of the file; of a searched network, its own.
    minimum_size: int  # The smallest height and width of an image.
    input_size: tuple[int, int] | None = None  # The only height and width; None: any.

    stages: tuple[str, ...]
    in_channels: int
    name: str
    options: dict[str, object]

    def __init__(self) -> None:
        super().__init__()
        self.name = type(self).__name__
        self.options = {}

    @classmethod
    def declared(cls, options: Mapping[str, object]) -> Mapping[str, type]:
        """Options with their types that other options bring, passed to the constructor together as `parameters`."""
        return {}

    def example(self, count: int, size: Sequence[int]) -> Tensor:
        """A batch of `count` images of `size` (height, width), without values: on the meta device."""
        number = next((parameter.dtype for parameter in self.parameters()), torch.float32)
        return torch.empty(count, self.in_channels, *size, dtype=number, device="meta")

    def check(self, x: Tensor) -> None:
        """Raise RequestError unless `x` is a batch of images that this network accepts."""
        if under_tracer(x):
            return
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise RequestError(f"{self.name} takes images [N, {self.in_channels}, H, W], not {list(x.shape)}")
        if min(x.shape[2:]) < self.minimum_size:
            least, given = self.minimum_size, f"{x.shape[2]} x {x.shape[3]}"
            raise RequestError(f"{self.name} needs images of at least {least} x {least} pixels, not {given}")
        if self.input_size is not None and tuple(x.shape[2:]) != self.input_size:
            made, given = (f"{height} x {width}" for height, width in (self.input_size, x.shape[2:]))
            raise RequestError(f"this {self.name} was made for images of {made} pixels (input_size), not {given}")


def under_tracer(x: Tensor) -> bool:
    """Whether a graph is being recorded: shapes have no value then, and the example input was checked before."""
    return torch._C._get_tracing_state() is not None or torch.compiler.is_compiling() or isinstance(x, fx.Proxy)


class Net(Network):
    """An image classifier: `forward(x)` is `head(embed(x))`, and `embed(x)` is `pooled(features(x))`.

    maps      [N, in_channels, H, W] -> {stage: [N, c, h, w]}, the feature map of each module of `stages`, in order
    features  -> [N, feature_channels, h, w], the last of them
    embed     -> [N, embedding_size], one vector per image; dropout, in training only, is applied here
    head      -> [N, classes], the logits; replace it to train on other classes

    `auxiliary_heads` names, by stage, the heads on the maps of earlier stages, whose losses add a gradient there. They
    are run by `forward_aux` alone.
    """

    kind = "classifier"
    head: nn.Module
    feature_channels: int
    embedding_size: int
    auxiliary_heads: Mapping[str, str] = MappingProxyType({})

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, classes]. Raises RequestError for images of a wrong size."""
        logits: Tensor = self.head(self.embed(x))
        return logits

    def embed(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> vectors [N, embedding_size], with dropout in training."""
        return self.pooled(self.features(x))

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map [N, feature_channels, h, w] -> vectors [N, embedding_size]: its mean over the pixels."""
        return features.mean((2, 3))

    def forward_aux(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Images [N, in_channels, H, W] -> logits [N, classes], and those of each auxiliary head, the lowest first.

        The loss adds the auxiliary heads' losses, each times a weight (0.3 in GoogLeNet); without heads the list is
        empty. Raises RequestError for images that are too small, for the network or for a head.
        Source: Szegedy et al. 2014, arXiv:1409.4842, section 5.
        """
        if not self.auxiliary_heads:
            return self(x), []
        auxiliary: list[Tensor] = []

        def run_head(stage: str, maps: Tensor) -> None:
            if stage in self.auxiliary_heads:
                auxiliary.append(getattr(self, self.auxiliary_heads[stage])(maps))

        last = self._run_stages(x, run_head)
        return self.head(self.pooled(last)), auxiliary

    def features(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> the last feature map [N, feature_channels, h, w]."""
        return self._run_stages(x)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Images [N, in_channels, H, W] -> the feature map [N, c, h, w] of each stage by its name, in order."""
        maps: dict[str, Tensor] = {}
        self._run_stages(x, maps.__setitem__)
        return maps

    def _run_stages(self, x: Tensor, visit: Callable[[str, Tensor], None] | None = None) -> Tensor:
        """The last map; `visit` is called with each stage's name and map as soon as it is computed."""
        self.check(x)
        for stage in self.stages:
            x = getattr(self, stage)(x)
            if visit is not None:
                visit(stage, x)
        return x


class DropoutNet(Net):
    """A classifier with dropout of the pooled vector, the module `dropout`."""

    dropout: nn.Module

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> vectors [N, embedding_size]: its mean over the pixels, with dropout in training."""
        vector: Tensor = self.dropout(super().pooled(features))
        return vector


class Variant(NamedTuple):
    """A named network of a paper.

    net         the class
    options     keyword arguments of its constructor, besides classes, channels and size, and of `then`
    then        a function that changes the network in place afterwards; its keyword-only arguments are options too
    then_table  the table of `then`'s paper, printed below that of the class
    """

    net: type[Network]
    options: Mapping[str, object]
    then: Callable[..., None] | None = None
    then_table: str = ""

    @property
    def table(self) -> str:
        """The tables from which the network is made, as printed in the papers."""
        return f"{self.net.table}{self.then_table}"

    def call(self, options: Mapping[str, object]) -> str:
        """The network with these options as a call: `squeeze_excite(ResNet(depth=50))`."""
        own = {name: value for name, value in options.items() if name not in self.then_options}
        made = f"{self.net.__name__}({_arguments(own)})"
        if self.then is None:
            return made
        more = _arguments({name: value for name, value in options.items() if name in self.then_options})
        return f"{self.then.__name__}({made}{', ' if more else ''}{more})"

    @property
    def then_options(self) -> tuple[str, ...]:
        """The names of the options that go to `then`."""
        if self.then is None:
            return ()
        parameters = inspect.signature(self.then).parameters.values()
        return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def _arguments(options: Mapping[str, object]) -> str:
    """As in a call; a table of several lines is left out, because it is shown by itself."""
    texts = {name: "..." if "\n" in str(value) else repr(value) for name, value in options.items()}
    return ", ".join(f"{name}={text}" for name, text in texts.items())
