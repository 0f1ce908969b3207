"""The parameter-free shortcut across a change of shape."""

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
