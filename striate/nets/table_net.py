"""Networks without code: the rows of a net file, which `--net FILE.toml` takes.

The form is Striate's own; docs/net-files.md describes it. The networks below are its examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.channel_shuffle import ChannelShuffle
from striate.layers.lrn import LRN
from striate.layers.shortcut import ZeroPadShortcut
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.netfile import Row, Shape, Word, parse, plan
from striate.netfile.shapes import after
from striate.nets.base import Net, Variant, under_tracer
from striate.nets.initialise import he_normal

# A stack of 3 x 3 convolutions, as VGG's.
VGG_MINI = """
name = "vgg_mini"
input = [3, 64, 64]
table = '''
conv3-64 bn relu x2
maxpool2/2
conv3-128 bn relu x2
maxpool2/2
globalavgpool
fc-classes
'''
"""

TINY = """
name = "table_net_tiny"
input = [3, 32, 32]
parameters = { width = 4 }
table = '''
conv3-{width} bn relu
basic({width})
basic({2 * width}, 2)
globalavgpool
fc-classes
'''

[block.basic]
parameters = { out = 0, stride = 1 }
table = '''
conv3-{out}/{stride} bn relu
conv3-{out} bn
add in via conv1-{out}/{stride} bn
relu
'''
"""

_ACTIVATIONS: Mapping[str, Callable[[float], nn.Module]] = {
    "leaky": nn.LeakyReLU,
    "relu": lambda _: nn.ReLU(),
    "relu6": lambda _: nn.ReLU6(),
    "elu": lambda _: nn.ELU(),
    "selu": lambda _: nn.SELU(),
    "prelu": lambda _: nn.PReLU(),
    "tanh": lambda _: nn.Tanh(),
    "sigmoid": lambda _: nn.Sigmoid(),
    "swish": lambda _: nn.SiLU(),
    "hardswish": lambda _: nn.Hardswish(),
    "gelu": lambda _: nn.GELU(),
}


class Layers(nn.Sequential):
    """The layers of a row, named by their words: `conv`, `bn`, `relu`."""


class Wired(nn.Module):
    """Rows that take the row above, or an edge by its name; input and output [N, C, H, W]."""

    def __init__(self, rows: tuple[Row, ...], classes: int) -> None:
        super().__init__()
        self.rows, self.names = rows, _names(rows)
        for name, row in zip(self.names, rows, strict=True):
            self.add_module(name, _module(row, classes))

    def forward(self, x: Tensor) -> Tensor:
        return run(self, self.rows, self.names, x)


class Add(nn.Module):
    """The sum of two maps; the second through `via` first. Input two maps [N, C, H, W]."""

    def __init__(self, via: nn.Module | None) -> None:
        super().__init__()
        self.via = via

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        return x + (other if self.via is None else self.via(other))


class Concat(nn.Module):
    """Maps [N, C, H, W] one after the other, by their channels."""

    def forward(self, *maps: Tensor) -> Tensor:
        return torch.cat(maps, 1)


def run(
    module: nn.Module,
    rows: tuple[Row, ...],
    names: tuple[str, ...],
    x: Tensor,
    visit: Callable[[str, Tensor], None] | None = None,
) -> Tensor:
    """Run rows, the children `names` of a module, on a map; `visit` is called with each row's name and map."""
    edges = {"in": x}
    for name, row in zip(names, rows, strict=True):
        layer = module.get_submodule(name)
        taken = x if row.source is None else edges[row.source]
        if row.concat:
            x = layer(*[edges[edge] for edge in row.concat])
        else:
            x = layer(taken) if row.add is None else layer(taken, edges[row.add])
        if row.saved is not None:
            edges[row.saved] = x
        if visit is not None:
            visit(name, x)
    return x


