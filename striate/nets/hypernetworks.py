"""HyperNetworks, static ones: convolutional networks whose kernels another network makes.

David Ha, Andrew Dai, Quoc V. Le, 2016. arXiv:1609.09106; sections 3.1, 4.1 and 4.2, Table 2, and the first author's
notebook for MNIST (hardmaru/supercell). The dynamic ones are in `hyper_lstm`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.hyper_conv import HyperConv2d, KernelGenerator
from striate.nets.base import Net, Variant
from striate.nets.shapes import window_places
from striate.nets.wide_resnet import WideBlock, WideResNet
from striate.tables import table

# Section 4.1: the kernel of conv2 is made from an embedding of 4 numbers. Each convolution is followed by ReLU and
# maximum pooling over 2 x 2; `size` is that of the map after it.
MNIST = """
    layer   kernel  maps  weights    size
    conv1   7       16    own        14
    conv2   7       16    generated  7
    output  -       10    own        1
"""

# Section 4.2: in a Wide ResNet of depth 40, the kernels of all blocks are made by one generator, 16 x 16 channels at a
# time, each of these tiles from an embedding of 64 numbers. Tiles of a group for k of 1 and 2; shortcuts have no tiles.
GENERATED = """
    group  kernels    tiles_k1  tiles_k2
    conv1  own        -         -
    conv2  generated  12        46
    conv3  generated  46        184
    conv4  generated  184       736
"""


class MnistRow(NamedTuple):
    layer: str
    kernel: int | None
    maps: int
    weights: str
    size: int


class GroupRow(NamedTuple):
    group: str
    kernels: str
    tiles_k1: int | None
    tiles_k2: int | None


MNIST_ROWS = table(MnistRow, MNIST)
GROUPS = table(GroupRow, GENERATED)
TILE = 16  # channels of a tile


class HyperMnist(Net):
    """The small network for MNIST: two convolutions, of which the second has a generated kernel, and the output.

    `embedding`: how many numbers the kernel of 12,544 is made of, and hidden numbers of the generator. Images are
    28 x 28; the output layer is as large as its map, so a network takes images of its `input_size` only.
    Raises RequestError for an embedding outside 1 to 1024.
    """

    table = MNIST
    minimum_size = 4

    def __init__(
        self, *, classes: int = 10, in_channels: int = 1, input_size: tuple[int, int] = (28, 28), embedding: int = 4
    ) -> None:
        _check_embedding(embedding)
        super().__init__()
        self.in_channels, self.input_size = in_channels, input_size
        inputs, size = in_channels, input_size
        for row in MNIST_ROWS[:-1]:
            assert row.kernel is not None
            conv: nn.Module = nn.Conv2d(inputs, row.maps, row.kernel, padding=row.kernel // 2)
            if row.weights == "generated":
                generator = KernelGenerator(embedding, embedding, inputs, row.maps, row.kernel)
                conv = HyperConv2d(inputs, row.maps, generator, padding=row.kernel // 2, bias=True)
            self.add_module(row.layer, nn.Sequential(OrderedDict(conv=conv, act=nn.ReLU(), pool=nn.MaxPool2d(2))))
            inputs, size = row.maps, window_places(size, (2, 2), 2)
        self.stages = tuple(row.layer for row in MNIST_ROWS[:-1])
        self.feature_channels, self.embedding_size = inputs, inputs * math.prod(size)
        self.head: nn.Linear = nn.Linear(self.embedding_size, classes)
        self._start()

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> the last map as a vector [N, embedding_size]."""
        return features.flatten(1)

    @torch.no_grad()
    def _start(self) -> None:
        """As the notebook: truncated normal weights of deviation 0.01, embeddings around 0.01, an orthogonal output."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.trunc_normal_(module.weight, std=0.01, a=-0.02, b=0.02)
                module.bias.zero_()
            elif isinstance(module, HyperConv2d):
                nn.init.trunc_normal_(module.embeddings, mean=0.01, std=1.0, a=-1.99, b=2.01)
        nn.init.orthogonal_(self.head.weight)


@torch.no_grad()
def generate_kernels(net: nn.Module, *, embedding: int = 64) -> None:
    """Replace the convolutions in the blocks of a Wide ResNet, in place, by ones with generated kernels.

    All share one generator, with as many hidden numbers as an `embedding` has.
    Raises RequestError for an embedding outside 1 to 1024, and a net without such blocks.
    """
    _check_embedding(embedding)
    if not isinstance(net, WideResNet):
        raise RequestError(f"kernels are generated for the blocks of a Wide ResNet, not of {type(net).__name__}")
    generator = KernelGenerator(embedding, embedding, TILE, TILE, 3)
    # Of variance 1 after the first layer; kernels then begin as He's normal ones for the 16 channels of a tile.
    generator.by_input.weight.normal_(0, 1 / math.sqrt(embedding))
    generator.to_kernels.weight.normal_(0, math.sqrt(2 / (9 * TILE) / embedding))
    for layer in (generator.by_input, generator.to_kernels):
        layer.bias.zero_()
    for row in GROUPS:
        if row.kernels == "generated":
            for block in net.get_submodule(row.group).children():
                assert isinstance(block, WideBlock)
                for name in ("conv1", "conv2"):
                    conv = block.residual.get_submodule(name)
                    assert isinstance(conv, nn.Conv2d)
                    made = HyperConv2d(conv.in_channels, conv.out_channels, generator, stride=conv.stride[0], padding=1)
                    block.residual.set_submodule(name, made)


def _check_embedding(embedding: int) -> None:
    if not 1 <= embedding <= 1024:
        raise RequestError(f"an embedding has from 1 to 1024 numbers, not {embedding}")


VARIANTS = {
    "hyper_mnist": Variant(HyperMnist, {}),
    "hyper_wrn_40_1": Variant(WideResNet, {"depth": 40, "k": 1}, generate_kernels, GENERATED),
    "hyper_wrn_40_2": Variant(WideResNet, {"depth": 40, "k": 2}, generate_kernels, GENERATED),
    "hyper_mnist_tiny": Variant(HyperMnist, {"embedding": 2}),
    "hyper_wrn_tiny": Variant(WideResNet, {"depth": 10, "k": 1, "embedding": 8}, generate_kernels, GENERATED),
}

# Deviations: the authors' code of the Wide ResNets cannot be had, so their first weights are ours (generate_kernels).
# In the notebook for MNIST the vectors of the generator belong to output channels, by the order of its axes; here to
# input channels, as in the paper: there are 16 of both. Multiply-adds include making the kernels, which is done once
# for a batch: 51,544,064 of hyper_wrn_40_1, 205,750,272 of hyper_wrn_40_2; the rest is the Wide ResNet's. The generator
# is shared, and its parameters are listed with the first stage that uses it. The paper's Table 2 counts everything for
# hyper_wrn_40_1, and for hyper_wrn_40_2 kernels and generator only, 148,928. The tiny nets are ours.
