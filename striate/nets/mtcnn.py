"""MTCNN: Joint Face Detection and Alignment using Multi-task Cascaded Convolutional Networks.

Kaipeng Zhang, Zhanpeng Zhang, Zhifeng Li, Yu Qiao, IEEE Signal Processing Letters 2016. arXiv:1604.02878: a small
network looks at windows of 12 pixels everywhere and at every size, two larger ones look again at what is left. The
cascade that runs them on a picture is `striate.detectors.faces`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.tables import table

# Figure 2 of the paper; kernels, poolings and units. Every network ends in a face's probability and a box's correction,
# the last in five points, too. A pooling of stride 2 that is not full counts.
LAYERS = """
    net   side  conv1  pool1  conv2  pool2  conv3  pool3  conv4  units
    pnet  12    3x10   2      3x16   -      3x32   -      -      -
    rnet  24    3x28   3      3x48   3      2x64   -      -      128
    onet  48    3x32   3      3x64   3      3x64   2      2x128  256
"""


class Row(NamedTuple):
    net: str
    side: int
    conv1: str
    pool1: int
    conv2: str
    pool2: int | None
    conv3: str
    pool3: int | None
    conv4: str | None
    units: int | None


ROWS = {row.net: row for row in table(Row, LAYERS)}


class Found(NamedTuple):
    """What a network says of windows: the probability of a face, the box's correction in sides of the window, and x of
    five points and y of them as shares of the box, where it has those. [N, h, w, ...] of P-Net, else [N, ...]."""

    face: Tensor
    box: Tensor
    points: Tensor | None = None


class MtcnnNet(nn.Module):
    """One of the three networks: windows [N, 3, side, side], or for "pnet" images of any size, -> `Found`.

    Input: (RGB - 127.5) / 128. Names of weights are those of facenet-pytorch, so that its files are loaded as they are.
    """

    table = LAYERS

    def __init__(self, name: str) -> None:
        super().__init__()
        self.row = row = ROWS[name]
        self.convolutions = [text for text in (row.conv1, row.conv2, row.conv3, row.conv4) if text]
        self.pools = (row.pool1, row.pool2, row.pool3, None)
        channels = 3
        for number, text in enumerate(self.convolutions, 1):
            kernel, out = map(int, text.split("x"))
            self.add_module(f"conv{number}", nn.Conv2d(channels, out, kernel))
            self.add_module(f"prelu{number}", nn.PReLU(out))
            channels = out
        last = len(self.convolutions) + 1
        if row.units is None:
            self.ends = [f"conv{last}_{number}" for number in (1, 2)]
            for end, out in zip(self.ends, (2, 4), strict=True):
                self.add_module(end, nn.Conv2d(channels, out, 1))
            return
        self.add_module(f"dense{last}", nn.Linear(channels * 9, row.units))
        self.add_module(f"prelu{last}", nn.PReLU(row.units))
        outs = (2, 4, 10) if name == "onet" else (2, 4)
        self.ends = [f"dense{last + 1}_{number}" for number in range(1, len(outs) + 1)]
        for end, out in zip(self.ends, outs, strict=True):
            self.add_module(end, nn.Linear(row.units, out))

    def forward(self, x: Tensor) -> Found:
        """Windows -> what is in them."""
        for number, pool in zip(range(1, len(self.convolutions) + 1), self.pools, strict=False):
            x = getattr(self, f"prelu{number}")(getattr(self, f"conv{number}")(x))
            if pool is not None:
                x = nn.functional.max_pool2d(x, pool, 2, ceil_mode=True)
        if self.row.units is not None:
            last = len(self.convolutions) + 1
            x = x.permute(0, 3, 2, 1).flatten(1)  # the order of the published weights: columns first
            x = getattr(self, f"prelu{last}")(getattr(self, f"dense{last}")(x))
        found = [getattr(self, end)(x) for end in self.ends]
        if self.row.units is None:
            found = [one.permute(0, 2, 3, 1) for one in found]
        return Found(torch.softmax(found[0], -1)[..., 1], found[1], found[2] if len(found) > 2 else None)


# Deviations: none known; the published weights have one PReLU slope for each channel, and the paper says nothing of
# that. Trained in the paper on WIDER FACE and CelebA with losses weighted by network; here the networks are run only.
