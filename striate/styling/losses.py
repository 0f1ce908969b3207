"""What a picture should keep of a photograph and take of a painting, as a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CONTENT_LAYER = "conv4_2"


def gram(maps: Tensor) -> Tensor:
    """Maps [N, C, H, W] -> the mean products of every two of them over the places, [N, C, C], in float32."""
    flat = maps.float().flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


class StyleLoss(nn.Module):
    """How far pictures are from a painting's style: the mean over the layers of |G - A|^2 / |A|^2.

    G and A are the Gram matrices of picture and painting. The paper's weights 1 / (4 N^2 M^2) leave each layer its own
    scale, which depends on the network and on the painting, so that one layer may rule; divided by the painting's own
    energy each layer counts as much, for any painting, size and network. A grey picture without anything gives about 1.
    """

    def __init__(self, painting: dict[str, Tensor], layers: tuple[str, ...] = STYLE_LAYERS) -> None:
        super().__init__()
        self.targets = {name: gram(painting[name]).detach() for name in layers}

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        terms = [
            (gram(maps[name]) - target).square().sum((1, 2)).mean() / target.square().sum().clamp(min=1e-12)
            for name, target in self.targets.items()
        ]
        return torch.stack(terms).mean()


class ContentLoss(nn.Module):
    """How far a layer's maps are from the photograph's: |F - P|^2 / |P|^2."""

    def __init__(self, photograph: dict[str, Tensor], layer: str = CONTENT_LAYER) -> None:
        super().__init__()
        self.layer, self.target = layer, photograph[layer].detach().float()

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        far = (maps[self.layer].float() - self.target).square().sum()
        return far / self.target.square().sum().clamp(min=1e-12)


def total_variation(pictures: Tensor) -> Tensor:
    """The mean squared step between neighbouring pixels of 0 to 255, as a share of the squared range."""
    down, across = pictures.diff(dim=2), pictures.diff(dim=3)
    return (down.square().mean() + across.square().mean()) / 255**2
