"""The module that an engine runs: uint8 images to the embedding (or the logits), with normalisation inside."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.pixels import Pixels


class Normalise(nn.Module):
    """uint8 [N, H, W, C], as `Pixels.apply` makes them -> the network's input, float32 [N, C, H, W].

    mean_image [H, W, C]: subtracted in place of the mean of `pixels`.
    """

    def __init__(self, pixels: Pixels, mean_image: NDArray[np.float32] | None = None) -> None:
        super().__init__()
        mean = torch.tensor(pixels.mean).reshape(1, -1, 1, 1)
        if mean_image is not None:
            mean = torch.from_numpy(np.array(mean_image, np.float32)).permute(2, 0, 1)[None]
        self.register_buffer("mean", mean.contiguous(), persistent=False)
        self.register_buffer("std", torch.tensor(pixels.std).reshape(1, -1, 1, 1), persistent=False)

    mean: Tensor
    std: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """(pixel - mean) / std."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.std


class Backbone(nn.Module):
    """uint8 [N, H, W, C] -> float32 [N, D]: the embedding below a linear head, or the logits of a net without one.

    mean_image [H, W, C]: subtracted in place of the mean of `pixels`. layer: a stage of the net whose feature map,
    averaged over space, is the output instead.
    """

    def __init__(
        self,
        net: nn.Module,
        pixels: Pixels,
        *,
        embedding: bool,
        mean_image: NDArray[np.float32] | None = None,
        layer: str = "",
    ) -> None:
        super().__init__()
        self.net = net
        self.embedding = embedding
        self.layer = layer
        self.normalise = Normalise(pixels, mean_image)

    def forward(self, images: Tensor) -> Tensor:
        """The embedding, the logits, or the pooled feature map, of images that `Pixels.apply` made."""
        x = self.normalise(images)
        net: Any = self.net
        if self.layer:
            pooled: Tensor = net.maps(x)[self.layer].mean(dim=(2, 3))
            return pooled
        output: Tensor = net.embed(x) if self.embedding else net(x)
        return output
