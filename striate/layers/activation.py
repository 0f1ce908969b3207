"""Activations that torch does not have, or not in this form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.maxout import Maxout


class ScaledTanh(nn.Module):
    """1.7159 tanh(2/3 a), element by element, any shape.

    The scale makes f(1) = 1 and f(-1) = -1, so that targets of +-1 are where the curvature is largest and not where the
    curve is flat. Source: LeCun, Bottou, Bengio, Haffner 1998, appendix A.
    """

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class RReLU(nn.RReLU):
    """Randomised leaky ReLU: x above 0, a x below, where a is drawn uniformly from `lower` to `upper` for each value.

    That is in training; in evaluation a is the mean of the bounds, so that a prediction depends on nothing random.
    The defaults are the paper's bounds, x / 8 and x / 3; it draws the divisor between them, and torch, as here, the
    slope. The same as torch's, but in evaluation a plain leaky ReLU, which every format can express. Any shape.
    Source: Xu, Wang, Chen, Li 2015, arXiv:1505.00853, section 2.4.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else F.leaky_relu(x, (self.lower + self.upper) / 2)


class MaxoutActivation(nn.Sequential):
    """max(W1 x + b1, W2 x + b2) over the channels x, in place of an activation; its parts are `pieces` and `maxout`.

    The two pieces are a linear layer over the channels of a vector [N, C], or of a map's places [N, C, H, W], which is
    a 1x1 convolution. They have 2 C (C + 1) parameters. At the start W1 is the identity and all else is zero: ReLU.
    MaxoutConv2d is a maxout layer whose pieces are convolutions of its input, as in the paper.
    Source: Goodfellow, Warde-Farley, Mirza, Courville, Bengio 2013, arXiv:1302.4389, section 3.
    """

    def __init__(self, channels: int, *, on_maps: bool) -> None:
        super().__init__()
        self.pieces = nn.Conv2d(channels, 2 * channels, 1) if on_maps else nn.Linear(channels, 2 * channels)
        self.maxout = Maxout(2)
        with torch.no_grad():
            for parameter in self.pieces.parameters():
                parameter.zero_()
            # The pieces of a channel are adjacent: the first of each pair is the channel itself.
            self.pieces.weight.view(channels, 2, channels)[:, 0].copy_(torch.eye(channels))
