"""Convolutions whose kernels are not weights but made by a small network, from an embedding for each layer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import RequestError


class KernelGenerator(nn.Module):
    """Makes kernels of one size from embeddings: [tiles, embedding] -> [tiles, outputs, inputs, kernel, kernel].

    Two linear layers: the first gives a vector of `hidden` numbers for each input channel, the second, shared by the
    channels, makes of each the kernels from that channel to all outputs. Equal embeddings give equal kernels.
    Source: Ha, Dai, Le 2016, arXiv:1609.09106, equation 2.
    """

    def __init__(self, embedding: int, hidden: int, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.embedding, self.hidden, self.inputs, self.outputs, self.kernel = embedding, hidden, inputs, outputs, kernel
        self.by_input = nn.Linear(embedding, inputs * hidden)
        self.to_kernels = nn.Linear(hidden, outputs * kernel**2)

    def forward(self, embeddings: Tensor) -> Tensor:
        by_input = self.by_input(embeddings).view(-1, self.inputs, self.hidden)
        kernels: Tensor = self.to_kernels(by_input)
        return kernels.view(-1, self.inputs, self.outputs, self.kernel, self.kernel).transpose(1, 2)


class HyperConv2d(nn.Module):
    """A convolution whose kernel `generator` makes; its own parameters are embeddings [tiles, embedding].

    A kernel with more channels than the generator's is put together of its tiles, which have an embedding each: of the
    first input channels the tiles to all outputs, then those of the next. Several layers share one generator. Input
    [N, in_channels, H, W], output [N, out_channels, h, w]. `bias`: whether there is one, a parameter of its own.
    Raises RequestError for channels that are no multiples of the generator's.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        generator: KernelGenerator,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
    ) -> None:
        if in_channels % generator.inputs or out_channels % generator.outputs:
            tile = f"{generator.outputs} x {generator.inputs}"
            raise RequestError(f"kernels of {tile} channels cannot fill one of {out_channels} x {in_channels}")
        super().__init__()
        self.generator, self.stride, self.padding = generator, stride, padding
        self.in_channels, self.out_channels = in_channels, out_channels
        self.tiles = (in_channels // generator.inputs, out_channels // generator.outputs)
        self.embeddings = nn.Parameter(torch.randn(self.tiles[0] * self.tiles[1], generator.embedding))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def kernel(self) -> Tensor:
        """The kernel [out_channels, in_channels, kernel, kernel]."""
        made: Tensor = self.generator(self.embeddings)
        side = self.generator.kernel
        tiled = torch.unflatten(made, 0, self.tiles).permute(1, 2, 0, 3, 4, 5)
        return tiled.reshape(self.out_channels, self.in_channels, side, side)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel(), self.bias, self.stride, self.padding)

    def multiply_adds(self, output: Tensor) -> int:
        """Of the convolution, for one image; those that make its kernel are the generator's."""
        return output.numel() * self.in_channels * self.generator.kernel**2

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, tiles={self.tiles[0]}x{self.tiles[1]}"
