"""Rethinking the Inception Architecture for Computer Vision: Inception-v2 and Inception-v3.

Christian Szegedy, Vincent Vanhoucke, Sergey Ioffe, Jonathon Shlens, Zbigniew Wojna, 2015. arXiv:1512.00567.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn

from striate.errors import RequestError
from striate.nets.base import Variant
from striate.nets.cells import MapSize, Patch
from striate.nets.inception_modules import MODULES, Conv, Widths
from striate.nets.initialise import he_normal
from striate.nets.options import check_dropout, check_width, scaled
from striate.nets.supervised import Supervised
from striate.tables import table

# Table 1, a row for each module, with the widths from the paper's supplement. A module has four paths: 1x1;
# `short`, with one n x n convolution or what it is factorised into; `long`, with two; pooling. `r`: the 1x1 reduction
# before. The input of a row is the output of the previous one.
TABLE = """
    stage    type      patch  input        #1x1  short_r  short  long_r  long  pool
    conv1a   conv      3x3/2  299x299x3    -     -        32     -       -     -
    conv2a   conv      3x3/1  149x149x32   -     -        32     -       -     -
    conv2b   padded    3x3/1  147x147x32   -     -        64     -       -     -
    pool1    pool      3x3/2  147x147x64   -     -        -      -       -     -
    conv3b   conv      1x1/1  73x73x64     -     -        80     -       -     -
    conv4a   conv      3x3/1  73x73x80     -     -        192    -       -     -
    pool2    pool      3x3/2  71x71x192    -     -        -      -       -     -
    mixed5b  figure5   5x5/1  35x35x192    64    48       64     64      96    32
    mixed5c  figure5   5x5/1  35x35x256    64    48       64     64      96    64
    mixed5d  figure5   5x5/1  35x35x288    64    48       64     64      96    64
    mixed6a  figure10  3x3/2  35x35x288    -     -        384    64      96    -
    mixed6b  figure6   7x7/1  17x17x768    192   128      192    128     192   192
    mixed6c  figure6   7x7/1  17x17x768    192   160      192    160     192   192
    mixed6d  figure6   7x7/1  17x17x768    192   160      192    160     192   192
    mixed6e  figure6   7x7/1  17x17x768    192   192      192    192     192   192
    mixed7a  figure10  7x7/2  17x17x768    -     192      320    192     192   -
    mixed7b  figure7   3x3/1  8x8x1280     320   384      384    448     384   192
    mixed7c  figure7   3x3/1  8x8x2048     320   384      384    448     384   192
    pool3    average   8x8/1  8x8x2048     -     -        -      -       -     -
    linear   logits    -      1x1x2048     -     -        -      -       -     -
"""

AUXILIARY = {"mixed6e": "auxiliary1"}  # Figure 8: on the last 17x17 map.

# Inception-v2: Table 1 as printed, without the supplement. Types, patches and sizes are the paper's. The widths inside
# the modules, from #1x1 on, are our choice: those of Inception-v3, with a fifth module at 17x17 and reductions that end
# in the printed 768 and 1280 channels.
V2_TABLE = """
    stage    type      patch  input        #1x1  short_r  short  long_r  long  pool
    conv1    conv      3x3/2  299x299x3    -     -        32     -       -     -
    conv2    conv      3x3/1  149x149x32   -     -        32     -       -     -
    conv3    padded    3x3/1  147x147x32   -     -        64     -       -     -
    pool1    pool      3x3/2  147x147x64   -     -        -      -       -     -
    conv4    conv      3x3/1  73x73x64     -     -        80     -       -     -
    conv5    conv      3x3/2  71x71x80     -     -        192    -       -     -
    conv6    padded    3x3/1  35x35x192    -     -        288    -       -     -
    a1       figure5   3x3/1  35x35x288    64    48       64     64      96    64
    a2       figure5   3x3/1  35x35x288    64    48       64     64      96    64
    a3       figure5   3x3/1  35x35x288    64    48       64     64      96    64
    reduce1  figure10  3x3/2  35x35x288    -     -        384    64      96    -
    b1       figure6   7x7/1  17x17x768    192   128      192    128     192   192
    b2       figure6   7x7/1  17x17x768    192   160      192    160     192   192
    b3       figure6   7x7/1  17x17x768    192   160      192    160     192   192
    b4       figure6   7x7/1  17x17x768    192   192      192    192     192   192
    b5       figure6   7x7/1  17x17x768    192   192      192    192     192   192
    reduce2  figure10  7x7/2  17x17x768    -     192      320    192     192   -
    c1       figure7   3x3/1  8x8x1280     320   384      384    448     384   192
    c2       figure7   3x3/1  8x8x2048     320   384      384    448     384   192
    pool2    average   8x8/1  8x8x2048     -     -        -      -       -     -
    linear   logits    -      1x1x2048     -     -        -      -       -     -
