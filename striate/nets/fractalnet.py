"""FractalNet: Ultra-Deep Neural Networks without Residuals.

Gustav Larsson, Michael Maire, Gregory Shakhnarovich, ICLR 2017. arXiv:1605.07648.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.drop_path import check_rate
from striate.layers.fractal import Join
from striate.nets.base import Net, Variant
from striate.nets.initialise import caffe_xavier
from striate.nets.options import check_width
from striate.tables import table

# Section 4: B = 5 blocks of C columns, each ending in a 2x2 maximum pooling with stride 2; a linear layer follows. A
# convolution is 3x3, dropout, BN, ReLU. The depth is that of the deepest column, 5 x 2^(C-1).
TABLE = """
    block   output_size  filters  dropout
    block1  16           64       0
    block2  8            128      0.1
    block3  4            256      0.2
    block4  2            512      0.3
    block5  1            512      0.4
"""

# Table 3: the same with a quarter of the filters, by the number of columns C; error in per cent on CIFAR-100 with heavy
# augmentation (from memory).
DEPTHS = """
    columns  depth  error
    1        5      37.32
    2        10     30.71
    3        20     27.69
    4        40     27.38
    5        80     26.46
    6        160    27.38
"""


class Row(NamedTuple):
    block: str
    output_size: int
    filters: int
    dropout: float


class DepthRow(NamedTuple):
    columns: int
    depth: int
    error: float


ROWS = table(Row, TABLE)
DEPTH_ROWS = table(DepthRow, DEPTHS)
Pool = Literal["before_join", "after_join"]


class Convolution(nn.Sequential):
    """A 3x3 convolution, dropout, batch norm, ReLU; its parts are `conv`, `dropout`, `norm` and `act`.

    `affine`: the batch norm has scale and shift, and the convolution no bias; otherwise the other way round.
    """

    def __init__(self, in_channels: int, channels: int, *, dropout: float, affine: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=not affine)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.BatchNorm2d(channels, affine=affine)
        self.act = nn.ReLU()


class FractalBlock(nn.Module):
    """The expansion f_(C+1)(z) = join((f_C o f_C)(z), conv(z)), with f_1 a convolution; then pooling.

    Unfolded, it has C columns of 2^(C-1), ..., 2, 1 convolutions. At level l = 1, ..., 2^(C-1) the columns whose next
    convolution ends there, those with 2^c that divides l, are joined, and all of them go on with the mean.
    `convolution` makes one from its input's channels; `pool` says whether each column is pooled before the last join,
    or the mean after it.
    Source: section 2, equation 1, Figure 1.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        columns: int,
        convolution: Callable[[int], nn.Module],
        rate: float,
        pool: Pool,
    ) -> None:
        super().__init__()
        self.levels, self.pool_first = 2 ** (columns - 1), pool == "before_join"
        for number in range(columns):
            inputs = [in_channels] + [channels] * (self.levels // 2**number - 1)
            self.add_module(f"column{number + 1}", nn.Sequential(*map(convolution, inputs)))
        self.columns = [f"column{number + 1}" for number in range(columns)]
        self.joins = nn.ModuleDict({str(level): Join(rate) for level in range(2, self.levels + 1, 2)})
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor, column: int | None = None) -> Tensor:
        """The block's output, or only that of one column, counted from 1, the deepest."""
        if column is not None:
            alone: Tensor = self.pool(getattr(self, self.columns[column - 1])(x))
            return alone
        paths = [x] * len(self.columns)
        for level in range(1, self.levels + 1):
            due = [number for number in range(len(paths)) if level % 2**number == 0]
            for number in due:
                paths[number] = self.get_submodule(self.columns[number])[level // 2**number - 1](paths[number])  # type: ignore[index]
            if level == self.levels and self.pool_first:
                paths = [self.pool(path) for path in paths]
            if len(due) > 1:
                joined = self.joins[str(level)]([paths[number] for number in due])
                paths = [joined if number in due else path for number, path in enumerate(paths)]
        out: Tensor = paths[0] if self.pool_first else self.pool(paths[0])
        return out


class FractalNet(Net):
    """Five fractal blocks and a linear layer.

    `columns` is C, `width` multiplies the filters. In training, `drop_path` is the rate at which the inputs of a join
    are left out (local drop-path), and in a share `global_share` of the mini-batches only one column is run, the same
    in all blocks, drawn uniformly (global drop-path); in evaluation all columns are. `dropout` says whether there is
    dropout at the rates of the table. `pool` is the order of pooling and last join: the authors pool each column.
    `affine=False` has the parameters of the authors' definition for Caffe: biases, and batch norms without scale.
    After global drop-path the batch norms' running averages are over mini-batches of all columns and of one; where they
    fit neither, as after a short training, `striate.recalibrate` takes them again.
    32x32 images in the paper; any size of at least 32 is accepted. Raises RequestError for columns outside 1 to 7, a
    width outside (0, 8], a drop_path outside [0, 1) or a global_share outside [0, 1].
    """

    table = TABLE
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        columns: int = 3,
        width: float = 1.0,
        drop_path: float = 0.15,
        global_share: float = 0.5,
        dropout: bool = True,
        pool: Pool = "before_join",
        affine: bool = True,
    ) -> None:
        if not 1 <= columns <= 7:
            raise RequestError(f"columns must be from 1 to 7, not {columns}")
        if not 0 <= global_share <= 1:
            raise RequestError(f"global_share must be from 0 to 1, not {global_share}")
        check_width(width)
        check_rate(drop_path)
        super().__init__()
        self.in_channels, self.columns, self.global_share = in_channels, columns, global_share
        channels = in_channels
        for row in ROWS:
            filters = max(1, round(row.filters * width))

            def convolution(inputs: int, filters: int = filters, rate: float = row.dropout) -> nn.Module:
                return Convolution(inputs, filters, dropout=rate if dropout else 0.0, affine=affine)

            self.add_module(row.block, FractalBlock(channels, filters, columns, convolution, drop_path, pool))
            channels = filters
        self.stages = tuple(row.block for row in ROWS)
        self.feature_channels = self.embedding_size = channels
        self.head = nn.Linear(channels, classes)
        caffe_xavier(self)

    def _run_stages(self, x: Tensor, visit: Callable[[str, Tensor], None] | None = None) -> Tensor:
        self.check(x)
        column = self._drawn_column() if self.training else None
        for stage in self.stages:
            x = getattr(self, stage)(x, column)
            if visit is not None:
                visit(stage, x)
        return x

    def _drawn_column(self) -> int | None:
        """For this mini-batch the only column to run, or None: all of them."""
        if float(torch.rand((), device="cpu")) >= self.global_share:
            return None
        return 1 + int(torch.randint(self.columns, (), device="cpu"))

    def keep_all(self) -> None:
        """From now on all columns are run: for `striate.anatomy`, which counts what training can need."""
        self.global_share = 0.0

    def column(self, number: int) -> ColumnNet:
        """One column as a plain network, of the same modules; 1 is the deepest. Raises RequestError for another."""
        if not 1 <= number <= self.columns:
            raise RequestError(f"column must be from 1 to {self.columns}, not {number}")
        return ColumnNet(self, number)


