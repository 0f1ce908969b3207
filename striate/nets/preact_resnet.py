"""Identity Mappings in Deep Residual Networks.

Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, ECCV 2016. arXiv:1603.05027.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from striate.errors import RequestError
from striate.nets.base import Net, Variant
from striate.nets.cells import Conv, Convs, Parts
from striate.nets.initialise import he_normal
from striate.nets.resnet import Stage, StrideIn
from striate.tables import table

# Table 1 and Figure 2, the shortcuts: the factors of the shortcut and the residual branch before they are
# added. g is a gate, sigmoid(1x1 convolution + bias). Error in per cent of ResNet-110 on CIFAR-10, with the original
# order of activations. The paper tries other factors and biases too.
SHORTCUTS = """
    case                  on_shortcut  on_residual  gate_bias  error
    original              1            1            -          6.61
    constant_scaling      0.5          0.5          -          12.35
    exclusive_gating      1-g          g            -6         8.70
    shortcut_only_gating  1-g          1            0          12.86
    conv_shortcut         1x1          1            -          12.22
    dropout_shortcut      dropout      1            -          >20
"""

# Table 2 and Figure 4, the order of activations in a unit: before the first convolution, between convolutions, after
# the last, after the addition. Error of ResNet-110 on CIFAR-10 in per cent.
ACTIVATIONS = """
    case                     before   between  after    after_addition  error
    original                 -        BN,ReLU  BN       ReLU            6.61
    bn_after_addition        -        BN,ReLU  -        BN,ReLU         8.17
    relu_before_addition     -        BN,ReLU  BN,ReLU  -               7.84
    relu_only_preactivation  ReLU     BN,ReLU  BN       -               6.71
    full_preactivation       BN,ReLU  BN,ReLU  -        -               6.37
"""

# The networks are those of the first ResNet paper. CIFAR: n units a stage, so 6n + 2 layers of basic or 9n + 2 of
# bottleneck units.
CIFAR_TABLE = """
    output_map_size  basic          bottleneck
    32               3x3,16;3x3,16  1x1,16;3x3,16;1x1,64
    16               3x3,32;3x3,32  1x1,32;3x3,32;1x1,128
    8                3x3,64;3x3,64  1x1,64;3x3,64;1x1,256
"""

# ImageNet: a 7x7 convolution of 64 filters and a 3x3 max pooling, each with stride 2, come before.
TABLE = """
    layer_name  output_size  bottleneck                n152  n200
    conv2_x     56           1x1,64;3x3,64;1x1,256     3     3
    conv3_x     28           1x1,128;3x3,128;1x1,512   8     24
    conv4_x     14           1x1,256;3x3,256;1x1,1024  36    36
    conv5_x     7            1x1,512;3x3,512;1x1,2048  3     3