"""


class Row(NamedTuple):
    stage: str
    type: str
    patch: Patch | None
    input: MapSize
    n1x1: int | None
    short_r: int | None
    short: int | None
    long_r: int | None
    long: int | None
    pool: int | None


def rows_of(text: str) -> tuple[Row, ...]:
    """One of the tables as rows."""
    return table(Row, text.replace("#", "n"))  # a field's name cannot start with #


ROWS = rows_of(TABLE)


class Stage(NamedTuple):
    """The arguments of one stage."""

    name: str
    type: str
    kernel: int
    stride: int
    in_channels: int
    channels: int
    widths: Widths


def stages(in_channels: int = 3, width: float = 1.0, rows: Sequence[Row] = ROWS) -> Iterator[Stage]:
    """The rows up to the last map as stages, `width` times as wide; a module's channels are those of its paths."""
    for row in rows[:-2]:
        widths = Widths(*(scaled(channels, width) if channels else 0 for channels in row[4:]))
        channels = {
            "pool": in_channels,
            "figure10": widths.short + widths.long + in_channels,
            # Each 3x3 of Figure 7 ends in two convolutions side by side.
            "figure7": widths.n1x1 + 2 * widths.short + 2 * widths.long + widths.pool,
        }.get(row.type, widths.n1x1 + widths.short + widths.long + widths.pool)
        yield Stage(row.stage, row.type, *(row.patch or Patch(0, 1)), in_channels, channels, widths)
        in_channels = channels


