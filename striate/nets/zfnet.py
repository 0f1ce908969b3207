"""Visualizing and Understanding Convolutional Networks: the network of 2013.

Matthew D. Zeiler, Rob Fergus, 2013. arXiv:1311.2901; section 3 and Figure 3.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from striate.layers.lrn import LRN
from striate.nets.alexnet import AlexNet, Row
from striate.nets.base import Variant
from striate.tables import table

# Figure 3, in the columns of AlexNet's table: of AlexNet's layers, the first has smaller filters at half the stride,
# found by looking at what its filters respond to (section 4.1), and all layers see all maps. `size` is that of the
# layer's maps; pool is the maximum over 3 x 3 at stride 2, norm the normalisation across maps.
TABLE = """
    layer  kernel  stride  padding  maps  sees  size  order
    conv1  7       2       1        96    all   110   conv-relu-pool-norm
    conv2  5       2       0        256   all   26    conv-relu-pool-norm
    conv3  3       1       1        384   all   13    conv-relu
    conv4  3       1       1        384   all   13    conv-relu
    conv5  3       1       1        256   all   13    conv-relu-pool
    fc6    6       1       0        4096  all   1     full-relu-dropout
    fc7    1       1       0        4096  all   1     full-relu-dropout
    fc8    1       1       0        1000  all   1     full
"""

ROWS = table(Row, TABLE)


class ZFNet(AlexNet):
    """AlexNet in one tower with a 7 x 7 first layer of stride 2, for images of 224 x 224; options as there.

    `layers` are the paper's, or those of pytorchcv's port: normalised before pooling, with an alpha of a fifth. Pooling
    rounds up.
    """

    table = TABLE
    minimum_size = 47
    lift = 0.0

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        input_size: tuple[int, int] = (224, 224),
        width: float = 1.0,
        dropout: float = 0.5,
        layers: Literal["paper", "pytorchcv"] = "paper",
    ) -> None:
        super().__init__(classes=classes, in_channels=in_channels, input_size=input_size, width=width, dropout=dropout)
        if layers == "pytorchcv":
            for name in ("conv1", "conv2"):
                parts = dict(self.get_submodule(name).named_children())
                order = {"norm": LRN(alpha=1e-4 / 5), "pool": parts["pool"]}
                self.add_module(name, nn.Sequential(OrderedDict(conv=parts["conv"], relu=parts["relu"], **order)))


VARIANTS = {
    "zfnet": Variant(ZFNet, {}),
    "zfnet_tiny": Variant(ZFNet, {"width": 1 / 16}),
}

# Left open by the paper: padding, here what gives the sizes of Figure 3; and the constants of the contrast
# normalisation across maps, here those of AlexNet's local response normalisation. Deviation: filters whose root mean
# square exceeds 0.1 are scaled back to it after every step (section 3); here they are not. The paper scales activations
# by 0.5 in testing; here they are scaled up in training, which is equivalent. Errors are remembered, not read.
# zfnet_tiny is ours, for tests.
