"""ImageNet Classification with Deep Convolutional Neural Networks: AlexNet and its variants.

Alex Krizhevsky, Ilya Sutskever, Geoffrey Hinton. Advances in Neural Information Processing Systems 25, 2012; sections
3.3 to 3.5 and Figure 2.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from striate.layers.lrn import LRN
from striate.nets.base import Net, Variant
from striate.nets.cells import Parts
from striate.nets.initialise import normal_with_biases
from striate.nets.options import check_dropout, check_width, scaled
from striate.nets.shapes import window_places
from striate.tables import table

# Section 3.5 and Figure 2. Each of two GPUs has half of the maps: the input of a layer is all maps, or only those of
# its tower. `size` is that of the layer's maps; norm is local response normalisation, pool the maximum over 3 x 3 at
# stride 2.
ALEXNET = """
    layer  kernel  stride  padding  maps  sees  size  order
    conv1  11      4       0        96    all   55    conv-relu-norm-pool
    conv2  5       1       2        256   own   27    conv-relu-norm-pool
    conv3  3       1       1        384   all   13    conv-relu
    conv4  3       1       1        384   own   13    conv-relu
    conv5  3       1       1        256   own   13    conv-relu-pool
    fc6    6       1       0        4096  all   1     full-relu-dropout
    fc7    1       1       0        4096  all   1     full-relu-dropout
    fc8    1       1       0        1000  all   1     full
"""

# Jia et al. 2014, Caffe: Convolutional Architecture for Fast Feature Embedding, arXiv:1408.5093: models/
# bvlc_reference_caffenet. Pooling comes before normalisation, which makes the latter four times cheaper.
CAFFENET = ALEXNET.replace("norm-pool", "pool-norm")

# Krizhevsky 2014, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997: one tower, fewer
# maps, no normalisation; padding and dropout as the PyTorch library has them.
ONE_TOWER = """
    layer  kernel  stride  padding  maps  sees  size  order
    conv1  11      4       2        64    all   55    conv-relu-pool
    conv2  5       1       2        192   all   27    conv-relu-pool
    conv3  3       1       1        384   all   13    conv-relu
    conv4  3       1       1        256   all   13    conv-relu
    conv5  3       1       1        256   all   13    conv-relu-pool
    fc6    6       1       0        4096  all   1     dropout-full-relu
    fc7    1       1       0        4096  all   1     dropout-full-relu
    fc8    1       1       0        1000  all   1     full
"""

# Mishkin, Sergievskiy, Matas 2016, Systematic evaluation of CNN advances on the ImageNet, arXiv:1606.02228: CaffeNet
# for images of 128 x 128, thinner at the end and without normalisation. Sizes need pooling that rounds up.
CAFFENET_128 = """
    layer  kernel  stride  padding  maps  sees  size  order
    conv1  11      4       0        96    all   30    conv-relu-pool
    conv2  5       1       2        256   own   15    conv-relu-pool
    conv3  3       1       1        384   all   7     conv-relu
    conv4  3       1       1        384   own   7     conv-relu
    conv5  3       1       1        256   own   7     conv-relu-pool
    fc6    3       1       0        2048  all   1     full-relu-dropout
    fc7    1       1       0        2048  all   1     full-relu-dropout
    fc8    1       1       0        1000  all   1     full
"""


class Row(NamedTuple):
    layer: str
    kernel: int
    stride: int
    padding: int
    maps: int
    sees: str
    size: int
    order: Parts


ROWS = {text: table(Row, text) for text in (ALEXNET, CAFFENET, ONE_TOWER, CAFFENET_128)}


class Layer(NamedTuple):
    """The arguments of one layer; of a fully connected one, `kernel` is the map's height and width."""

    name: str
    inputs: int
    outputs: int
    kernel: tuple[int, int]
    stride: int
    padding: int
    groups: int
    order: Parts


def stages(
    rows: tuple[Row, ...], in_channels: int, input_size: tuple[int, int], *, width: float = 1.0, ceil: bool = True
) -> Iterator[Layer]:
    """The rows as layers, without fc8; inputs are the maps of the previous row, for fc6 all their positions.

    `ceil`: whether pooling rounds its output's size up.
    """
    inputs, places = in_channels, input_size
    for row in rows[:-1]:
        outputs = scaled(row.maps, width)
        kernel = places if "full" in row.order else (row.kernel, row.kernel)
        yield Layer(
            row.layer, inputs, outputs, kernel, row.stride, row.padding, 2 if row.sees == "own" else 1, row.order
        )
        inputs = outputs
        places = window_places(places, kernel, row.stride, row.padding)
        if "pool" in row.order:
            places = window_places(places, (3, 3), 2, ceil=ceil)


