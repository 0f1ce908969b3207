"""Learning Transferable Architectures for Scalable Image Recognition: NASNet-A.

Barret Zoph, Vijay Vasudevan, Jonathon Shlens, Quoc V. Le, 2017. arXiv:1707.07012.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.conv import ConvNormAct
from striate.nets import inception_v3
from striate.nets.base import Variant
from striate.nets.initialise import he_normal_fan_out
from striate.nets.nasnet_cell import Cell, How, Line
from striate.nets.options import check_dropout, check_width, scaled
from striate.nets.supervised import Supervised
from striate.tables import table

# Figure 4: a cell is five lines, each the sum of two operations on earlier states: h, the input, p, the input of the
# cell before, or the sum of a line, by its number. sep is a separable convolution, applied twice; a stride of 2 is that
# of the first.
NORMAL = """
    left      left_of  right     right_of
    sep5x5    h        sep3x3    p
    sep5x5    p        sep3x3    p
    avg3x3    h        identity  p
    avg3x3    p        avg3x3    p
    sep3x3    h        identity  h
"""

REDUCTION = """
    left      left_of  right     right_of
    sep5x5/2  h        sep7x7/2  p
    max3x3/2  h        sep7x7/2  p
    avg3x3/2  h        sep5x5/2  p
    identity  2        avg3x3    1
    sep3x3    1        max3x3/2  h
"""

# What a cell gives, by channels: the lines that no other line takes, in a normal cell p, and in the authors' code also
# line 2 of the reduction, which line 4 takes.
JOINED = {NORMAL: ("p", "1", "2", "3", "4", "5"), REDUCTION: ("2", "3", "4", "5")}

# The networks of Tables 1 and 2, with the settings of the authors' code (tensorflow/models, research/slim/nets/nasnet).
# N normal cells, a reduction, N, a reduction, N; `filters` F of the first cells, doubled by each reduction; before them
# `stem_cells` reductions of F/4 and F/2. `skip`: after a reduction, p is the input of the cell before it, not its own.
NETWORKS = """
    net     image  stem  filters  N  stem_cells  skip  keep_path  dropout  norm_eps
    mobile  224    32    44       4  2           no    1.0        0.5      0.001
    large   331    96    168      6  2           yes   0.7        0.5      0.001
    cifar   32     96    32       6  0           no    0.6        0.0      0.00001
"""


class Network(NamedTuple):
    net: str
    image: int
    stem: int
    filters: int
    N: int
    stem_cells: int
    skip: bool
    keep_path: float
    dropout: float
    norm_eps: float


LINES = {text: table(Line, text) for text in (NORMAL, REDUCTION)}
ROWS = {row.net: row for row in table(Network, NETWORKS)}


class Place(NamedTuple):
    """The arguments of one cell; `back`: p is the output of the `back`-th stage before, 1 for the cell's own input."""

    name: str
    kind: str
    filters: int
    back: int


def places(row: Network) -> Iterator[Place]:
    """The cells of a network, in order."""
    for number in range(1, row.stem_cells + 1):
        filters = row.filters // 2 ** (row.stem_cells + 1 - number)
        yield Place(f"stem_cell{number}", REDUCTION, filters, min(number, 2))
    filters = row.filters
    for part in range(3):
        if part:
            filters *= 2
            yield Place(f"reduce{part}", REDUCTION, filters, 2)
        for number in range(row.N):
            first = not (part or number or row.stem_cells)
            back = 3 if part and not number and row.skip else 2
            yield Place(f"cell{part * row.N + number + 1}", NORMAL, filters, 1 if first else back)


