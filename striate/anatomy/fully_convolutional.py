"""Fully convolutional form of a classifier: a map of logits for an image of any size."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from striate.anatomy.trace import trace_module
from striate.errors import RequestError
from striate.nets.base import Net
from striate.nets.shapes import meta_copy

_MEANS = ("mean", "adaptive_avg_pool2d")
_FLATTENERS = ("flatten", "view", "reshape", "squeeze")
_POINTWISE = ("relu", "relu6", "tanh", "sigmoid", "hardswish", "silu", "gelu", "dropout", "hardtanh", "leaky_relu")
_ASKING = ("size", "getattr", "dim")  # about the shape
_ON_MAPS = (nn.Identity, nn.Dropout, nn.Conv2d, nn.BatchNorm2d)  # work on maps as they are


class FullyConvolutional(nn.Module):
    """Images [N, in_channels, H, W] -> logits [N, classes, h, w]; made by `fully_convolutional`.

    `window`: the input window of one position, height and width. `stride`: between neighbouring windows, in pixels.
    """

    def __init__(self, body: nn.Module, head: nn.Module, window: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.body, self.head = body, head
        self.window, self.stride = window, stride

    def forward(self, x: Tensor) -> Tensor:
        """Raises RequestError for images smaller than `window`."""
        if not isinstance(x, fx.Proxy) and any(a < b for a, b in zip(x.shape[-2:], self.window, strict=True)):
            least, given = (f"{height} x {width}" for height, width in (self.window, x.shape[-2:]))
            raise RequestError(f"images of at least {least} pixels are needed, not {given}")
        logits: Tensor = self.head(self.body(x))
        return logits


class PerPlace(nn.Module):
    """A layer on vectors, applied at every position of a map: [N, C, h, w] -> [N, D, h, w]."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        count, _, height, width = x.shape
        rows: Tensor = self.layer(x.permute(0, 2, 3, 1).flatten(0, 2))
        return rows.view(count, height, width, -1).permute(0, 3, 1, 2)


class Pointwise(nn.Module):
    """A function of torch that works element by element, as a layer."""

    def __init__(self, function: Callable[..., Tensor], rest: Sequence[Any], named: dict[str, Any]) -> None:
        super().__init__()
        self.function, self.rest, self.named = function, tuple(rest), named

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.rest, **self.named)


def fully_convolutional(net: Net, input_size: Sequence[int] | None = None) -> FullyConvolutional:
    """The same classifier without a fixed image size: its head becomes convolutions, with copies of its weights.

    A linear layer on a flattened map becomes a convolution as large as that map, a mean over the map a mean over a
    window of that size, every later linear layer a 1x1 convolution. At `input_size` (height, width; left out: the one
    the net was made for) the logits are the net's own, as a map of one position. A larger image gives a map: the
    one at (i, j) is the net's for the crop of `window` that starts at pixel (i, j) times `stride`, exactly so for a net
    without padding (LeNet); with padding, the crop's border would see zeros where here it sees the image.
    Raises RequestError for a net whose head does something else. Source: LeCun et al. 1998, section VII (space
    displacement networks); Lin, Chen, Yan 2013, arXiv:1312.4400, section 3.2 (the mean over the last map).
    """
    size = input_size or net.options.get("input_size") or net.__dict__.get("input_size")
    if size is None:
        raise RequestError(f"{net.name} was made without 'create': give the input_size (height, width) it is for")
    height, width = (int(side) for side in cast(Sequence[int], size))
    own = copy.deepcopy(net)
    if not own.stages:
        raise RequestError(f"{net.name} lists no stages, so its last map is not known")
    chain = type(own)._run_stages is Net._run_stages
    body = nn.Sequential(*(own.get_submodule(stage) for stage in own.stages)) if chain else _LastMap(own)
    at_last = trace_module(body, (net.in_channels, height, width)).steps[-1]
    if at_last.field is None:
        raise RequestError(f"{net.name} has no last map to apply the head to, position by position")
    head = _Head(net.name, at_last.output)
    for node in _after(own):
        head.add(node, own)
    return FullyConvolutional(body, nn.Sequential(*head.layers), (height, width), at_last.field.jump)


