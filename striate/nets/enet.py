"""ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation.

Adam Paszke, Abhishek Chaurasia, Sangpil Kim, Eugenio Culurciello, 2016. arXiv:1606.02147; Table 1, Figure 2, section 5,
and the authors' code (e-lab/ENet-training, train/models).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError
from striate.layers.unpooling import Unpooling
from striate.nets.base import Variant
from striate.nets.initialise import uniform_by_fan_in
from striate.nets.kinds import Segmenter
from striate.nets.options import check_width, scaled
from striate.tables import table
from striate.tasks.pixel_losses import enet_weights

# Table 1; `size` is that of the map for an image of 512. Section 3 is section 2 without its first block.
ENET = """
    block          type          channels  size
    initial        initial       16        256
    bottleneck1.0  downsampling  64        128
    bottleneck1.1  regular       64        128
    bottleneck1.2  regular       64        128
    bottleneck1.3  regular       64        128
    bottleneck1.4  regular       64        128
    bottleneck2.0  downsampling  128       64
    bottleneck2.1  regular       128       64
    bottleneck2.2  dilated2      128       64
    bottleneck2.3  asymmetric5   128       64
    bottleneck2.4  dilated4      128       64
    bottleneck2.5  regular       128       64
    bottleneck2.6  dilated8      128       64
    bottleneck2.7  asymmetric5   128       64
    bottleneck2.8  dilated16     128       64
    bottleneck4.0  upsampling    64        128
    bottleneck4.1  regular       64        128
    bottleneck4.2  regular       64        128
    bottleneck5.0  upsampling    16        256
    bottleneck5.1  regular       16        256
    fullconv       fullconv      classes   512
"""


class Row(NamedTuple):
    block: str
    type: str
    channels: str
    size: int


ROWS = table(Row, ENET)


class Block(NamedTuple):
    """The arguments of one bottleneck; `name` is its number within the section, `dropout` that of whole maps."""

    name: str
    type: str
    inputs: int
    outputs: int
    dropout: float


def sections(width: float = 1.0) -> dict[int, list[Block]]:
    """The rows of sections 1, 2, 4 and 5 as blocks; inputs are the channels of the row above."""
    found: dict[int, list[Block]] = {}
    inputs = scaled(int(ROWS[0].channels), width)
    for row in ROWS[1:-1]:
        section, _, number = row.block.removeprefix("bottleneck").partition(".")
        outputs = scaled(int(row.channels), width)
        dropout = {"1": 0.01, "2": 0.1}.get(section, 0.0)
        found.setdefault(int(section), []).append(Block(f"b{number}", row.type, inputs, outputs, dropout))
        inputs = outputs
    return found


_norm = partial(nn.BatchNorm2d, eps=1e-3)
Activation = Callable[[int], nn.Module]  # made for a number of channels


class Initial(nn.Module):
    """A convolution of stride 2 beside the image's own maximum over 2 x 2, concatenated. Source: Figure 2a."""

    def __init__(self, in_channels: int, channels: int) -> None:
        if channels <= in_channels:
            raise RequestError(
                f"the first block has {channels} maps, so an image of {in_channels} channels is too many"
            )
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels - in_channels, 3, 2, 1)
        self.pool = nn.MaxPool2d(2)
        self.norm, self.act = _norm(channels), nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.act(self.norm(torch.cat([self.conv(x), self.pool(x)], 1)))
        return joined


class Bottleneck(nn.Module):
    """1 x 1 convolution to a quarter of the maps, a middle one, 1 x 1 back; then the sum with the input.

    Source: Figure 2b. `act` is PReLU in the encoder, ReLU in the decoder.
    """

    def __init__(self, block: Block, act: Activation) -> None:
        super().__init__()
        inside = block.outputs // 4
        self.branch = _branch(block, _pointwise(block.inputs, inside), _middle(block.type, inside), act)
        self.act = act(block.outputs)

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = self.act(self.branch(x) + x)
        return summed


