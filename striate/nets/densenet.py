"""Densely Connected Convolutional Networks.

Gao Huang, Zhuang Liu, Laurens van der Maaten, Kilian Q. Weinberger, CVPR 2017. arXiv:1608.06993.
Memory-efficient DenseNets: Pleiss, Chen, Huang, Li, van der Maaten, Weinberger 2017, arXiv:1707.06990.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.checkpointing import checkpointed
from striate.nets.base import Net, Variant
from striate.nets.cells import DepthName
from striate.nets.initialise import he_normal
from striate.tables import table

# Table 1, transposed: the layers of the four dense blocks, each of a 1x1 and a 3x3 convolution, on maps of 56,
# 28, 14 and 7. Before them a 7x7 convolution of 2k filters and a 3x3 max pooling, each with stride 2; between them
# transitions, a 1x1 convolution that halves the maps' number and a 2x2 average pooling that halves their size.
TABLE = """
    network      growth_rate  block1  block2  block3  block4
    densenet121  32           6       12      24      16
    densenet169  32           6       12      32      32
    densenet201  32           6       12      48      32
    densenet264  32           6       12      64      48
    densenet161  48           6       12      36      24
"""

# Table 2, the networks for CIFAR: `depth` layers in all, three dense blocks of equally many on maps of 32, 16 and 8.
# B: a 1x1 convolution to 4k maps comes before each 3x3 one. C: transitions halve the number of maps.
CIFAR_TABLE = """
    network             B    C    depth  growth_rate  parameters
    densenet40_k12      no   no   40     12           1.0M
    densenet100_k12     no   no   100    12           7.0M
    densenet100_k24     no   no   100    24           27.2M
    densenet_bc100_k12  yes  yes  100    12           0.8M
    densenet_bc250_k24  yes  yes  250    24           15.3M
    densenet_bc190_k40  yes  yes  190    40           25.6M
"""


class Row(NamedTuple):
    network: DepthName
    growth_rate: int
    block1: int
    block2: int
    block3: int
    block4: int


class CifarRow(NamedTuple):
    network: str
    B: bool
    C: bool
    depth: int
    growth_rate: int
    parameters: str


ROWS = table(Row, TABLE)
CIFAR_ROWS = table(CifarRow, CIFAR_TABLE)
_BLOCKS = {row.network.depth: row for row in ROWS}


class Stage(NamedTuple):
    """A dense block: `layers` layers of `growth_rate` maps each; a transition to `transition` maps, if not 0."""

    in_channels: int
    layers: int
    growth_rate: int
    transition: int


def stages(in_channels: int, layers: tuple[int, ...], growth_rate: int, compression: float) -> Iterator[Stage]:
    """The dense blocks of a network, with `layers` layers each; the last has no transition after it."""
    for number, count in enumerate(layers, start=1):
        channels = in_channels + count * growth_rate
        transition = int(channels * compression) if number < len(layers) else 0
        yield Stage(in_channels, count, growth_rate, transition)
        in_channels = transition


class NormActConv(nn.Sequential):
    """Concatenation, batch norm, ReLU, convolution, dropout: the paper's composite function H (section 3)."""

    def __init__(self, in_channels: int, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.act = nn.ReLU()
        self.conv = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, bias=False)
        if dropout:
            self.dropout = nn.Dropout(dropout)

    def forward(self, *maps: Tensor) -> Tensor:
        x = torch.cat(maps, 1) if len(maps) > 1 else maps[0]
        for layer in self:
            x = layer(x)
        return x


class LayerOptions(NamedTuple):
    """The options of every layer of a network: bottleneck, dropout, memory-efficient."""

    bottleneck: bool
    dropout: float
    memory_efficient: bool


class DenseLayer(nn.Module):
    """All maps before it [N, c_i, H, W] -> `growth_rate` new ones; a bottleneck has 4 growth_rate maps in between."""

    def __init__(self, in_channels: int, growth_rate: int, options: LayerOptions) -> None:
        super().__init__()
        wide = 4 * growth_rate
        first, kernel = (wide, 1) if options.bottleneck else (growth_rate, 3)
        self.conv1 = NormActConv(in_channels, first, kernel, options.dropout)
        self.conv2 = NormActConv(wide, growth_rate, 3, options.dropout) if options.bottleneck else nn.Identity()
        self.memory_efficient = options.memory_efficient

    def forward(self, *maps: Tensor) -> Tensor:
        first = checkpointed(self.conv1, *maps) if self.memory_efficient else self.conv1(*maps)
        new: Tensor = self.conv2(first)
        return new


class DenseBlock(nn.Sequential):
    """Each layer's input is the block's input and the maps of all layers before it; the output is all of them."""

    def __init__(self, stage: Stage, options: LayerOptions) -> None:
        growth = range(stage.in_channels, stage.in_channels + stage.layers * stage.growth_rate, stage.growth_rate)
        super().__init__(*(DenseLayer(channels, stage.growth_rate, options) for channels in growth))

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self:
            maps.append(layer(*maps))
        return torch.cat(maps, 1)