class ColumnNet(Net):
    """A column of a FractalNet on its own: its convolutions and poolings, and the linear layer, all of them shared."""

    table = TABLE
    minimum_size = 32

    def __init__(self, net: FractalNet, number: int) -> None:
        super().__init__()
        self.in_channels = net.in_channels
        for stage in net.stages:
            block = net.get_submodule(stage)
            convolutions = block.get_submodule(f"column{number}").children()
            self.add_module(stage, nn.Sequential(*convolutions, block.get_submodule("pool")))
        self.stages = net.stages
        self.feature_channels, self.embedding_size = net.feature_channels, net.embedding_size
        self.head = net.head


VARIANTS = {
    "fractalnet20": Variant(FractalNet, {"columns": 3}),
    **{
        f"fractalnet{row.depth}_narrow": Variant(FractalNet, {"columns": row.columns, "width": 0.25})
        for row in DEPTH_ROWS
    },
    "fractalnet_tiny": Variant(FractalNet, {"columns": 2, "width": 0.0625}),
}

# Deviations: none known in the layers. The paper counts 38.6 M parameters for 20 layers, which no widths that were
# found give: those of the authors' generator make 33.7 M. With affine=False there are exactly as many as in that
# definition, whose convolutions have biases and whose batch norms no scale: 33,714,314. Local and global drop-path
# together were not released; here each mini-batch has one of them, as the paper writes, and a column that global
# drop-path leaves out is not run at all. Not included: FractalNet-40 with 22.9 M parameters, whose widths were never
# published, and the networks of ImageNet. fractalnet_tiny is ours, for tests.
