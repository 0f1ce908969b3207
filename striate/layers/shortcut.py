"""Shortcuts without parameters across a change of shape."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ZeroPadShortcut(nn.Module):
    """Option A: the identity, taken at every `stride`-th pixel, with zeros for the new channels.

    Half of the zero channels come before the old channels and half after. Their position only numbers the channels;
    it is that of the published PyTorch checkpoints. Input [N, in, H, W], output [N, out, ceil(H/s), ceil(W/s)].
    Source: He, Zhang, Ren, Sun 2015, section 3.3 (option A) and 4.2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before

    def forward(self, x: Tensor) -> Tensor:
        strided = x[:, :, :: self.stride, :: self.stride]
        return F.pad(strided, (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        return f"zeros={self.before}+{self.after}, stride={self.stride}"


class PooledPadShortcut(nn.Module):
    """The identity, averaged over `stride` x `stride` pixels, with zeros after the old channels for the new ones.

    Windows that cross the border average what is within it. Input [N, in, H, W], output [N, out, ceil(H/s),
    ceil(W/s)]. Source: Huang et al. 2016 (arXiv:1603.09382), section 4; Han, Kim, Kim 2016 (arXiv:1610.02915).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.zeros = out_channels - in_channels
        self.pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(self.pool(x), (0, 0, 0, 0, 0, self.zeros))

    def extra_repr(self) -> str:
        return f"zeros={self.zeros}"