class AlexNet(Net):
    """The two-tower network of 2012: five convolutions, three fully connected layers, ReLU, dropout.

    `width` multiplies all maps but the classes, `dropout` is the dropout rate of fc6 and fc7. Images are
    227 x 227: the paper states 224, which does not give its 55 positions of conv1. The size of fc6 follows from
    `input_size`, so a network takes images of that size only. `embed` gives fc7's activations; `head` is fc8.
    Raises RequestError for a width outside (0, 8] or a dropout outside [0, 1).
    """

    table = ALEXNET
    minimum_size = 39
    ceil: ClassVar[bool] = True  # Pooling rounds up, as in cuda-convnet and in Caffe; from 227 nothing is left over.
    full_deviation: ClassVar[float] = 0.01  # Of the initial weights of fc6 and fc7; 0.01 everywhere else.
    lift: ClassVar[float] = 1.0  # The initial biases of conv2, conv4, conv5, fc6 and fc7; 0 everywhere else.

    fc6: nn.Module
    fc7: nn.Module

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        input_size: tuple[int, int] = (227, 227),
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        check_width(width)
        check_dropout(dropout)
        super().__init__()
        self.in_channels, self.input_size = in_channels, input_size
        layers = list(stages(table(Row, self.table), in_channels, input_size, width=width, ceil=self.ceil))
        for layer in layers:
            self.add_module(layer.name, self._module(layer, dropout))
        *_, conv5, _, fc7 = layers
        self.head = nn.Linear(fc7.outputs, classes)
        self.stages = tuple(layer.name for layer in layers if "conv" in layer.order)
        self.feature_channels, self.embedding_size = conv5.outputs, fc7.outputs
        full = self.full_deviation
        lifted = dict.fromkeys(("conv2", "conv4", "conv5", "fc"), self.lift)
        # At other widths than the paper's the deviation is adapted to the number of inputs.
        normal_with_biases(self, lambda name: (full if name.startswith("fc") else 0.01) / math.sqrt(width), lifted)

    def pooled(self, features: Tensor) -> Tensor:
        """The last feature map -> the activations of fc7 [N, embedding_size], with dropout in training."""
        vector: Tensor = self.fc7(self.fc6(features.flatten(1)))
        return vector

    def _module(self, layer: Layer, dropout: float) -> nn.Sequential:
        _, inputs, outputs, kernel, stride, padding, groups, order = layer
        makers: dict[str, Callable[[], nn.Module]] = {
            "conv": lambda: nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups),
            "full": lambda: nn.Linear(inputs * math.prod(kernel), outputs),
            "relu": nn.ReLU,
            "norm": self._norm,
            "pool": lambda: nn.MaxPool2d(3, 2, ceil_mode=self.ceil),
            "dropout": lambda: nn.Dropout(dropout),
        }
        return nn.Sequential(OrderedDict((part, makers[part]()) for part in order))

    def _norm(self) -> LRN:
        return LRN()


class CaffeNet(AlexNet):
    """AlexNet as Caffe's reference model: pooling before normalisation. Source: arXiv:1408.5093 and its repository."""

    table = CAFFENET
    full_deviation = 0.005
    lift = 0.1

    def _norm(self) -> LRN:
        return LRN(alpha=1e-4 / 5, k=1)


class AlexNetOneTower(AlexNet):
    """AlexNet on one GPU, its most common form today: no towers, no normalisation. Source: arXiv:1404.5997.

    Images are 224 x 224. Dropout comes before fc6 and fc7, so the output of `embed` is never dropped.
    """

    table = ONE_TOWER
    minimum_size = 63
    ceil = False


class CaffeNet128(CaffeNet):
    """CaffeNet for 128 x 128 pixels, used to compare 200 design choices. Source: arXiv:1606.02228, section 2."""

    table = CAFFENET_128


def normalise_by_tower(net: nn.Module) -> None:
    """Let each tower normalise its own maps, in place: then the towers meet in conv3, fc6, fc7 and fc8 only."""
    for layer in net.children():
        if isinstance(layer, nn.Sequential) and isinstance(norm := getattr(layer, "norm", None), LRN):
            layer.norm = LRN(norm.size, alpha=norm.alpha, beta=norm.beta, k=norm.k, groups=2)


VARIANTS = {
    "alexnet": Variant(AlexNet, {}),
    "alexnet_towers": Variant(AlexNet, {}, normalise_by_tower),
    "alexnet_tiny": Variant(AlexNet, {"width": 1 / 16}),
    "caffenet": Variant(CaffeNet, {}),
    "alexnet_one_tower": Variant(AlexNetOneTower, {}),
    "caffenet128": Variant(CaffeNet128, {}),
}

# Deviations. alexnet: 227 pixels where the paper states 224 (see the class). The towers are groups of one convolution,
# so their maps are adjacent in one tensor, and normalisation crosses the boundary between them; in alexnet_towers it
# does not, and `striate.nets.two_towers` runs that on two devices, as the paper did. The paper scales activations by
# 0.5 in testing; here they are scaled up in training, which is equivalent. Its 60 million parameters are 60,965,224.
# caffenet: normalises with Caffe's constants (see LRN) and starts from Caffe's weights and biases. alexnet_one_tower:
# the paper describes the net only briefly; layers and dropout are the PyTorch library's, the initialisation is
# alexnet's. caffenet128: its authors start from LSUV, which needs images; here from Caffe's initialisation.
# alexnet_tiny is ours, for tests.
