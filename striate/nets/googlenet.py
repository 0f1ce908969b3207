"""Going Deeper with Convolutions: GoogLeNet, the first Inception network.

Christian Szegedy, Wei Liu, Yangqing Jia, Pierre Sermanet, Scott Reed, Dragomir Anguelov, Dumitru Erhan, Vincent
Vanhoucke, Andrew Rabinovich, 2014. arXiv:1409.4842.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.branches import Branches
from striate.layers.conv import ConvAct, ConvNormAct
from striate.layers.lrn import LRN
from striate.nets.base import Variant
from striate.nets.cells import MapSize, Patch
from striate.nets.initialise import caffe_xavier
from striate.nets.options import check_dropout, check_width, scaled
from striate.nets.supervised import Supervised
from striate.tables import table

# Table 1. `3x3r` and `5x5r` are the 1x1 reductions before, `pool` the 1x1 projection after the module's max pooling.
TABLE = """
    stage        type         patch  output      depth  #1x1  #3x3r  #3x3  #5x5r  #5x5  pool  params  ops
    conv1        convolution  7x7/2  112x112x64  1      -     -      -     -      -     -     2.7K    34M
    pool1        max_pool     3x3/2  56x56x64    0      -     -      -     -      -     -     -       -
    conv2        convolution  3x3/1  56x56x192   2      -     64     192   -      -     -     112K    360M
    pool2        max_pool     3x3/2  28x28x192   0      -     -      -     -      -     -     -       -
    inception3a  inception    -      28x28x256   2      64    96     128   16     32    32    159K    128M
    inception3b  inception    -      28x28x480   2      128   128    192   32     96    64    380K    304M
    pool3        max_pool     3x3/2  14x14x480   0      -     -      -     -      -     -     -       -
    inception4a  inception    -      14x14x512   2      192   96     208   16     48    64    364K    73M
    inception4b  inception    -      14x14x512   2      160   112    224   24     64    64    437K    88M
    inception4c  inception    -      14x14x512   2      128   128    256   24     64    64    463K    100M
    inception4d  inception    -      14x14x528   2      112   144    288   32     64    64    580K    119M
    inception4e  inception    -      14x14x832   2      256   160    320   32     128   128   840K    170M
    pool4        max_pool     3x3/2  7x7x832     0      -     -      -     -      -     -     -       -
    inception5a  inception    -      7x7x832     2      256   160    320   32     128   128   1072K   54M
    inception5b  inception    -      7x7x1024    2      384   192    384   48     128   128   1388K   71M
    pool5        avg_pool     7x7/1  1x1x1024    0      -     -      -     -      -     -     -       -
    dropout      dropout_40%  -      1x1x1024    0      -     -      -     -      -     -     -       -
    linear       linear       -      1x1x1000    1      -     -      -     -      -     -     1000K   1M
    softmax      softmax      -      1x1x1000    0      -     -      -     -      -     -     -       -
