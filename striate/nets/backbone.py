"""The module that an engine runs: uint8 images to the embedding (or the logits), with normalisation inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.layers.whitening import GlobalContrast, Whiten
from striate.nets.kinds import Captioner
from striate.pixels import Pixels

Tensors = Mapping[str, NDArray[np.float32]]


class Normalise(nn.Module):
    """uint8 [N, H, W, C], as `Pixels.apply` makes them -> the network's input, float32 [N, C, H, W].

    It is that of `normalisation` with the images' axes moved.
    """

    def __init__(self, pixels: Pixels, tensors: Tensors | None = None) -> None:
        super().__init__()
        self.inner = normalisation(pixels, tensors)

    def forward(self, images: Tensor) -> Tensor:
        """The images' axes moved, and normalised."""
        normalised: Tensor = self.inner(images.permute(0, 3, 1, 2))
        return normalised


class Standardise(nn.Module):
    """uint8 [N, C, H, W] -> (pixel - mean) / std in float32; mean [1, C, 1, 1] or [1, C, H, W], std [1, C, 1, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return (images.float() - self.mean) / self.std


class Contrast(nn.Sequential):
    """uint8 [N, C, H, W] -> float32: global contrast normalisation, then whitening where the matrix is given."""

    def forward(self, images: Tensor) -> Tensor:
        x = images.float()
        for part in self:
            x = part(x)
        return x


def normalisation(pixels: Pixels, tensors: Tensors | None = None) -> nn.Module:
    """uint8 images [N, C, H, W], as `Pixels.apply` makes them -> the network's input, float32 of the same shape.

    tensors: of the model file: "mean_image" [H, W, C], subtracted in place of the mean of `pixels`; "zca.weight" [D, D]
    and "zca.bias" [D], applied after the contrast of `pixels`.
    """
    given = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in (tensors or {}).items()}
    if pixels.contrast:
        whiten = [Whiten(given["zca.weight"], given["zca.bias"])] if "zca.weight" in given else []
        return Contrast(GlobalContrast(pixels.contrast), *whiten)
    mean, std = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (pixels.mean, pixels.std))
    if "mean_image" in given:
        mean = given["mean_image"].permute(2, 0, 1)[None].contiguous()
    return Standardise(mean, std)


class Backbone(nn.Module):
    """uint8 [N, H, W, C] -> float32 [N, D]: the embedding below a linear head, or the logits of a net without one.

    tensors: of the normalisation, see there. layer: a stage of the net whose feature map, averaged over space, is the
    output instead.
    """

    def __init__(
        self,
        net: nn.Module,
        pixels: Pixels,
        *,
        embedding: bool,
        tensors: Tensors | None = None,
        layer: str = "",
    ) -> None:
        super().__init__()
        self.net = net
        self.embedding = embedding
        self.layer = layer
        self.normalise = Normalise(pixels, tensors)

    def forward(self, images: Tensor) -> Tensor:
        """The embedding, the logits, or the pooled feature map, of images that `Pixels.apply` made."""
        x = self.normalise(images)
        net: Any = self.net
        if self.layer:
            pooled: Tensor = net.maps(x)[self.layer].mean(dim=(2, 3))
            return pooled
        output: Tensor = net.embed(x) if self.embedding else net(x)
        return output


class CaptionSearch(nn.Module):
    """uint8 [N, H, W, C] -> the words of the captions that the search of a captioner finds: float32 [N, T], whole."""

    def __init__(self, net: Captioner, pixels: Pixels, tensors: Tensors | None = None) -> None:
        super().__init__()
        self.net = net
        self.normalise = Normalise(pixels, tensors)

    def forward(self, images: Tensor) -> Tensor:
        """Numbers of words."""
        return self.net.caption(self.normalise(images)).float()

    def candidates(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """All captions in the beam: see `Captioner.candidates`."""
        return self.net.candidates(self.normalise(images))