class _LastMap(nn.Module):
    """The stages of a network up to its last map, where a stage takes more than the map before it."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        for name, _ in list(net.named_children()):
            if name not in net.stages:
                delattr(self.net, name)

    def forward(self, x: Tensor) -> Tensor:
        return self.net.features(x)


class _Tracer(fx.Tracer):
    """Stages and layers are leaves of the traced graph, everything else is traced."""

    def __init__(self, stages: Sequence[str]) -> None:
        super().__init__()
        self.stages = stages

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.stages or isinstance(m, nn.Linear) or not any(True for _ in m.children())


def _after(net: Net) -> Iterator[fx.Node]:
    """What `forward` does with the last map, in order."""
    graph = _Tracer(net.stages).trace(net)
    node = next(node for node in graph.nodes if node.target == net.stages[-1])
    while True:
        users = [user for user in node.users if _name(user) not in _ASKING]
        if len(users) != 1:
            raise RequestError(f"the head of {net.name} branches, and cannot be made of convolutions")
        (node,) = users
        if node.op == "output":
            return
        yield node


def _name(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))


class _Head:
    """The layers so far, and what has become of the map [1, C, h, w] that one position sees."""

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        self.name = name
        self.layers: list[nn.Module] = []
        self.map = torch.empty(*shape, device="meta")
        self.flat = False  # Flattened: the next linear layer sees all positions.

    def add(self, node: fx.Node, net: Net) -> None:
        """Translate one more operation of the head."""
        name = _name(node)
        if node.op == "call_module":
            self._layer(net.get_submodule(name))
        elif name in _MEANS:
            self._mean()
        elif name in _FLATTENERS:
            self._flatten()
        elif name in _POINTWISE or node.target in (operator.mul, operator.add):
            self._pointwise(node, name)
        else:
            self._refuse(name)

    def _layer(self, layer: nn.Module) -> None:
        one_place = self.map.shape[-2:] == (1, 1)
        if isinstance(layer, nn.Linear):
            self._linear(layer)
        elif isinstance(layer, nn.Flatten):
            self._flatten()
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            self._pool(layer)
        elif isinstance(layer, _ON_MAPS) or type(layer).__module__.endswith(".activation"):
            self._append(layer)
        elif one_place:
            self._append(PerPlace(layer))
        else:
            self._refuse(type(layer).__name__)

    def _linear(self, layer: nn.Linear) -> None:
        if not self.flat and self.map.shape[-2:] != (1, 1):
            self._refuse("linear layer along an axis of the map")
        window = cast("tuple[int, int]", tuple(self.map.shape[-2:]))
        channels = layer.in_features // math.prod(window)
        convolution = nn.Conv2d(channels, layer.out_features, window, bias=layer.bias is not None)
        convolution.weight = nn.Parameter(layer.weight.detach().clone().view(-1, channels, *window))
        if layer.bias is not None:
            convolution.bias = nn.Parameter(layer.bias.detach().clone())
        self.flat = False
        self._append(convolution.train(layer.training))

    def _pool(self, layer: nn.AdaptiveAvgPool2d) -> None:
        wanted: Any = layer.output_size
        places = (wanted, wanted) if isinstance(wanted, int) else tuple(wanted)
        if places == (1, 1):
            self._mean()
        elif places != tuple(self.map.shape[-2:]):
            self._refuse(f"adaptive pooling to {places[0]} x {places[1]}")

    def _mean(self) -> None:
        """A window of the last map's size, at every place where it fits."""
        self._append(nn.AvgPool2d(cast("tuple[int, int]", tuple(self.map.shape[-2:])), stride=1))

    def _flatten(self) -> None:
        self.flat = self.map.shape[-2:] != (1, 1)

    def _pointwise(self, node: fx.Node, name: str) -> None:
        rest = node.args[1:]
        if any(isinstance(each, fx.Node) for each in (*rest, *node.kwargs.values())):
            self._refuse(name)
        function = getattr(torch.Tensor, name) if node.op == "call_method" else node.target
        self._append(Pointwise(cast("Callable[..., Tensor]", function), rest, dict(node.kwargs)))

    def _append(self, layer: nn.Module) -> None:
        self.layers.append(layer)
        self.map = meta_copy(layer).eval()(self.map)

    def _refuse(self, what: str) -> None:
        raise RequestError(f"the head of {self.name} cannot be made of convolutions: {what}")
