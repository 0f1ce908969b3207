"""Squeeze-and-excitation: each channel scaled by a gate computed from all channels."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Each channel times a number from 0 to 1, computed from the means of all channels.

    Squeeze: the mean of each channel over its pixels. Excite: a fully connected layer down to `squeezed` numbers,
    `act`, one back up to all channels, sigmoid. Scale: the input times that. The two layers are written as 1x1
    convolutions of a 1x1 map, as the authors' published networks have them; `bias` gives both a bias.
    Input and output [N, channels, H, W]. Source: Hu, Shen, Sun 2017 (arXiv:1709.01507), section 3, equations 2 to 4.
    """

    def __init__(
        self, channels: int, squeezed: int, *, act: Callable[[], nn.Module] = nn.ReLU, bias: bool = True
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1, bias=bias)
        self.act = act()
        self.expand = nn.Conv2d(squeezed, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * weights.sigmoid()