"""

# Figure 3: where local response normalisation follows, and which stages have an auxiliary head.
NORMALISED = ("pool1", "conv2")
AUXILIARY = {"inception4a": "auxiliary1", "inception4d": "auxiliary2"}
LAST_POOL = "pool4"


class Row(NamedTuple):
    stage: str
    type: str
    patch: Patch | None
    output: MapSize
    depth: int
    n1x1: int | None
    n3x3r: int | None
    n3x3: int | None
    n5x5r: int | None
    n5x5: int | None
    pool: int | None
    params: str
    ops: str


ROWS = table(Row, TABLE.replace("#", "n"))  # a field's name cannot start with #


class Widths(NamedTuple):
    """Channels of the six convolutions of a module."""

    n1x1: int
    n3x3r: int
    n3x3: int
    n5x5r: int
    n5x5: int
    pool: int


class Stage(NamedTuple):
    """The arguments of one stage; `widths` is all zeros except in a module and in conv2, which has a reduction too."""

    name: str
    type: str
    kernel: int
    stride: int
    in_channels: int
    channels: int
    widths: Widths


def stages(in_channels: int = 3, width: float = 1.0, *, naive: bool = False) -> Iterator[Stage]:
    """The rows up to the last map as stages, `width` times as wide.

    A naive module has no projection after its pooling, so its output contains all of its input channels.
    """
    for row in ROWS:
        if row.type not in ("convolution", "max_pool", "inception"):
            return
        kernel, stride = row.patch or Patch(0, 1)
        widths = Widths(*(scaled(channels, width) if channels else 0 for channels in row[5:11]))
        channels = in_channels
        if row.type == "convolution":
            channels = scaled(row.output.channels, width)
        elif row.type == "inception":
            channels = widths.n1x1 + widths.n3x3 + widths.n5x5 + (in_channels if naive else widths.pool)
        yield Stage(row.stage, row.type, kernel, stride, in_channels, channels, widths)
        in_channels = channels


class Layers(NamedTuple):
    """What stands in the place of the paper's layers. conv: makes a convolution and its activation.

    largest: the kernel of the modules' 5x5. last_pool: that of the pooling before 5a. normalised: whether there is
    local response normalisation.
    """

    conv: Callable[..., nn.Sequential] = ConvAct
    largest: int = 5
    last_pool: int = 3
    normalised: bool = True


# Read from torchvision's own network, which its published weights are for.
LAYERS = {
    "paper": Layers(),
    "torchvision": Layers(partial(ConvNormAct, norm=partial(nn.BatchNorm2d, eps=1e-3)), 3, 2, normalised=False),
}


class Inception(Branches):
    """The module with dimension reductions (Figure 2b): [N, in_channels, H, W] -> [N, sum of four widths, H, W].

    1x1 convolutions have three uses in it: alone, to group what is correlated at one place (section 3); before a larger
    convolution, to make it cheap; after the pooling, to choose its number of channels.
    """

    def __init__(self, in_channels: int, widths: Widths, layers: Layers = LAYERS["paper"]) -> None:
        conv, largest = layers.conv, layers.largest
        super().__init__(
            {
                "1x1": conv(in_channels, widths.n1x1, 1),
                "3x3": nn.Sequential(conv(in_channels, widths.n3x3r, 1), conv(widths.n3x3r, widths.n3x3, 3)),
                "5x5": nn.Sequential(conv(in_channels, widths.n5x5r, 1), conv(widths.n5x5r, widths.n5x5, largest)),
                "pool": nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(in_channels, widths.pool, 1)),
            }
        )


class NaiveInception(Branches):
    """The naive module (Figure 2a): the same filters directly on the input, and the pooled input as it is.

    Output [N, widths.n1x1 + widths.n3x3 + widths.n5x5 + in_channels, H, W]: more channels after every module.
    """

    def __init__(self, in_channels: int, widths: Widths, layers: Layers = LAYERS["paper"]) -> None:
        super().__init__(
            {
                "1x1": layers.conv(in_channels, widths.n1x1, 1),
                "3x3": layers.conv(in_channels, widths.n3x3, 3),
                "5x5": layers.conv(in_channels, widths.n5x5, layers.largest),
                "pool": nn.MaxPool2d(3, 1, 1),
            }
        )


class AuxiliaryHead(nn.Module):
    """Section 5: 5x5 average pooling of stride 3, 128 1x1 filters, a layer of 1024, 70 % dropout, a linear layer.

    `size` is the map's height and width, fixed by the fully connected layer; `width` scales 128 and 1024. Input
    [N, in_channels, *size], output [N, classes]. Raises RequestError for a map that pools to another size.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        classes: int,
        width: float,
        conv: Callable[..., nn.Sequential] = ConvAct,
    ) -> None:
        filters, hidden = scaled(128, width), scaled(1024, width)
        self.pooled = _pooled(size)
        super().__init__()
        self.pool = nn.AvgPool2d(5, 3)
        self.conv = conv(in_channels, filters, 1)
        self.full = nn.Linear(filters * math.prod(self.pooled), hidden)
        self.act = nn.ReLU()
        self.dropout = nn.Dropout(0.7)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        if _pooled(x.shape[2:]) != self.pooled:
            rows, columns = self.pooled
            raise RequestError(
                f"an auxiliary head takes maps that pool to {rows} x {columns}, unlike {x.shape[2]} x {x.shape[3]}: "
                "it was made for the network's input_size"
            )
        vector = self.dropout(self.act(self.full(self.conv(self.pool(x)).flatten(1))))
        logits: Tensor = self.head(vector)
        return logits


