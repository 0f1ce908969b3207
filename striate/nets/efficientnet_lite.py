"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation, with ReLU6 for swish.

Mingxing Tan, Quoc V. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019,
arXiv:1905.11946; the Lite family is described in the authors' repository (tensorflow/tpu, models/official/efficientnet/
lite, 2020).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from torch import Tensor, nn

from striate.nets import efficientnet
from striate.nets.base import Network, Variant
from striate.nets.efficientnet import EfficientNet, Row, Stage
from striate.nets.mobilenet_v2 import InvertedResidual
from striate.tables import table

# Table 1 of the paper (EfficientNet-B0), from efficientnet.py.
ROWS = efficientnet.ROWS

# The scaling factors, from the authors' code.
SCALES = """
    net    width  depth  resolution  dropout
    lite0  1.0    1.0    224         0.2
    lite1  1.0    1.1    240         0.2
    lite2  1.1    1.2    260         0.3
    lite3  1.2    1.4    280         0.3
    lite4  1.4    1.8    300         0.3
"""
SCALE_ROWS = table(efficientnet.Scale, SCALES)


class EfficientNetLite(EfficientNet):
    """EfficientNet's stages of inverted residuals without squeeze-and-excitation, with ReLU6; options as there."""

    act = nn.ReLU6
    block = InvertedResidual

    @staticmethod
    def scaled(row: Row, width: float, depth: float) -> Row:
        """The row as EfficientNet has it; but neither a plain convolution nor the depth of an end is scaled."""
        if row.operator == "Conv":
            return row
        inner = ROWS[1].stage < row.stage < ROWS[-2].stage
        return EfficientNet.scaled(row, width, depth if inner else 1.0)


def stages(in_channels: int = 3, width: float = 1.0, depth: float = 1.0) -> Iterator[Stage]:
    """The rows as stages, `width` times as wide and `depth` times as deep."""
    return efficientnet.stages((EfficientNetLite.scaled(row, width, depth) for row in ROWS), in_channels)


def add_trunk(net: Network, width: float, depth: float, last: str | None = None) -> dict[str, int]:
    """Give a network of another kind these stages, up to `last` (None: all), under the names that published weights
    have; returns the channels of each stage's map."""
    trunk = EfficientNetLite(in_channels=net.in_channels, width=width, depth=depth)
    net.stages = trunk.stages[: trunk.stages.index(last) + 1] if last else trunk.stages
    for name in net.stages:
        net.add_module(name, getattr(trunk, name))
    channels = {f"stage{row.stage}": EfficientNetLite.scaled(row, width, depth).channels for row in ROWS}
    return {name: channels[name] for name in net.stages}


def trunk_maps(net: Network, x: Tensor, names: Collection[str]) -> dict[str, Tensor]:
    """Images -> the maps of some of the stages that `add_trunk` gave, by stage, the finest first."""
    net.check(x)
    found: dict[str, Tensor] = {}
    for name in net.stages:
        x = getattr(net, name)(x)
        if name in names:
            found[name] = x
    return found


VARIANTS = {
    **{
        f"efficientnet_{scale.net}": Variant(
            EfficientNetLite,
            {} if scale.net == "lite0" else {"width": scale.width, "depth": scale.depth, "dropout": scale.dropout},
        )
        for scale in SCALE_ROWS
    },
    "efficientnet_lite_tiny": Variant(EfficientNetLite, {"width": 0.25, "depth": 0.5}),
}

# The authors state 407 M multiply-adds for lite0; the convolutions and the linear layer have 385,187,552.
# Deviations: none known. efficientnet_lite_tiny is ours, for tests.