class TableNet(Net):
    """The rows of a net file, its `text`: maps down to the pooling, then vectors; the last linear layer is `head`.

    Each row of the table is a stage. Where a linear layer takes a whole map, images are of one size, `input_size`;
    else of any size for which all rows fit. Convolutions start as in He et al. 2015. `parameters` are values in place
    of the file's own. Raises RequestError for a text that is no net file, with the wrong row.
    """

    table = VGG_MINI
    minimum_size = 1

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        input_size: tuple[int, int] = (64, 64),
        text: str = VGG_MINI,
        parameters: Mapping[str, int] | None = None,
    ) -> None:
        self._planned = partial(plan, parse(text), classes=classes, parameters=parameters or {})
        planned = self._planned(shape=(in_channels, *input_size))
        super().__init__()
        maps, vectors = planned.rows[: planned.maps], planned.rows[planned.maps :]
        if not maps:
            raise RequestError("the table has no row of maps above its first fc or pooling of the whole map")
        self.table, self.in_channels = text, in_channels
        self.rows, self.stages = maps, _names(maps)
        for name, row in zip(self.stages, maps, strict=True):
            self.add_module(name, _module(row, classes))
        self.feature_channels = maps[-1].shape[0]
        layers = [layer for row in vectors for layer in _layers(row.layers, row.before, classes)]
        self.head = layers.pop() if isinstance(layers[-1], nn.Linear) else nn.Identity()
        self.neck = nn.Sequential(*layers)
        self.embedding_size = self.head.in_features if isinstance(self.head, nn.Linear) else classes
        if vectors[0].layers[0].kind == "flatten":
            self.input_size = input_size
        self._sizes = {input_size}
        self.minimum_size = self._smallest(min(input_size))
        he_normal(self)

    @classmethod
    def declared(cls, options: Mapping[str, object]) -> Mapping[str, type]:
        """The file's own parameters, which are options of the network."""
        text = options.get("text", cls.table)
        return dict.fromkeys(parse(text).parameters, int) if isinstance(text, str) else {}

    def pooled(self, features: Tensor) -> Tensor:
        """The last map -> vectors [N, embedding_size]: all rows but the last linear layer."""
        vectors: Tensor = self.neck(features)
        return vectors

    def check(self, x: Tensor) -> None:
        """Raise RequestError unless `x` is a batch of images that this network accepts; with the row that is wrong."""
        super().check(x)
        if not under_tracer(x) and tuple(x.shape[2:]) not in self._sizes:
            self._planned(shape=(self.in_channels, x.shape[2], x.shape[3]))
            self._sizes.add((x.shape[2], x.shape[3]))

    def _run_stages(self, x: Tensor, visit: Callable[[str, Tensor], None] | None = None) -> Tensor:
        self.check(x)
        return run(self, self.rows, self.stages, x, visit)

    def _smallest(self, side: int) -> int:
        """The smallest side of a square image that all rows take, found by halving."""
        least, most = 0, side
        while most - least > 1:
            middle = (least + most) // 2
            try:
                self._planned(shape=(self.in_channels, middle, middle))
                most = middle
            except RequestError:
                least = middle
        return most


def _names(rows: tuple[Row, ...]) -> tuple[str, ...]:
    """The rows' names, numbered by what they are: `conv1`, `conv2`, `basic1`."""
    numbers: dict[str, count[int]] = {}
    return tuple(f"{row.label}{next(numbers.setdefault(row.label, count(1)))}" for row in rows)


def _module(row: Row, classes: int) -> nn.Module:
    if row.block is not None:
        return Wired(row.block.rows, classes)
    if row.concat:
        return Concat()
    if row.add is not None:
        return Add(_layers(row.via, row.other, classes) if row.via else None)
    return _layers(row.layers, row.before, classes)


def _layers(words: tuple[Word, ...], shape: Shape, classes: int) -> nn.Sequential:
    made, kinds = Layers(), [word.kind for word in words]
    for place, word in enumerate(words):
        several = kinds.count(word.kind) > 1
        name = f"{word.kind}{kinds[: place + 1].count(word.kind)}" if several else word.kind
        made.add_module(name, _layer(word, shape, classes))
        shape = after(word, shape, classes)
    return made


def _layer(word: Word, shape: Shape, classes: int) -> nn.Module:
    if word.kind in _ACTIVATIONS:
        return _ACTIVATIONS[word.kind](word.value)
    outputs = classes if word.outputs is None else word.outputs
    if word.kind in ("conv", "dwconv"):
        groups, outputs = (word.groups, outputs) if word.kind == "conv" else (shape[0], shape[0])
        return nn.Conv2d(
            shape[0], outputs, word.kernel, word.stride, word.around, word.dilation, groups=groups, bias=word.bias
        )
    if word.kind in ("maxpool", "avgpool"):
        pool = nn.MaxPool2d if word.kind == "maxpool" else nn.AvgPool2d
        return pool(word.kernel, word.stride, word.around, ceil_mode=word.ceil)
    if word.kind == "fc":
        return nn.Linear(shape[0], outputs, bias=word.bias)
    if word.kind == "bn":
        return nn.BatchNorm1d(shape[0]) if len(shape) == 1 else nn.BatchNorm2d(shape[0])
    return _SIMPLE[word.kind](word, shape[0])


_SIMPLE: Mapping[str, Callable[[Word, int], nn.Module]] = {
    "globalavgpool": lambda _, __: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "globalmaxpool": lambda _, __: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()),
    "flatten": lambda _, __: nn.Flatten(),
    "pad": lambda word, channels: ZeroPadShortcut(channels, word.outputs or channels, word.stride),
    "gn": lambda word, channels: nn.GroupNorm(int(word.value), channels),
    "lrn": lambda _, __: LRN(),
    "caffelrn": lambda _, __: LRN(alpha=1e-4 / 5, k=1),
    "se": lambda word, channels: SqueezeExcitation(channels, int(word.value)),
    "shuffle": lambda word, _: ChannelShuffle(int(word.value)),
    "dropout": lambda word, _: nn.Dropout(word.value),
    "spatialdropout": lambda word, _: nn.Dropout2d(word.value),
}

VARIANTS = {
    "table_net": Variant(TableNet, {"text": VGG_MINI}),
    "table_net_tiny": Variant(TableNet, {"text": TINY}),
}

# Deviations: none; there is no paper. Each net file is its own table.