class AuxiliaryHead(nn.Module):
    """Figure 8: 5x5 average pooling of stride 3, 128 1x1 filters, 768 filters over all of the 5x5 map, a linear layer.

    Both convolutions are batch-normalised, which makes the head a regulariser (section 4). `size` is the map's
    height and width: if pooling makes it smaller than 5x5, the filters are as large as the pooled map; `largest`
    replaces the 5, and `conv` makes a convolution with its normalisation. Input [N, in_channels, H, W], output
    [N, classes]. Raises RequestError for a map smaller than `size`.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        classes: int,
        width: float,
        *,
        largest: int = 5,
        conv: Callable[..., nn.Module] = Conv,
    ) -> None:
        super().__init__()
        filters, hidden = scaled(128, width), scaled(768, width)
        self.kernel = (min(largest, (size[0] - 5) // 3 + 1), min(largest, (size[1] - 5) // 3 + 1))
        self.pool = nn.AvgPool2d(5, 3)
        self.reduce = conv(in_channels, filters, 1)
        self.full = conv(filters, hidden, self.kernel, padding="valid")
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        least = [3 * side + 2 for side in self.kernel]
        if x.shape[2] < least[0] or x.shape[3] < least[1]:
            raise RequestError(
                f"an auxiliary head takes maps of at least {least[0]} x {least[1]}, not {x.shape[2]} x {x.shape[3]}: "
                "it was made for the network's input_size"
            )
        logits: Tensor = self.head(self.full(self.reduce(self.pool(x))).mean((2, 3)))
        return logits


class InceptionV3(Supervised):
    """The stages of the table, global average pooling, dropout, a linear layer; an auxiliary head if `auxiliary`.

    `width` multiplies all channels; `dropout` is the dropout rate of the pooled vector. `count_border` averages over
    the padding too, as ports do and the authors' release does not. 299x299 images in the paper; any size of at least
    75 is accepted, with an auxiliary head an `input_size` of at least 107. Raises RequestError for a width outside
    (0, 8] or a dropout outside [0, 1), or for an auxiliary head on smaller images.
    """

    table = TABLE
    minimum_size = 75

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        input_size: tuple[int, int] = (299, 299),
        auxiliary: bool = True,
        width: float = 1.0,
        dropout: float = 0.2,
        count_border: bool = False,
    ) -> None:
        check_width(width)
        check_dropout(dropout)
        plan = list(stages(in_channels, width, rows_of(self.table)))
        rows, columns = (_side(plan, side) for side in input_size)
        if auxiliary and min(rows, columns) < 5:
            given = " x ".join(map(str, input_size))
            raise RequestError(
                f"the auxiliary head needs images of at least 107 x 107 pixels, not {given}; a network without it, "
                "such as inception_v3_no_aux, takes smaller ones"
            )
        super().__init__()
        self.in_channels = in_channels
        self.auxiliary_heads = AUXILIARY if auxiliary else {}
        for stage in plan:
            self.add_module(stage.name, _layers(stage))
            if stage.name in self.auxiliary_heads:
                head = AuxiliaryHead(stage.channels, (rows, columns), classes, width)
                self.add_module(self.auxiliary_heads[stage.name], head)
        for module in self.modules():
            if isinstance(module, nn.AvgPool2d):
                module.count_include_pad = count_border
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = self.embedding_size = plan[-1].channels
        self.head = nn.Linear(self.embedding_size, classes)
        self.stages = tuple(stage.name for stage in plan)
        he_normal(self)  # The paper does not state it.


class InceptionV2(InceptionV3):
    """Inception-v2 of this paper, with widths of our choice in its modules and without an auxiliary head.

    Options as of InceptionV3.
    """

    table = V2_TABLE

    def __init__(self, *, classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.2) -> None:
        super().__init__(classes=classes, in_channels=in_channels, auxiliary=False, width=width, dropout=dropout)


def _side(plan: Sequence[Stage], side: int) -> int:
    """The side of the auxiliary head's input map, for an image of that side."""
    for stage in plan:
        if stage.type in ("conv", "pool"):
            side = (side - stage.kernel) // stage.stride + 1
        elif stage.type == "figure10":
            side = (side - 3) // 2 + 1
        if stage.name in AUXILIARY:
            break
    return side


def _layers(stage: Stage) -> nn.Module:
    if stage.type in MODULES:
        return MODULES[stage.type](stage.in_channels, stage.widths, stage.kernel)
    if stage.type == "pool":
        return nn.MaxPool2d(stage.kernel, stage.stride)
    padding: Literal["half", "valid"] = "half" if stage.type == "padded" else "valid"
    return Conv(stage.in_channels, stage.channels, stage.kernel, stride=stage.stride, padding=padding)


VARIANTS = {
    "inception_v3": Variant(InceptionV3, {}),
    "inception_v3_no_aux": Variant(InceptionV3, {"auxiliary": False}),
    "inception_v2": Variant(InceptionV2, {}),
    "inception_v3_tiny": Variant(InceptionV3, {"width": 0.0625}),
}

# inception_v2: the paper's text has its structure but not the widths in its modules, which are ours; with them it has
# 6.48 G multiply-adds, where the paper is remembered to say 3.8 G. TF-slim's inception_v2 is another network, that of
# bn_inception.py.
# inception_v3: Table 1 as printed is not the network of the paper's supplement. Built here is the network of the
# authors' release, which the ports and their weights have too: a 1x1 to 80, a 3x3 to 192 and a pooling, where Table 1
# has three convolutions of 3x3, and 3 + 4 + 2 modules with two of Figure 10 between them. In it the short path of
# Figure 5 is still a 5x5, where the figure has a 3x3; in Figure 6 the short path starts with the row, 1 x 7, and the
# long one with the column. The paper counts 4.8 G multiply-adds (Table 3), the layers have 5.7 G.
# Deviations: batch normalisation has a gain, as in the ports, where the authors' release has only an offset before a
# ReLU (17,216 parameters fewer). Left open by the paper and taken from the release: epsilon and dropout; the momentum
# of batch normalisation is torch's. inception_v3_tiny is ours, for tests.
