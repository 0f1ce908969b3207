"""Bridging the Gaps Between Residual Learning, Recurrent Neural Networks and Visual Cortex.

Qianli Liao, Tomaso Poggio, 2016. CBMM Memo 47, arXiv:1604.03640.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from striate.errors import RequestError
from striate.layers.conv import ConvNormAct
from striate.layers.unrolled import UnrolledBlock
from striate.nets.base import Net, Variant
from striate.nets.cells import Conv
from striate.nets.initialise import he_normal
from striate.nets.resnet import Block
from striate.tables import table

# ResNet for CIFAR of depth 6n + 2 with shared weights: a block that keeps the shape is one and the same, applied again
# and again; what changes the shape, the stem and the first blocks of stages 2 and 3, stands alone.
TABLE = """
    stage   output_size  filters  alone  shared
    stem    32           16       1      0
    stage1  32           16       0      n
    stage2  16           32       1      n-1
    stage3  8            64       1      n-1
"""


class Row(NamedTuple):
    stage: str
    output_size: int
    filters: int
    alone: int
    shared: str

    def steps(self, n: int) -> int:
        """How many times the shared block is applied."""
        return {"0": 0, "n": n, "n-1": n - 1}[self.shared]


ROWS = table(Row, TABLE)


class RecurrentResNet(Net):
    """A ResNet for CIFAR whose blocks of a stage share their weights: a shallow recurrent network, unrolled.

    `depth` is 6n + 2, with n at least 2; the number of weights does not depend on it. `own_norms` gives each step batch
    norms of its own, with statistics of their own. 32x32 images in the paper; any size of at least 8 is accepted.
    Raises RequestError for a depth that is not 6n + 2, or outside 14 to 1202.
    """

    table = TABLE
    minimum_size = 8

    def __init__(self, *, classes: int = 10, in_channels: int = 3, depth: int = 20, own_norms: bool = True) -> None:
        if not 14 <= depth <= 1202 or depth % 6 != 2:
            raise RequestError(f"depth must be 6n + 2, from 14 to 1202 (20, 32, 56, 110, ...), not {depth}")
        super().__init__()
        self.in_channels = in_channels
        above = ROWS[0]
        self.stem = ConvNormAct(in_channels, above.filters, 3)
        for row in ROWS[1:]:
            stage = nn.Sequential()
            if row.alone:
                stride = above.output_size // row.output_size
                stage.add_module("first", Block(above.filters, (Conv(3, row.filters),) * 2, stride, shortcut="A"))
            stage.add_module("shared", UnrolledBlock(row.filters, row.steps((depth - 2) // 6), own_norms=own_norms))
            self.add_module(row.stage, stage)
            above = row
        self.stages = tuple(row.stage for row in ROWS)
        self.feature_channels = self.embedding_size = above.filters
        self.head = nn.Linear(above.filters, classes)
        he_normal(self)


VARIANTS = {
    **{f"recurrent_resnet{depth}": Variant(RecurrentResNet, {"depth": depth}) for depth in (20, 32, 56, 110)},
    "recurrent_resnet_tiny": Variant(RecurrentResNet, {"depth": 14}),
}

# A reconstruction: the sizes of the memo's networks, its training and its errors could not be read, only what it shows,
# that blocks which share their weights make a recurrent network of far fewer parameters. So the networks are ResNet's
# for CIFAR, with the sharing above. recurrent_resnet_tiny is ours, for tests.
