"""Cognitron: A Self-organizing Multilayered Neural Network.

Kunihiko Fukushima. Biological Cybernetics 20, 1975.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.nets.base import Variant
from striate.nets.kinds import SelfOrganising
from striate.tables import table

# The paper's simulation; U0 is the image. A cell sees `kernel` x `kernel` cells of the layer below. It learns if
# none of the cells at most `vicinity` steps away responds more; `inhibits` x `inhibits` neighbours inhibit it.
COGNITRON = """
    layer  size  kernel  vicinity  inhibits  q0   q1
    U1     12    5       2         7         2.0  16.0
    U2     12    5       2         7         2.0  16.0
    U3     12    5       2         7         2.0  16.0
"""


class Row(NamedTuple):
    layer: str
    size: int
    kernel: int
    vicinity: int
    inhibits: int
    q0: float
    q1: float


ROWS = table(Row, COGNITRON)
FALL = 0.8  # how the weights of an inhibitory cell fall with the distance, which the paper does not print


class CognitronLayer(nn.Module):
    """Cells of two dimensions, each with weights of its own: nothing is shared. [N, 1, h, w] -> [N, 1, h, w].

    w = phi((e - h) / (1 + h)), with e = sum a u and h = b v, where v = sum c u is the weighted mean of what the cell
    sees: as weights grow the response depends on e / h alone, and for what is learned it tends to 1. Then neighbours
    inhibit each other: phi((w - g) / (1 + g)), where g is their mean. `branches`: so many further axons of each cell
    below end at a random other place. a [kernel^2 (1 + branches), h, w] and b [h, w] are learned.
    """

    def __init__(self, row: Row, size: tuple[int, int], branches: int) -> None:
        super().__init__()
        self.row, self.size = row, size
        places = row.kernel**2 * (1 + branches)
        self.a = nn.Parameter(torch.zeros(places, *size), requires_grad=False)
        self.b = nn.Parameter(torch.zeros(size), requires_grad=False)
        across = torch.arange(float(row.kernel)) - row.kernel // 2
        weights = (FALL ** torch.hypot(across[:, None], across)).flatten().repeat(1 + branches)
        self.register_buffer("c", (weights / weights.sum())[:, None, None], persistent=False)
        shifts = torch.eye(places).view(places, 1 + branches, row.kernel, row.kernel)
        self.register_buffer("shifts", shifts, persistent=False)
        neighbours = torch.ones(1, 1, row.inhibits, row.inhibits)
        neighbours[..., row.inhibits // 2, row.inhibits // 2] = 0
        self.register_buffer("around", neighbours / neighbours.sum(), persistent=False)
        shuffled = torch.stack([torch.randperm(size[0] * size[1]) for _ in range(branches)]) if branches else None
        self.register_buffer("ends", shuffled)

    c: Tensor
    shifts: Tensor
    around: Tensor
    ends: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        responses = self.cells(self.seen(x))
        inhibition = F.conv2d(responses, self.around, padding=self.row.inhibits // 2)
        return ((responses - inhibition) / (1 + inhibition)).relu()

    def seen(self, x: Tensor) -> Tensor:
        """What each cell sees of the layer below [N, 1, h, w]: [N, places, h, w]."""
        if self.ends is not None:
            x = torch.cat([x, *(x.flatten(2)[..., end].view_as(x) for end in self.ends)], 1)
        return F.conv2d(x, self.shifts, padding=self.row.kernel // 2)

    def cells(self, seen: Tensor) -> Tensor:
        """The responses [N, 1, h, w] before they inhibit each other."""
        excited = (self.a * seen).sum(1, keepdim=True)
        inhibited = self.b * (self.c * seen).sum(1, keepdim=True)
        return ((excited - inhibited) / (1 + inhibited)).relu()

    def reinforce(self, x: Tensor) -> None:
        """Learn from the map x [1, 1, h, w]: the cells than which none in their vicinity responds more.

        One that responds grows by q1, and its inhibition so that e / h tends to 2; one that does not, by q0, and less
        towards what it sees.
        """
        responses, seen = self(x)[0, 0], self.seen(x)[0]
        mean = (self.c * seen).sum(0)
        squares = (self.c * seen.square()).sum(0)
        active = responses > 0
        strength = torch.where(active, self.row.q1, self.row.q0) * (responses >= self.strongest(responses))
        # Where nothing is seen, nothing is learned: mean and squares are zero.
        growth = torch.where(active, squares / (2 * mean).clamp_min(1e-12), mean)
        self.a.add_(strength * self.c * seen)
        self.b.add_(strength * growth)

    def strongest(self, responses: Tensor) -> Tensor:
        """The largest response [h, w] in the vicinity of each cell, a diamond of 13 cells."""
        reach = self.row.vicinity
        steps = torch.arange(-reach, reach + 1).abs()
        near = (steps[:, None] + steps <= reach).flatten()
        around = F.unfold(F.pad(responses, [reach] * 4, value=-1.0)[None, None], 2 * reach + 1)[0]
        return around[near].amax(0).view(self.size)

    def multiply_adds(self, output: Tensor) -> int:
        """Of the sums e and v, and of the inhibition by neighbours, for one image."""
        return output.numel() * (2 * self.a.shape[0] + self.around.numel() - 1)


class Cognitron(SelfOrganising):
    """Three equal layers, each as large as the image.

    forward: images [N, 1, H, W] of `input_size`, ink 1 on 0 -> the responses of U3 [N, 1, H, W]. `branches`: 1 as in
    the simulation; 0 without the random second axon of each cell.
    """

    table = COGNITRON
    minimum_size = 1

    def __init__(self, *, input_size: tuple[int, int] = (12, 12), branches: int = 1) -> None:
        super().__init__()
        self.in_channels, self.input_size = 1, input_size
        for row in ROWS:
            self.add_module(row.layer.lower(), CognitronLayer(row, input_size, branches))
        self.stages = tuple(row.layer.lower() for row in ROWS)

    @torch.no_grad()
    def learn(self, image: Tensor) -> None:
        """Present one image [1, H, W]: each layer learns, then the next sees its new responses."""
        x = image[None]
        self.check(x)
        for stage in self.stages:
            layer = self.get_submodule(stage)
            assert isinstance(layer, CognitronLayer)
            layer.reinforce(x)
            x = layer(x)


VARIANTS = {
    "cognitron": Variant(Cognitron, {}),
    "cognitron_direct": Variant(Cognitron, {"branches": 0}),
    "cognitron_tiny": Variant(Cognitron, {}),
}

# Deviations: the weights c are not printed, only that they sum to 1; here they fall with the distance. Cells compare
# their responses after the inhibition by neighbours. Random axons are drawn once, when the net is made, and are part of
# its state. Multiply-adds are the products with a and c, and those of the inhibition. cognitron_direct has no random
# axons; cognitron_tiny is a small image's, for tests.
# Training: learn(image) for each of 0 to 4, twenty times; tests/nets/test_cognitron.py does.