"""


class ShortcutRow(NamedTuple):
    case: str
    on_shortcut: str
    on_residual: str
    gate_bias: int | None
    error: str


class ActivationRow(NamedTuple):
    case: str
    before: Parts
    between: Parts
    after: Parts
    after_addition: Parts
    error: float


class CifarRow(NamedTuple):
    output_map_size: int
    basic: Convs
    bottleneck: Convs


class Row(NamedTuple):
    layer_name: str
    output_size: int
    bottleneck: Convs
    n152: int
    n200: int


SHORTCUT_ROWS = {row.case: row for row in table(ShortcutRow, SHORTCUTS)}
ACTIVATION_ROWS = {row.case: row for row in table(ActivationRow, ACTIVATIONS)}
CIFAR_ROWS = table(CifarRow, CIFAR_TABLE)
ROWS = table(Row, TABLE)
STEM = Parts(("BN", "ReLU"))  # what follows the first convolution
Shortcut = Literal[
    "original", "constant_scaling", "exclusive_gating", "shortcut_only_gating", "conv_shortcut", "dropout_shortcut"
]
Activation = Literal[
    "original", "bn_after_addition", "relu_before_addition", "relu_only_preactivation", "full_preactivation"
]
Opening = Literal["shared", "own"]


def cifar_stages(units: int, bottleneck: bool) -> Iterator[Stage]:
    """The rows of the CIFAR table as stages, for `units` units a stage; without the first convolution."""
    in_channels, size = CIFAR_ROWS[0].basic[0].channels, CIFAR_ROWS[0].output_map_size
    for row in CIFAR_ROWS:
        convs = row.bottleneck if bottleneck else row.basic
        yield Stage(in_channels, convs, size // row.output_map_size, units)
        in_channels, size = convs[-1].channels, row.output_map_size


def stages(depth: int) -> Iterator[Stage]:
    """conv2_x to conv5_x as stages, for a depth of the ImageNet table; the pooling before has made the maps 56x56."""
    in_channels, size = ROWS[0].bottleneck[0].channels, ROWS[0].output_size
    for row in ROWS:
        convs = row.bottleneck
        yield Stage(in_channels, convs, size // row.output_size, getattr(row, f"n{depth}"))
        in_channels, size = convs[-1].channels, row.output_size


def activations(parts: Parts, channels: int) -> list[nn.Module]:
    """The layers of a cell such as `BN,ReLU`."""
    return [nn.BatchNorm2d(channels) if part == "BN" else nn.ReLU() for part in parts]


class Design(NamedTuple):
    """The options of every unit of a network: a case of Table 2, one of Table 1, the gates' bias, the strided layer.

    opening: of the first unit. "shared": its activation is that of the stem, for both branch and shortcut (section 4).
    "own": it is like all others, with an activation of its own.
    """

    activation: Activation
    shortcut: Shortcut
    gate_bias: float
    stride_in: StrideIn
    opening: Opening = "shared"


class Addition(nn.Module):
    """The sum of shortcut and residual branch, weighted by a row of Table 1.

    `x` is the gate's input: that of the unit. `gate_bias` is the gate's initial bias. Source: section 3.1.
    """

    def __init__(self, row: ShortcutRow, in_channels: int, channels: int, stride: int, gate_bias: float) -> None:
        super().__init__()
        self.row, self.gate_bias = row, gate_bias
        self.gate = nn.Conv2d(in_channels, channels, 1, stride) if row.gate_bias is not None else None
        self.dropout = nn.Dropout(0.5) if row.on_shortcut == "dropout" else nn.Identity()

    def forward(self, x: Tensor, shortcut: Tensor, residual: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x)) if self.gate is not None else None
        identity = _weighted(self.row.on_shortcut, self.dropout(shortcut), gate)
        return identity + _weighted(self.row.on_residual, residual, gate)

    def start_gate(self) -> None:
        """Set the gate's initial bias: at -6 the shortcut is almost fully open."""
        if self.gate is not None and self.gate.bias is not None:
            nn.init.constant_(self.gate.bias, self.gate_bias)


def _weighted(weight: str, y: Tensor, gate: Tensor | None) -> Tensor:
    if gate is not None and "g" in weight:
        return y * (gate if weight == "g" else 1 - gate)
    return y * 0.5 if weight == "0.5" else y


class Unit(nn.Module):
    """A residual unit: convolutions with the activations of a row of Table 2, and a shortcut of a row of Table 1.

    Where the shape changes, and everywhere with `conv_shortcut`, the shortcut is a 1x1 convolution of what the first
    convolution sees, with batch norm where the branch ends in one. `opens` marks the first unit of a network.
    """

    def __init__(self, in_channels: int, convs: tuple[Conv, ...], stride: int, design: Design, *, opens: bool) -> None:
        super().__init__()
        order, kind = ACTIVATION_ROWS[design.activation], SHORTCUT_ROWS[design.shortcut]
        strided = 0 if design.stride_in == "1x1" else [conv.kernel for conv in convs].index(3)
        channels = convs[-1].channels
        shared = opens and design.opening == "shared"
        self.before = nn.Sequential(*([] if shared else activations(order.before, in_channels)))
        branch: list[nn.Module] = []
        now = in_channels
        for place, conv in enumerate(convs):
            here = stride if place == strided else 1
            branch.append(nn.Conv2d(now, conv.channels, conv.kernel, here, conv.kernel // 2, bias=False))
            now = conv.channels
            branch += activations(order.after if place == len(convs) - 1 else order.between, now)
        self.residual = nn.Sequential(*branch)
        self.shortcut: nn.Sequential | None = None
        if stride > 1 or in_channels != channels or kind.on_shortcut == "1x1":
            norm = [nn.BatchNorm2d(channels)] if "BN" in order.after else []
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), *norm)
        self.addition = Addition(kind, in_channels, channels, stride, design.gate_bias)
        self.after = nn.Sequential(*activations(order.after_addition, channels))

    def forward(self, x: Tensor) -> Tensor:
        seen = self.before(x)
        shortcut = x if self.shortcut is None else self.shortcut(seen)
        out: Tensor = self.after(self.addition(x, shortcut, self.residual(seen)))
        return out


