"""Deep Networks with Stochastic Depth.

Gao Huang, Yu Sun, Zhuang Liu, Daniel Sedra, Kilian Weinberger, ECCV 2016. arXiv:1603.09382.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.conv import ConvNormAct
from striate.layers.shortcut import PooledPadShortcut
from striate.layers.stochastic_depth import StochasticDepth, check_survival
from striate.nets.base import Net, Variant
from striate.nets.cells import Conv
from striate.nets.initialise import he_normal
from striate.nets.resnet import CIFAR_ROWS, CIFAR_TABLE, blocks_of, cifar_stages
from striate.tables import table

# Section 4: the networks are ResNet's for CIFAR, with L residual blocks. Block l = 1, ..., L survives in training with
# the probability p_l; errors in per cent with constant and with stochastic depth.
RESULTS = """
    data       depth  L    p_L  constant  stochastic
    CIFAR-10   110    54   0.5  6.41      5.25
    CIFAR-100  110    54   0.5  27.76     24.98
    SVHN       152    75   0.5  1.80      1.75
    CIFAR-10   1202   600  0.5  6.67      4.91
"""

Decay = Literal["linear", "uniform"]


class Result(NamedTuple):
    data: str
    depth: int
    L: int
    p_L: float  # noqa: N815  (as the paper names it)
    constant: float
    stochastic: float


RESULT_ROWS = table(Result, RESULTS)


def survivals(blocks: int, last: float, decay: Decay = "linear") -> Iterator[float]:
    """p_1 to p_L: equation 4, p_l = 1 - l / L (1 - p_L); or p_L for all (section 3, "uniform")."""
    for number in range(1, blocks + 1):
        yield last if decay == "uniform" else 1 - number / blocks * (1 - last)


class StochasticBlock(nn.Module):
    """H_l = ReLU(b_l f_l(H_(l-1)) + id(H_(l-1))), in evaluation with p_l for b_l; f is conv-BN-ReLU-conv-BN.

    Where the shape changes, the identity is averaged over 2x2 pixels and has zeros for new channels. Source: equations
    2 and 5, Figures 1 and 2.
    """

    def __init__(self, in_channels: int, convs: tuple[Conv, ...], stride: int, *, survival: float) -> None:
        super().__init__()
        first, second = convs
        branch = nn.Sequential()
        branch.add_module("conv1", ConvNormAct(in_channels, first.channels, first.kernel, stride=stride))
        branch.add_module("conv2", ConvNormAct(first.channels, second.channels, second.kernel, act=None))
        same = stride == 1 and in_channels == second.channels
        self.shortcut = nn.Identity() if same else PooledPadShortcut(in_channels, second.channels, stride)
        self.residual = StochasticDepth(branch, survival)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.residual(x, self.shortcut(x)))
        return out


class StochasticDepthResNet(Net):
    """ResNet for CIFAR whose blocks are left out at random in training: a shallow network then, the deep one after it.

    `depth` is 6n + 2, of L = 3n blocks. `last_survival` is p_L, the probability of the last one; `decay` is that of the
    others towards it, "linear" or "uniform". 32x32 images in the paper; any size of at least 8 is accepted.
    Raises RequestError for a depth that is not 6n + 2, or above 1202, or a last_survival outside (0, 1].
    """

    table = CIFAR_TABLE
    minimum_size = 8

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        depth: int = 110,
        last_survival: float = 0.5,
        decay: Decay = "linear",
    ) -> None:
        if not 8 <= depth <= 1202 or depth % 6 != 2:
            raise RequestError(f"depth must be 6n + 2, from 8 to 1202 (20, 56, 110, 152, ...), not {depth}")
        check_survival(last_survival)
        super().__init__()
        self.in_channels = in_channels
        first, *_, last = CIFAR_ROWS
        self.stem = ConvNormAct(in_channels, first.filters, 3)
        chances = survivals((depth - 2) // 2, last_survival, decay)

        def block(in_channels: int, convs: tuple[Conv, ...], stride: int) -> StochasticBlock:
            return StochasticBlock(in_channels, convs, stride, survival=next(chances))

        for number, stage in enumerate(cifar_stages(depth), start=1):
            self.add_module(f"stage{number}", nn.Sequential(*blocks_of(stage, block)))
        self.head = nn.Linear(last.filters, classes)
        self.stages = ("stem", "stage1", "stage2", "stage3")
        self.feature_channels = self.embedding_size = last.filters
        he_normal(self)


VARIANTS = {
    **{
        f"stochastic_depth_resnet{depth}": Variant(StochasticDepthResNet, {"depth": depth})
        for depth in dict.fromkeys(row.depth for row in RESULT_ROWS)
    },
    "stochastic_depth_tiny": Variant(StochasticDepthResNet, {"depth": 8}),
}

# Deviations: the authors' convolutions have biases, which the batch norm after each takes away again: 1,732,010
# parameters at depth 110 there, 1,727,962 here, as in ResNet. Their linear layer starts as torch 7 makes it, here as
# the convolutions do. There, weight decay and momentum also move the parameters of a branch that was left out; here
# they get no gradient and stand still. Not included: ResNet-152 for ImageNet, which the paper finds no better
# with stochastic depth (21.98 against 21.78 per cent). stochastic_depth_tiny is ours, for tests.