def _pooled(size: Sequence[int]) -> tuple[int, ...]:
    """Height and width of a map after 5x5 pooling of stride 3."""
    return tuple((side - 5) // 3 + 1 for side in size)


class GoogLeNet(Supervised):
    """The stages of the table, global average pooling, dropout, a linear layer; two auxiliary heads if `auxiliary`.

    `module` is "reduced" (Figure 2b, the paper's network) or "naive" (Figure 2a in its place everywhere); `width`
    multiplies all channels; `dropout` is the dropout rate of the pooled vector; `layers` are the paper's or those of
    torchvision's port: batch normalisation, 3x3 for 5x5, and a last pooling of 2x2. 224x224 images in the paper; any
    size of at least 32 is accepted, but auxiliary heads take images of about `input_size` only, which must be at least
    79. Raises RequestError for a width outside (0, 8] or a dropout outside [0, 1), or for auxiliary
    heads on smaller images.
    """

    table = TABLE
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        input_size: tuple[int, int] = (224, 224),
        auxiliary: bool = True,
        module: Literal["reduced", "naive"] = "reduced",
        width: float = 1.0,
        dropout: float = 0.4,
        layers: Literal["paper", "torchvision"] = "paper",
    ) -> None:
        made = LAYERS[layers]
        check_width(width)
        check_dropout(dropout)
        plan = list(stages(in_channels, width, naive=module == "naive"))
        heads = _heads(plan, input_size) if auxiliary else {}
        super().__init__()
        self.in_channels = in_channels
        for stage in plan:
            self.add_module(stage.name, _layers(stage, Inception if module == "reduced" else NaiveInception, made))
        for stage, size in heads.items():
            self.add_module(AUXILIARY[stage.name], AuxiliaryHead(stage.channels, size, classes, width, made.conv))
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = self.embedding_size = plan[-1].channels
        self.head = nn.Linear(self.embedding_size, classes)
        self.stages = tuple(stage.name for stage in plan)
        self.auxiliary_heads = AUXILIARY if auxiliary else {}
        caffe_xavier(self, bias=0.2)  # The paper does not state it; so the Caffe team's training of it.


def _heads(plan: Sequence[Stage], input_size: Sequence[int]) -> dict[Stage, tuple[int, int]]:
    """The stages that have an auxiliary head, with the size of their output map."""
    sizes = {stage: (_side(plan, stage, input_size[0]), _side(plan, stage, input_size[1])) for stage in plan}
    heads = {stage: size for stage, size in sizes.items() if stage.name in AUXILIARY}
    if min(side for size in heads.values() for side in size) < 5:
        given = " x ".join(map(str, input_size))
        raise RequestError(
            f"the auxiliary heads need images of at least 79 x 79 pixels, not {given}; a network without them, "
            "such as googlenet_no_aux, takes smaller ones"
        )
    return heads


def _side(plan: Sequence[Stage], last: Stage, side: int) -> int:
    """The side of the output map of `last`, for an image of that side: pooling rounds up, a convolution pads."""
    for stage in plan:
        if stage.type == "max_pool":
            side = -((3 - side) // 2) + 1
        elif stage.stride == 2:
            side = (side - 1) // 2 + 1
        if stage is last:
            break
    return side


def _layers(stage: Stage, module: type[Inception] | type[NaiveInception], made: Layers) -> nn.Module:
    if stage.type == "inception":
        return module(stage.in_channels, stage.widths, made)
    layers: list[nn.Module] = []
    between = stage.in_channels
    if stage.widths.n3x3r:
        layers.append(made.conv(between, stage.widths.n3x3r, 1))
        between = stage.widths.n3x3r
    if stage.type == "convolution":
        layers.append(made.conv(between, stage.channels, stage.kernel, stride=stage.stride))
    else:
        kernel = made.last_pool if stage.name == LAST_POOL else stage.kernel
        layers.append(nn.MaxPool2d(kernel, stage.stride, ceil_mode=True))
    if stage.name in NORMALISED and made.normalised:
        layers.append(LRN(5, alpha=1e-4 / 5, beta=0.75, k=1.0))
    return nn.Sequential(*layers)


VARIANTS = {
    "googlenet": Variant(GoogLeNet, {}),
    "googlenet_no_aux": Variant(GoogLeNet, {"auxiliary": False}),
    "googlenet_naive": Variant(GoogLeNet, {"auxiliary": False, "module": "naive"}),
    "googlenet_tiny": Variant(GoogLeNet, {"width": 0.125}),
}

# Where other numbers of Table 1 contradict its widths, the widths are used: conv1's 2.7K and 34M are those of the
# separable convolution (depth multiplier 8) that the authors trained, 4c has 509,440 weights and not 463K, 5a 1,042,432
# and 51M and not 1072K and 54M; a K is 1024 in several rows. All rows add up to 1.50 G multiply-adds in the paper, and
# with the plain conv1 of its Figure 3, built here, to 1.58 G.
# Deviations: none in the layers. Left open by the paper and taken from the Caffe team's training: the constants of the
# local response normalisation, pooling that rounds up, initialisation. googlenet_naive illustrates the paper's argument
# and is not a published network: Figure 2a in every place of Figure 2b. googlenet_tiny is ours, for tests.