class _Units(Net):
    """The base of both networks: a stem, stages of units, the activation after the last of them, a linear layer."""

    def __init__(
        self, classes: int, in_channels: int, stem: list[nn.Module], rows: list[Stage], design: Design
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stem = nn.Sequential(*stem)
        names = [f"stage{number}" for number in range(1, len(rows) + 1)]
        for name, stage in zip(names, rows, strict=True):
            after = stage.convs[-1].channels
            units = [Unit(stage.in_channels, stage.convs, stage.stride, design, opens=name == names[0])]
            units += [Unit(after, stage.convs, 1, design, opens=False) for _ in range(stage.blocks - 1)]
            self.add_module(name, nn.Sequential(*units))
        self.last = nn.Sequential(*activations(ACTIVATION_ROWS[design.activation].before, after))
        self.head = nn.Linear(after, classes)
        self.stages = ("stem", *names, "last")
        self.feature_channels = self.embedding_size = after
        he_normal(self)
        for module in self.modules():
            if isinstance(module, Addition):
                module.start_gate()


class CifarPreActResNet(_Units):
    """The CIFAR network: a 3x3 convolution, three stages of units, global average pooling, a linear layer.

    `depth` is 6n + 2 of basic units or, with `bottleneck`, 9n + 2. `activation` is a case of Table 2, `shortcut` one of
    Table 1, `gate_bias` the initial bias of its gates. With "own" for `opening` the first activation is not the stem's
    but in the branch of the first unit. 32x32 images in the paper; any size of at least 8 is accepted.
    Raises RequestError for a depth that is not of that form or above 1202, or a gate bias outside -20 to 20.
    """

    table = CIFAR_TABLE
    minimum_size = 8

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 3,
        depth: int = 110,
        bottleneck: bool = False,
        activation: Activation = "full_preactivation",
        shortcut: Shortcut = "original",
        gate_bias: float = -6.0,
        stride_in: StrideIn = "1x1",
        opening: Opening = "shared",
    ) -> None:
        layers = 9 if bottleneck else 6
        if not layers + 2 <= depth <= 1202 or depth % layers != 2:
            examples = "110, 164, 1001" if bottleneck else "20, 56, 110"
            raise RequestError(f"depth must be {layers}n + 2, from {layers + 2} to 1202 ({examples}, ...), not {depth}")
        if not -20 <= gate_bias <= 20:
            raise RequestError(f"gate_bias must be in -20 to 20, not {gate_bias}")
        rows = list(cifar_stages((depth - 2) // layers, bottleneck))
        first = rows[0].in_channels
        followed = activations(STEM, first) if opening == "shared" else []
        stem = [nn.Conv2d(in_channels, first, 3, padding=1, bias=False), *followed]
        super().__init__(classes, in_channels, stem, rows, Design(activation, shortcut, gate_bias, stride_in, opening))


class PreActResNet(_Units):
    """The ImageNet network: the 7x7 convolution and pooling, four stages, global average pooling, a linear layer.

    `depth` is 152 or 200, of units with full pre-activation. With "own" for `opening` the first unit has an activation
    too, after the stem's and its pooling. 224x224 images in the paper; any size of at least 32 is accepted.
    """

    table = TABLE
    minimum_size = 32

    def __init__(
        self,
        *,
        classes: int = 1000,
        in_channels: int = 3,
        depth: Literal[152, 200] = 200,
        stride_in: StrideIn = "3x3",
        opening: Opening = "shared",
    ) -> None:
        rows = list(stages(depth))
        first = rows[0].in_channels
        conv = nn.Conv2d(in_channels, first, 7, 2, padding=3, bias=False)
        stem = [conv, *activations(STEM, first), nn.MaxPool2d(3, 2, padding=1)]
        design = Design("full_preactivation", "original", 0.0, stride_in, opening)
        super().__init__(classes, in_channels, stem, rows, design)


VARIANTS = {
    "preact_resnet110": Variant(CifarPreActResNet, {"depth": 110}),
    "preact_resnet164": Variant(CifarPreActResNet, {"depth": 164, "bottleneck": True}),
    "preact_resnet1001": Variant(CifarPreActResNet, {"depth": 1001, "bottleneck": True}),
    "preact_resnet152": Variant(PreActResNet, {"depth": 152}),
    "preact_resnet200": Variant(PreActResNet, {"depth": 200}),
    "preact_resnet_tiny": Variant(CifarPreActResNet, {"depth": 11, "bottleneck": True}),
}

# Choices that the paper leaves open: shortcuts between shapes are 1x1 convolutions (the authors' code), and where a
# shortcut of Table 1 meets a change of shape, its weights are put on that convolution. The first activation comes
# before the first unit branches (section 4), so it is in its shortcut too; some reimplementations of the 110 layers put
# it into the branch alone, with equally many parameters (`opening`). 1001 layers have 10,327,706 parameters, where the
# paper states 10.2 M. CIFAR units have the stride in the first 1x1 convolution, as the authors' code has it; ImageNet
# units in the 3x3 one, as the code that published ResNet-200 (fb.resnet.torch); `stride_in` changes it.
# preact_resnet_tiny is ours, for tests.
