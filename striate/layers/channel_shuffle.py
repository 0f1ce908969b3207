"""The channel shuffle: channels of every group to every group."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelShuffle(nn.Module):
    """Channels written as a grid with a row for each group, read column by column; no computation, no parameters.

    Between two grouped convolutions each group of the second then sees channels of all groups of the first. `groups`
    divides the channels. Input and output [N, channels, H, W].
    Source: Zhang, Zhou, Lin, Sun 2017 (arXiv:1707.01083), section 3.1.
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        grid: Tensor = x.unflatten(1, (self.groups, -1))  # type: ignore[no-untyped-call]  # torch's
        return grid.transpose(1, 2).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
