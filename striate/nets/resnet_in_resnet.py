"""ResNet in ResNet: Generalizing Residual Architectures.

Sasha Targ, Diogo Almeida, Kevin Lyman, 2016. arXiv:1603.08029.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from striate.layers.shortcut import ZeroPadShortcut
from striate.nets.base import Net, Variant
from striate.nets.initialise import he_normal
from striate.nets.options import check_width
from striate.tables import table

# The 18-layer wide RiR for CIFAR: two streams, residual and transient, through blocks of two 3x3 layers; then a 1x1
# convolution of both streams to the classes, with BN and ReLU, whose maps are averaged.
TABLE = """
    stage  output_size  residual  transient  blocks
    conv1  32           48        48         -
    rir1   32           48        48         2
    rir2   16           96        96         3
    rir3   8            192       192        3
"""


class Row(NamedTuple):
    stage: str
    output_size: int
    residual: int
    transient: int
    blocks: int | None


ROWS = table(Row, TABLE)
Depth = Literal[8, 18]
Form = Literal["streams", "init"]


class Streams(NamedTuple):
    """The channels of the residual and of the transient stream; a map has those of the residual stream first."""

    residual: int
    transient: int

    @property
    def both(self) -> int:
        """The channels of a map."""
        return sum(self)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The two streams of a map."""
        return x[:, : self.residual], x[:, self.residual :]


class Stage(NamedTuple):
    """The arguments of one stage; the first of its blocks has the stride and the change of channels."""

    name: str
    before: Streams
    after: Streams
    stride: int
    blocks: int


