"""A residual block applied several times: a recurrent layer, unrolled in time."""

from __future__ import annotations

from torch import Tensor, nn


class UnrolledBlock(nn.Module):
    """The block h <- ReLU(h + BN(conv2(ReLU(BN(conv1(h)))))), `steps` times with the same two 3x3 convolutions.

    `own_norms` gives each step batch norms of its own, whose statistics differ; otherwise all steps share them.
    Input and output [N, channels, H, W].
    Source: Liao, Poggio 2016, arXiv:1604.03640: a residual network with shared weights is a recurrent one.
    """

    def __init__(self, channels: int, steps: int, *, own_norms: bool) -> None:
        super().__init__()
        self.steps, self.own_norms = steps, own_norms
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        times = steps if own_norms else 1
        self.norm1 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(times))
        self.norm2 = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(times))
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        for step in range(self.steps):
            time = step if self.own_norms else 0
            inner = self.act(self.norm1[time](self.conv1(x)))
            x = self.act(x + self.norm2[time](self.conv2(inner)))
        return x

    def extra_repr(self) -> str:
        return f"steps={self.steps}"