class Downsampling(nn.Module):
    """A bottleneck that begins with 2 x 2 at stride 2, beside maximum pooling padded by maps of zeros.

    [N, inputs, H, W] -> [N, outputs, H/2, W/2], and the places of the maxima, for `Upsampling`.
    """

    def __init__(self, block: Block, act: Activation) -> None:
        super().__init__()
        inside = block.outputs // 4
        first = nn.Conv2d(block.inputs, inside, 2, 2, bias=False)
        self.branch = _branch(block, first, _middle("regular", inside), act)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.added = block.outputs - block.inputs
        self.act = act(block.outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled, places = self.pool(x)
        return self.act(self.branch(x) + F.pad(pooled, (0, 0, 0, 0, 0, self.added))), places


class Upsampling(nn.Module):
    """A bottleneck with a transposed convolution of stride 2, beside unpooling: values return to the given places.

    [N, inputs, h, w] and places [N, outputs, h, w] -> [N, outputs, 2h, 2w].
    """

    def __init__(self, block: Block, act: Activation) -> None:
        super().__init__()
        inside = block.outputs // 4
        middle = nn.ConvTranspose2d(inside, inside, 3, 2, 1, output_padding=1)
        self.branch = _branch(block, _pointwise(block.inputs, inside), middle, act)
        self.shortcut = nn.Sequential(_pointwise(block.inputs, block.outputs), _norm(block.outputs))
        self.unpool = Unpooling(2)
        self.act = act(block.outputs)

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        summed: Tensor = self.act(self.branch(x) + self.unpool(self.shortcut(x), places))
        return summed


class ENetEncoder(Segmenter):
    """The encoder with a 1 x 1 convolution as classifier: logits of every eighth pixel; trained first.

    `width` multiplies all channels but the classes. Raises RequestError for a width outside (0, 8].
    """

    table = ENET
    minimum_size = 8
    multiple = 8
    stride = 8

    def __init__(self, *, classes: int = 19, in_channels: int = 3, width: float = 1.0) -> None:
        check_width(width)
        super().__init__()
        self.in_channels = in_channels
        blocks = sections(width)
        (down1, *rest1), (down2, *rest2) = blocks[1], blocks[2]
        self.initial = Initial(in_channels, down1.inputs)
        self.down1, self.section1 = Downsampling(down1, nn.PReLU), _row(rest1, nn.PReLU)
        self.down2, self.section2 = Downsampling(down2, nn.PReLU), _row(rest2, nn.PReLU)
        self.section3 = _row(rest2, nn.PReLU)
        self._add_rest(blocks, classes)
        self.stages = tuple(name for name, _ in self.named_children())
        _torch7(self)

    def _add_rest(self, blocks: dict[int, list[Block]], classes: int) -> None:
        self.classifier = nn.Conv2d(blocks[2][-1].outputs, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, classes, H / 8, W / 8]."""
        logits: Tensor = self.classifier(self._encoded(x)[0])
        return logits

    def _encoded(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The map of section 3, and the places of the maxima of the two down-samplings."""
        self.check(x)
        x, places1 = self.down1(self.initial(x))
        x, places2 = self.down2(self.section1(x))
        return self.section3(self.section2(x)), places1, places2


class ENet(ENetEncoder):
    """Encoder and decoder: logits of every pixel. `width` as in ENetEncoder."""

    stride = 1

    def _add_rest(self, blocks: dict[int, list[Block]], classes: int) -> None:
        (up4, *rest4), (up5, *rest5) = blocks[4], blocks[5]
        self.up4, self.section4 = Upsampling(up4, _relu), _row(rest4, _relu)
        self.up5, self.section5 = Upsampling(up5, _relu), _row(rest5, _relu)
        self.fullconv = nn.ConvTranspose2d(up5.outputs, classes, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, classes, H, W]."""
        x, places1, places2 = self._encoded(x)
        x = self.section4(self.up4(x, places2))
        logits: Tensor = self.fullconv(self.section5(self.up5(x, places1)))
        return logits

    def take(self, encoder: ENetEncoder) -> None:
        """Copy the weights of a trained encoder, without its classifier: the second step of the training.

        Raises RequestError for an encoder of another width or other channels.
        """
        trained = {key: value for key, value in encoder.state_dict().items() if not key.startswith("classifier.")}
        own = self.state_dict()
        if wrong := [key for key, value in trained.items() if key not in own or own[key].shape != value.shape]:
            raise RequestError(f"the encoder does not fit {self.name}: {wrong[0]}")
        self.load_state_dict(own | trained)


def class_weights(shares: Tensor, constant: float = 1.02) -> Tensor:
    """The weights of the classes in the loss, 1 / ln(constant + share): between 1.4 and 50 for the default.

    shares [classes]: of each class among the pixels of the training images. A class of no pixel gets 0.
    Source: section 5.2; the authors' code has 1.2 for the encoder.
    """
    return torch.from_numpy(enet_weights(shares.double().numpy(), constant)).to(shares.dtype)


def _row(blocks: list[Block], act: Activation) -> nn.Sequential:
    return nn.Sequential(OrderedDict((block.name, Bottleneck(block, act)) for block in blocks))


def _relu(channels: int) -> nn.Module:
    return nn.ReLU()


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def _middle(kind: str, channels: int) -> nn.Module:
    """The convolution in the middle of a bottleneck: 3 x 3, dilated, or 1 x 5 after 5 x 1."""
    if kind.startswith("asymmetric"):
        side = int(kind.removeprefix("asymmetric"))
        across = nn.Conv2d(channels, channels, (1, side), padding=(0, side // 2), bias=False)
        return nn.Sequential(across, nn.Conv2d(channels, channels, (side, 1), padding=(side // 2, 0)))
    dilation = int(kind.removeprefix("dilated")) if kind.startswith("dilated") else 1
    return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)


def _branch(block: Block, first: nn.Module, middle: nn.Module, act: Activation) -> nn.Sequential:
    inside = block.outputs // 4
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        reduce=first,
        norm1=_norm(inside),
        act1=act(inside),
        middle=middle,
        norm2=_norm(inside),
        act2=act(inside),
        expand=_pointwise(inside, block.outputs),
        norm3=_norm(block.outputs),
    )
    if block.dropout:
        parts["dropout"] = nn.Dropout2d(block.dropout)
    return nn.Sequential(parts)


@torch.no_grad()
def _torch7(net: nn.Module) -> None:
    """Weights and biases uniform in +- 1 / sqrt(fan-in), as Torch7 begins; of transposed convolutions as well."""
    uniform_by_fan_in(net, lambda fan_in: 1 / math.sqrt(fan_in))
    for module in net.modules():
        if isinstance(module, nn.ConvTranspose2d):
            bound = 1 / math.sqrt(module.in_channels * math.prod(module.kernel_size))
            for parameter in module.parameters():
                parameter.uniform_(-bound, bound)


VARIANTS = {
    "enet_19": Variant(ENet, {}),
    "enet_19_encoder": Variant(ENetEncoder, {}),
    "enet_tiny": Variant(ENet, {"width": 1 / 2}),
    "enet_encoder_tiny": Variant(ENetEncoder, {"width": 1 / 2}),
}

# Deviations, all from the authors' code, which this file follows where the paper is silent: a dropped map is zero and
# the others are scaled up in training, where Torch7 scales down in evaluation; batch normalisation begins with gains of
# 1, where Torch7 draws them from 0 to 1. As in the code, and unlike the paper, the decoder drops no maps. The second
# convolution of an asymmetric pair, and all others in the middle, have biases; without any the net has 363,599
# parameters. pytorchcv's enet_cityscapes is another net: bias-free, 358,060 parameters. Training (section 5.1): the
# encoder first, then the whole; Adam at 5e-4, L2 of 2e-4, batches of 10, and class_weights in the loss. `striate train
# DATA --net enet_19` trains the whole at once; tests/nets/test_enet.py has the two steps. The tiny nets are ours.
