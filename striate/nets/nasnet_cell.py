"""The cell of NASNet: lines of two operations on earlier states, and how its two inputs are made equally large.

Source: Zoph, Vasudevan, Shlens, Le 2017 (arXiv:1707.07012), and the authors' code (tensorflow/models,
research/slim/nets/nasnet/nasnet_utils.py), whose padding is TensorFlow's SAME.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.conv import SameConv2d
from striate.layers.drop_path import ScheduledDropPath
from striate.layers.pooling import SameAvgPool2d, SameMaxPool2d
from striate.nets.cells import Operation


class Line(NamedTuple):
    """A line of a cell's table: two operations, and the state that each is of: h, p or the number of a line."""

    left: Operation
    left_of: str
    right: Operation
    right_of: str


class How(NamedTuple):
    """What all layers of a network have in common: the normalisation, and whether averages count their padding."""

    norm: Callable[[int], nn.Module]
    count_border: bool


def projected(in_channels: int, channels: int, how: How) -> list[nn.Module]:
    """1x1 convolution, normalisation."""
    return [nn.Conv2d(in_channels, channels, 1, bias=False), how.norm(channels)]


def squeezed(in_channels: int, channels: int, how: How) -> nn.Sequential:
    """ReLU, 1x1 convolution, normalisation."""
    return nn.Sequential(nn.ReLU(), *projected(in_channels, channels, how))


def separable(in_channels: int, channels: int, operation: Operation, how: How) -> nn.Sequential:
    """ReLU, separable convolution, normalisation; twice, the stride in the first."""
    parts = []
    for stride in (operation.stride, 1):
        part = nn.Sequential()
        part.add_module("act", nn.ReLU())
        depthwise = SameConv2d(
            in_channels, in_channels, operation.kernel, stride=stride, groups=in_channels, bias=False
        )
        part.add_module("depthwise", depthwise)
        part.add_module("pointwise", nn.Conv2d(in_channels, channels, 1, bias=False))
        part.add_module("norm", how.norm(channels))
        parts.append(part)
        in_channels = channels
    return nn.Sequential(*parts)


class FactorizedReduction(nn.Module):
    """Half a map's sides without losing every other pixel: two 1x1 convolutions of stride 2, one a pixel further on.

    ReLU comes before, normalisation after. Input [N, in, H, W], output [N, out, ceil(H/2), ceil(W/2)].
    """

    def __init__(self, in_channels: int, channels: int, how: How) -> None:
        super().__init__()
        self.path1 = nn.Conv2d(in_channels, channels // 2, 1, bias=False)
        self.path2 = nn.Conv2d(in_channels, channels - channels // 2, 1, bias=False)
        self.norm = how.norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        further = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        paths = [self.path1(x[:, :, ::2, ::2]), self.path2(further[:, :, ::2, ::2])]
        out: Tensor = self.norm(torch.cat(paths, 1))
        return out


class Sum(nn.Module):
    """A line of a cell: two operations, added."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        out: Tensor = self.left(left) + self.right(right)
        return out


class Cell(nn.Module):
    """A cell of `filters` filters: its lines, and the states that are joined. Figure 4.

    Input [N, in_channels, H, W], and the output of an earlier stage, `back` stages before, [N, before_channels, H, W]
    or twice as large, if `larger`; `previous` makes p of it, as large as h. With `back` 1 it is the input, and p is as
    it is. `drop`: the highest rate of dropped paths, of all operations but identities. Output [N, channels, h, w].
    """

    def __init__(
        self,
        lines: Sequence[Line],
        joined: Sequence[str],
        filters: int,
        in_channels: int,
        before_channels: int,
        *,
        back: int,
        larger: bool,
        drop: float,
        how: How,
    ) -> None:
        super().__init__()
        self.back, self.lines_of, self.joined = back, tuple(lines), tuple(joined)
        self.squeeze = squeezed(in_channels, filters, how)
        self.previous: nn.Module = nn.Identity()
        widths = dict.fromkeys("hp12345", filters)
        if back == 1:
            widths["p"] = in_channels
        elif larger:
            self.previous = FactorizedReduction(before_channels, filters, how)
        elif before_channels != filters:
            self.previous = squeezed(before_channels, filters, how)
        self.lines = nn.ModuleList(
            Sum(*(_operation(one, widths[of], filters, drop, how) for one, of in (line[:2], line[2:])))
            for line in self.lines_of
        )
        adapt = "p" in self.joined and widths["p"] != filters
        self.adapt = nn.Sequential(*projected(widths["p"], filters, how)) if adapt else nn.Identity()
        self.channels = filters * len(self.joined)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        states = {"h": self.squeeze(x), "p": self.previous(before)}
        for number, (line, module) in enumerate(zip(self.lines_of, self.lines, strict=True), start=1):
            states[str(number)] = module(states[line.left_of], states[line.right_of])
        states["p"] = self.adapt(states["p"])
        return torch.cat([states[name] for name in self.joined], 1)


def _operation(operation: Operation, in_channels: int, channels: int, drop: float, how: How) -> nn.Module:
    kind, kernel, stride = operation
    if kind == "identity":
        return nn.Identity() if in_channels == channels else squeezed(in_channels, channels, how)
    if kind == "sep":
        made = separable(in_channels, channels, operation, how)
    else:
        pool: nn.Module
        if kind == "max":
            pool = SameMaxPool2d(kernel, stride)
        elif stride == 1:
            pool = nn.AvgPool2d(kernel, 1, kernel // 2, count_include_pad=False)
        else:
            pool = SameAvgPool2d(kernel, stride, count_border=how.count_border)
        made = nn.Sequential(pool)
        if in_channels != channels:
            made.extend(projected(in_channels, channels, how))
    if drop:
        made.add_module("drop", ScheduledDropPath(drop))
    return made