class _DenseNet(Net):
    """The base of both networks: a stem, dense blocks with transitions between them, a linear layer."""

    def __init__(
        self, classes: int, in_channels: int, stem: nn.Module, rows: list[Stage], options: LayerOptions
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stem = stem
        names = ["stem"]
        for number, stage in enumerate(rows, start=1):
            channels = stage.in_channels + stage.layers * stage.growth_rate
            self.add_module(f"block{number}", DenseBlock(stage, options))
            names.append(f"block{number}")
            if stage.transition:
                narrow = NormActConv(channels, stage.transition, 1, options.dropout)
                self.add_module(f"transition{number}", nn.Sequential(narrow, nn.AvgPool2d(2)))
                names.append(f"transition{number}")
        self.last = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.stages = (*names, "last")
        self.feature_channels = self.embedding_size = channels
        self.head = nn.Linear(channels, classes)
        he_normal(self)


class DenseNet(_DenseNet):
    """The network of Table 1; `depth` is one of its networks'.

    `dropout` is the dropout rate after every convolution but the first, zero in the paper's ImageNet networks.
    `memory_efficient` uses gradient checkpointing for each layer's concatenation, batch norm and ReLU: the same
    results in 10 to 40 % more time, with memory that grows linearly with the depth and not with its square.
    224x224 images in the paper; any size of at least 32 is accepted. Raises RequestError for a dropout outside [0, 1).
    """

    table = TABLE
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        depth: Literal[121, 161, 169, 201, 264] = 121,
        dropout: float = 0.0,
        memory_efficient: bool = False,
    ) -> None:
        _check_dropout(dropout)
        row = _BLOCKS[depth]
        first = 2 * row.growth_rate
        stem = nn.Sequential(
            nn.Conv2d(in_channels, first, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
        )
        rows = list(stages(first, (row.block1, row.block2, row.block3, row.block4), row.growth_rate, 0.5))
        super().__init__(classes, in_channels, stem, rows, LayerOptions(True, dropout, memory_efficient))


class CifarDenseNet(_DenseNet):
    """The networks of Table 2: a 3x3 convolution, three dense blocks of equally many layers, a linear layer.

    `depth` is 3n + 4 or, with `bottleneck` (B), 6n + 4. `compression` is the factor of the number of maps in a
    transition (C: 0.5). The first convolution has 16 filters, with B and C two growth rates; `filters` are others.
    `dropout` (0.2 in the paper where data are not augmented) and `memory_efficient` are as in DenseNet. 32x32 images in
    the paper; any size of at least 8 is accepted. Raises RequestError for another depth, or a value out of its range.
    """

    table = CIFAR_TABLE
    minimum_size = 8

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        depth: int = 40,
        growth_rate: int = 12,
        bottleneck: bool = False,
        compression: float = 1.0,
        filters: int | None = None,
        dropout: float = 0.0,
        memory_efficient: bool = False,
    ) -> None:
        layers = 6 if bottleneck else 3
        if not layers + 4 <= depth <= 1000 or depth % layers != 4 % layers:
            raise RequestError(f"depth must be {layers}n + 4, from {layers + 4} to 1000 (40, 100, ...), not {depth}")
        if not 1 <= growth_rate <= 256:
            raise RequestError(f"growth_rate must be in 1 to 256, not {growth_rate}")
        if not 0.1 <= compression <= 1:
            raise RequestError(f"compression must be in 0.1 to 1, not {compression}")
        if filters is not None and not 1 <= filters <= 1024:
            raise RequestError(f"filters must be in 1 to 1024, not {filters}")
        _check_dropout(dropout)
        first = filters or (2 * growth_rate if bottleneck and compression < 1 else 16)
        stem = nn.Conv2d(in_channels, first, 3, padding=1, bias=False)
        rows = list(stages(first, ((depth - 4) // layers,) * 3, growth_rate, compression))
        super().__init__(classes, in_channels, stem, rows, LayerOptions(bottleneck, dropout, memory_efficient))


def _check_dropout(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise RequestError(f"dropout must be at least 0 and below 1, not {dropout}")


def _cifar(depth: int, growth_rate: int, bottleneck: bool, compressed: bool) -> Variant:
    options = {"depth": depth, "growth_rate": growth_rate, "bottleneck": bottleneck}
    return Variant(CifarDenseNet, {**options, "compression": 0.5 if compressed else 1.0})


VARIANTS = {
    **{row.network.name: Variant(DenseNet, {"depth": depth}) for depth, row in _BLOCKS.items()},
    **{row.network: _cifar(row.depth, row.growth_rate, row.B, row.C) for row in CIFAR_ROWS},
    "densenet_bc40_k36": _cifar(40, 36, True, True),
    "densenet_bc40_k48": _cifar(40, 48, True, True),
    "densenet_bc40_k60": _cifar(40, 60, True, True),
    "densenet_tiny": _cifar(16, 6, True, True),
}

# densenet161 is the authors' (liuzhuang13/DenseNet), not in Table 1 of the last version, and so are the wide
# densenet_bc40; densenet_tiny is ours, for tests. The authors' Torch code starts every CIFAR network with 2k filters;
# the paper's text, and its parameters, need 16 for those that are not BC. Initialisation is He et al. 2015's, as in
# section 4.2. Deviations: none.
