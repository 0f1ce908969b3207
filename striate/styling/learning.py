"""Training a fast style net for one painting, on photographs.

Johnson, Alahi, Fei-Fei 2016. Smaller than there, to take minutes on a processor: 16 channels, small pieces of few
photographs, hundreds of steps where the paper has 40,000.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from striate.errors import RequestError, WorkError
from striate.pixels import Images
from striate.progress import Step
from striate.styling.fast_net import FastNet
from striate.styling.losses import ContentLoss, StyleLoss, total_variation
from striate.styling.painting import check_strength
from striate.styling.pictures import covering, to_tensor
from striate.styling.trunk import LEAST, Trunk
from striate.weights.vgg16_trunk import TrunkWeights

# The paper's layers of VGG-16 for the style; conv3_1 for the content, which keeps edges sharp.
STYLE_LAYERS, CONTENT_LAYER = ("conv1_2", "conv2_2", "conv3_3", "conv4_3"), "conv3_1"
PIECE = 128  # pixels of a side of what the network is trained on
LONGER = 256  # pixels of a photograph, and of the painting: brush strokes have their size at about this scale
BATCH = 2
RATE = 3e-3
SMOOTH = 0.2
# The output is MIDDLE + RANGE x that of the last convolution while it is trained, so that it is grey at first,
# not a black one; it would take hundreds of steps to get there. Folded into that convolution when it is saved.
MIDDLE, RANGE = 128.0, 64.0
WARM_UP = 0.1  # of the steps: until then the rate rises; afterwards it falls to zero as a cosine does


@dataclass(frozen=True)
class Lesson:
    """How to train. steps: of 2 pieces each. strength: of style against content. seed: of weights and pieces."""

    steps: int = 1000
    strength: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1_000_000:
            raise RequestError(f"steps is {self.steps}; it must be from 1 to 1,000,000")
        check_strength(self.strength)


def photograph_for_training(picture: Images) -> Images:
    """A photograph as it is kept for training: small, and no side below a piece's. Raises RequestError."""
    return covering(picture, LONGER, PIECE)


def train_fast_net(
    painting: Images,
    photographs: Sequence[Images],
    weights: TrunkWeights,
    lesson: Lesson,
    bar: Step,
    saved: Callable[[FastNet], None],
) -> FastNet:
    """A network that paints as the painting is.

    photographs: as `photograph_for_training` gives them. saved: called with the network ten times, the last time when
    it is trained. Raises WorkError if the loss is not finite.
    """
    torch.manual_seed(lesson.seed)
    drawing = np.random.default_rng(lesson.seed)
    net = FastNet().train()
    trunk = Trunk(weights, (*STYLE_LAYERS, CONTENT_LAYER))
    lower = Trunk(weights, (CONTENT_LAYER,))  # the photograph is looked at no higher
    with torch.no_grad():
        style = StyleLoss(trunk(to_tensor(covering(painting, LONGER, LEAST))), STYLE_LAYERS)

    def painted(pieces: Tensor) -> tuple[Tensor, str]:
        made = MIDDLE + RANGE * net(pieces)
        with torch.no_grad():
            content = ContentLoss(lower(pieces), CONTENT_LAYER)
        maps = trunk(made)
        content_loss, style_loss = content(maps), style(maps)
        loss = content_loss + lesson.strength * style_loss + SMOOTH * total_variation(made)
        return loss, f"content loss {content_loss.item():.3f}, style loss {style_loss.item():.3f}"

    _learn(net, painted, lesson.steps, partial(_pieces, photographs, drawing), bar, saved)
    return folded(net)


def _learn(
    net: FastNet,
    losses: Callable[[Tensor], tuple[Tensor, str]],
    steps: int,
    pieces: Callable[[], Tensor],
    bar: Step,
    saved: Callable[[FastNet], None],
) -> None:
    """Some steps of Adam on a loss that comes with words."""
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    every = max(1, steps // 10)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * _share(step / steps)
        loss, words = losses(pieces())
        if not math.isfinite(loss.item()):
            raise WorkError(f"the training is no longer finite at step {step + 1}: give a smaller strength")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        bar.note(words)
        bar.advance()
        if (step + 1) % every == 0 or step + 1 == steps:
            saved(folded(net))


def folded(net: FastNet) -> FastNet:
    """A copy for use, with the scale of its output inside."""
    made = copy.deepcopy(net).eval()
    with torch.no_grad():
        made.deconv3.conv2d.weight.mul_(RANGE)
        bias = made.deconv3.conv2d.bias
        assert bias is not None
        bias.mul_(RANGE).add_(MIDDLE)
    return made


def _share(done: float) -> float:
    """Of the learning rate, at a share of the steps."""
    return (
        max(done, 1e-3) / WARM_UP if done < WARM_UP else (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2
    )


def _pieces(photographs: Sequence[Images], drawing: np.random.Generator) -> Tensor:
    """A batch of pieces at random places, half of them mirrored."""
    found = []
    for number in drawing.integers(len(photographs), size=BATCH):
        picture = photographs[number]
        top, left = (int(drawing.integers(length - PIECE + 1)) for length in picture.shape[:2])
        piece = picture[top : top + PIECE, left : left + PIECE]
        found.append(to_tensor(piece[:, ::-1] if drawing.random() < 0.5 else piece))
    return torch.cat(found)