class AuxiliaryHead(inception_v3.AuxiliaryHead):
    """Inception-v3's after a ReLU, with filters over all of the pooled map."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.relu())


class NASNet(Supervised):
    """A convolution, the cells, ReLU, global average pooling, dropout, a linear layer; `auxiliary` adds such a head.

    `network` is a row of the networks' table. `width` multiplies its filters, `cells` replaces its N; `dropout` is the
    dropout rate of the pooled vector and `keep_path` the share of kept paths of the last cell at the end of training
    (see ScheduledDropPath): both are the row's by default. `count_border`: averages of stride 2 count their padding as
    zeros, as in a port. 224x224, 331x331 or 32x32 images in the paper; any size of at least 8 is accepted, with an
    auxiliary head an `input_size` that gives it a map of 5x5. Raises RequestError for a width outside (0, 8], cells
    outside 1 to 20, a dropout outside [0, 1), a keep_path outside (0, 1], or an auxiliary head on smaller images.
    """

    table = f"{NORMAL}{REDUCTION}{NETWORKS}"
    minimum_size = 8
    lines: Mapping[str, Sequence[Line]] = LINES  # of its cells
    joined: Mapping[str, Sequence[str]] = JOINED

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        input_size: tuple[int, int] = (224, 224),
        network: Literal["mobile", "large", "cifar"] = "mobile",
        auxiliary: bool = False,
        width: float = 1.0,
        cells: int | None = None,
        dropout: float | None = None,
        keep_path: float | None = None,
        count_border: bool = False,
    ) -> None:
        row = _row(ROWS[network], width, cells, dropout, keep_path)
        aside = f"cell{2 * row.N}"
        size = _side(input_size[0], row), _side(input_size[1], row)
        if auxiliary and min(size) < 5:
            raise RequestError(
                f"the auxiliary head needs a map of at least 5 x 5, and images of {input_size[0]} x {input_size[1]} "
                f"pixels give {size[0]} x {size[1]}: take larger images, or a network without it"
            )
        super().__init__()
        self.in_channels = in_channels
        norm = partial(nn.BatchNorm2d, eps=row.norm_eps)
        stem = partial(ConvNormAct, in_channels, row.stem, 3, norm=norm, act=None)
        self.stem = stem(stride=2, padding="valid") if row.stem_cells else stem()
        channels = self._add_cells(row, How(norm, count_border))
        self.last = nn.ReLU()
        self.auxiliary_heads = {aside: "auxiliary1"} if auxiliary else {}
        if auxiliary:
            conv = partial(ConvNormAct, norm=norm)
            self.auxiliary1 = AuxiliaryHead(channels[aside], size, classes, width, largest=max(size), conv=conv)
        self.dropout = nn.Dropout(row.dropout)
        self.stages = ("stem", *channels, "last")
        *_, self.feature_channels = channels.values()
        self.embedding_size = self.feature_channels
        self.head = nn.Linear(self.embedding_size, classes)
        he_normal_fan_out(self)

    def _add_cells(self, row: Network, how: How) -> dict[str, int]:
        """Make the cells; returns the channels that each gives, by name."""
        plan = list(places(row))
        outputs = [(row.stem, 0)]  # channels, and how often halved
        for number, place in enumerate(plan, start=1):
            (channels, halved), before = outputs[-1], outputs[-place.back]
            cell = Cell(
                self.lines[place.kind],
                self.joined[place.kind],
                place.filters,
                channels,
                before[0],
                back=place.back,
                larger=before[1] < halved,
                drop=(1 - row.keep_path) * number / len(plan),
                how=how,
            )
            self.add_module(place.name, cell)
            outputs.append((cell.channels, halved + (place.kind == REDUCTION)))
        return {place.name: channels for place, (channels, _) in zip(plan, outputs[1:], strict=True)}

    def _run_stages(self, x: Tensor, visit: Callable[[str, Tensor], None] | None = None) -> Tensor:
        """As in `Net`, but a cell also takes the output of an earlier stage."""
        self.check(x)
        latest: list[Tensor] = []
        for stage in self.stages:
            module = getattr(self, stage)
            x = module(x, latest[-module.back]) if isinstance(module, Cell) else module(x)
            latest = [*latest[-2:], x]
            if visit is not None:
                visit(stage, x)
        return x


def _row(row: Network, width: float, cells: int | None, dropout: float | None, keep_path: float | None) -> Network:
    """The row with these options in place of its own."""
    check_width(width)
    dropout = row.dropout if dropout is None else dropout
    keep_path = row.keep_path if keep_path is None else keep_path
    cells = row.N if cells is None else cells
    check_dropout(dropout)
    if not 0 < keep_path <= 1:
        raise RequestError(f"keep_path must be above 0 and at most 1, not {keep_path}")
    if not 1 <= cells <= 20:
        raise RequestError(f"cells must be from 1 to 20, not {cells}")
    filters = 4 * max(1, round(row.filters * width / 4))
    return row._replace(stem=scaled(row.stem, width), filters=filters, N=cells, dropout=dropout, keep_path=keep_path)


def _side(side: int, row: Network) -> int:
    """The side of the map before the second reduction, for an image of that side."""
    side = (side - 3) // 2 + 1 if row.stem_cells else side
    for _ in range(row.stem_cells + 1):
        side = -(-side // 2)
    return side


VARIANTS = {
    "nasnet_a_mobile": Variant(NASNet, {"network": "mobile"}),
    "nasnet_a_large": Variant(NASNet, {"network": "large"}),
    "nasnet_a_large_aux": Variant(NASNet, {"network": "large", "auxiliary": True}),
    "nasnet_a_cifar": Variant(NASNet, {"network": "cifar"}),
    "nasnet_a_cifar_aux": Variant(NASNet, {"network": "cifar", "auxiliary": True}),
    "nasnet_tiny": Variant(NASNet, {"network": "cifar", "width": 0.125, "cells": 1, "auxiliary": True}),
}

# The paper's 564 M multiply-adds of mobile are met (563.6 M); ports that pad by hand, and cut off again, have 568.2 M.
# Its CIFAR-10 network has 3.3 M parameters, here 3,346,538 without the auxiliary head. Not in the paper, from the
# authors' code: padding, epsilon, dropout, the settings of NETWORKS, the schedule of dropped paths, which grows with
# the cell and the training, and the auxiliary head at the last cell before the second reduction; mobile is trained with
# it, too (auxiliary=True). Deviations: the initial weights of the linear layers are uniform, where that code draws all
# from a truncated normal distribution; the momentum of batch normalisation is torch's 0.9, there it is 0.9997 on
# ImageNet. nasnet_tiny is ours, for tests.
