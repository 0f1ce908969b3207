"""Global contrast normalisation, and whitening by a fixed matrix."""

from __future__ import annotations

from torch import Tensor, nn

from striate.pixels import FLAT_NORM


class GlobalContrast(nn.Module):
    """Each image minus its mean, divided by its norm and times `scale`; an image of one colour is all zeros.

    Input and output [N, C, H, W], on the scale 0 .. 255. Source: Goodfellow et al. 2013, arXiv:1302.4389, section 5.2,
    and the authors' code (pylearn2), with a scale of 55.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean((1, 2, 3), keepdim=True)
        norm = centred.square().sum((1, 2, 3), keepdim=True).sqrt()
        return centred * (self.scale * (norm >= FLAT_NORM) / norm.clamp_min(FLAT_NORM))

    def extra_repr(self) -> str:
        return f"{self.scale:g}"


class Whiten(nn.Module):
    """y = weight x + bias for all values of an image, by channel, row and column. [N, C, H, W] to the same shape.

    weight [D, D] and bias [D] are fixed: see `striate.data.augment.whitening.fit_zca`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x.flatten(1), self.weight, self.bias).reshape(x.shape)