def stages(depth: Depth = 18, width: float = 1.0) -> Iterator[Stage]:
    """rir1 to rir3, `width` times as wide; a depth of 8 has one block each."""
    above, size = _streams(ROWS[0], width), ROWS[0].output_size
    for row in ROWS[1:]:
        here = _streams(row, width)
        yield Stage(row.stage, above, here, size // row.output_size, (row.blocks or 0) if depth == 18 else 1)
        above, size = here, row.output_size


def _streams(row: Row, width: float) -> Streams:
    return Streams(*(max(1, round(channels * width)) for channels in (row.residual, row.transient)))


class GeneralizedLayer(nn.Module):
    """One layer of both streams: r' = ReLU(BN(r * W_rr + t * W_tr + shortcut(r))), t' = ReLU(BN(r * W_rt + t * W_tt)).

    * is a 3x3 convolution. With all weights from and to t zero it is a residual layer; without the shortcut and what
    crosses, two plain ones. Where the shape changes, the shortcut is a strided identity with zeros for new channels.
    Source: section 2, equations 1 and 2, Figure 1 (c).
    """

    def __init__(self, before: Streams, after: Streams, stride: int) -> None:
        super().__init__()
        self.before = before
        self.r_to_r = _conv(before.residual, after.residual, stride)
        self.t_to_r = _conv(before.transient, after.residual, stride)
        self.r_to_t = _conv(before.residual, after.transient, stride)
        self.t_to_t = _conv(before.transient, after.transient, stride)
        self.shortcut = _shortcut(before, after, stride)
        self.norm_r, self.norm_t = nn.BatchNorm2d(after.residual), nn.BatchNorm2d(after.transient)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        r, t = self.before.split(x)
        residual = self.norm_r(self.r_to_r(r) + self.t_to_r(t) + self.shortcut(r))
        transient = self.norm_t(self.r_to_t(r) + self.t_to_t(t))
        out: Tensor = self.act(torch.cat([residual, transient], 1))
        return out


class InitLayer(nn.Sequential):
    """ResNet Init: the same layer as one convolution of both streams, in whose weights the shortcut is an identity.

    So only the initial weights tell it from a plain layer; `add_identity` puts the identity on top of those drawn.
    Source: section 2, Figure 1 (d).
    """

    def __init__(self, before: Streams, after: Streams, stride: int) -> None:
        super().__init__()
        self.conv = _conv(before.both, after.both, stride)
        self.norm = nn.BatchNorm2d(after.both)
        self.act = nn.ReLU()
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out

    @torch.no_grad()
    def add_identity(self) -> None:
        """Add the identity, from the residual stream to itself, to the centre of the kernels."""
        zeros = (self.after.residual - self.before.residual) // 2  # as in ZeroPadShortcut
        for channel in range(self.before.residual):
            self.conv.weight[zeros + channel, channel, 1, 1] += 1


def _conv(in_channels: int, channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, stride, padding=1)


def _shortcut(before: Streams, after: Streams, stride: int) -> nn.Module:
    same = stride == 1 and before.residual == after.residual
    return nn.Identity() if same else ZeroPadShortcut(before.residual, after.residual, stride)


FORMS: dict[Form, type[GeneralizedLayer | InitLayer]] = {"streams": GeneralizedLayer, "init": InitLayer}


class RiRBlock(nn.Module):
    """Two generalized layers, the second with the stride, and one more shortcut over both of the residual stream.

    Source: section 2, Figure 2.
    """

    def __init__(self, before: Streams, after: Streams, stride: int, *, form: Form) -> None:
        super().__init__()
        layer = FORMS[form]
        self.before, self.after = before, after
        self.layer1 = layer(before, after, 1)
        self.layer2 = layer(after, after, stride)
        self.shortcut = _shortcut(before, after, stride)

    def forward(self, x: Tensor) -> Tensor:
        r, t = self.after.split(self.layer2(self.layer1(x)))
        return torch.cat([r + self.shortcut(self.before.split(x)[0]), t], 1)


class ResNetInResNet(Net):
    """The wide RiR: a 3x3 convolution of each stream, blocks of two layers, a 1x1 convolution to maps of the classes.

    `depth` is the paper's 18, with eight blocks, or 8, with one a stage. `form` is that of the layers: two streams, or
    ResNet Init. `width` multiplies all channels but the classes. `classifier` "map" is the paper's: `features` gives a
    map for each class, `embed` their means, and `head` is the identity; "linear" has a linear layer on the mean of both
    streams instead. 32x32 images in the paper; any size of at least 8 is accepted. Raises RequestError for a width
    outside (0, 8].
    """

    table = TABLE
    minimum_size = 8

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        depth: Depth = 18,
        form: Form = "streams",
        width: float = 1.0,
        classifier: Literal["map", "linear"] = "map",
    ) -> None:
        check_width(width)
        super().__init__()
        self.in_channels = in_channels
        rows = list(stages(depth, width))
        first, last = rows[0].before.both, rows[-1].after.both
        self.conv1 = nn.Sequential(_conv(in_channels, first, 1), nn.BatchNorm2d(first), nn.ReLU())
        for row in rows:
            blocks = [RiRBlock(row.before, row.after, row.stride, form=form)]
            blocks += [RiRBlock(row.after, row.after, 1, form=form) for _ in range(row.blocks - 1)]
            self.add_module(row.name, nn.Sequential(*blocks))
        self.stages = ("conv1", *(row.name for row in rows))
        self.feature_channels = self.embedding_size = last
        self.head: nn.Module = nn.Linear(last, classes)
        if classifier == "map":
            self.last = nn.Sequential(nn.Conv2d(last, classes, 1), nn.BatchNorm2d(classes), nn.ReLU())
            self.stages = (*self.stages, "last")
            self.feature_channels = self.embedding_size = classes
            self.head = nn.Identity()
        he_normal(self)
        for module in self.modules():
            if isinstance(module, InitLayer):
                module.add_identity()


VARIANTS = {
    "rir_18_wide": Variant(ResNetInResNet, {}),
    "rir_18_wide_init": Variant(ResNetInResNet, {"form": "init"}),
    "rir_tiny": Variant(ResNetInResNet, {"depth": 8, "width": 1 / 12}),
}

# The paper does not print a table of the network, nor where the strides are: the table, the biases of the convolutions,
# the stride in the second layer of a block, the outer shortcut after its last ReLU and the ending are those of the
# re-implementation nutszebra/resnet_in_resnet, whose count this is; the paper's 10.3 M parameters (from memory) are not
# explained by any. Deviation from it: the zero channels of a shortcut stand on both sides of the old ones, as
# elsewhere here, which only numbers the channels. In rir_18_wide_init one convolution has the biases that are two
# before. rir_tiny, of 8 layers, is ours, for tests.
