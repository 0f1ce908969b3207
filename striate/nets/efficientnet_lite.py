"""EfficientNet-Lite: EfficientNet without squeeze-and-excitation, with ReLU6 for swish.

Mingxing Tan, Quoc V. Le: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, ICML 2019,
arXiv:1905.11946; the Lite family is described in the authors' repository (tensorflow/tpu, models/official/efficientnet/
lite, 2020).
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from striate.nets import efficientnet
from striate.nets.base import Variant
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
