"""Style transfer by optimisation: the pixels themselves are changed until the losses are small.

Leon Gatys, Alexander Ecker, Matthias Bethge, A Neural Algorithm of Artistic Style, 2015. arXiv:1508.06576.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.errors import RequestError, WorkError
from striate.pixels import Images
from striate.progress import Step
from striate.styling.losses import CONTENT_LAYER, STYLE_LAYERS, ContentLoss, StyleLoss, total_variation
from striate.styling.pictures import covering, resized, to_picture, to_tensor
from striate.styling.trunk import LEAST, Trunk
from striate.weights.vgg16_trunk import TrunkWeights

SMALLEST, LARGEST = 64, 2048  # pixels of the longer side
# Steps at the sizes, the last of which is the wanted one: each is twice the one before. The large forms are made in the
# second, the brush strokes in the last.
STEPS = (40, 80, 40)
SMOOTH = 1.0  # weight of the total variation
NOISE = 2.0  # standard deviation of what is added to the photograph, in grey levels of 255
SHOWN_EVERY = 10  # steps

Shown = Callable[[Images], None]


@dataclass(frozen=True)
class Choices:
    """How to paint. size: the longer side in pixels. strength: of the style against the content. seed: of the noise."""

    size: int = 256
    strength: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not SMALLEST <= self.size <= LARGEST:
            raise RequestError(f"size is {self.size}; it must be from {SMALLEST} to {LARGEST} pixels")
        check_strength(self.strength)


def check_strength(strength: float) -> None:
    """Raise RequestError for a strength that is no positive number up to 1000; NaN is none."""
    if not 0 < strength <= 1000:
        raise RequestError(f"strength is {strength}; it must be above 0, and at most 1000")


@dataclass(frozen=True)
class Painted:
    """The picture, and what is left of the losses: about 0 is as the photograph, or as the painting."""

    picture: Images
    content_loss: float
    style_loss: float


def levels(shape: tuple[int, ...], size: int) -> list[tuple[int, int]]:
    """(longer side, steps) for a photograph of this shape, coarse to fine; sizes that are too small are left out."""
    share = min(shape[:2]) / max(shape[:2])
    found = [(size >> (len(STEPS) - 1 - place), steps) for place, steps in enumerate(STEPS)]
    return [one for one in found if one[0] == size or round(one[0] * share) >= LEAST]


def paint(
    photograph: Images, painting: Images, weights: TrunkWeights, choices: Choices, shown: Shown, bar: Step
) -> Painted:
    """The photograph, painted as the painting is.

    It starts from the photograph, not from the paper's noise: a few dozen steps are enough, where noise needs hundreds,
    and every part stays in its place. Noise of two grey levels, drawn by the seed, is added, for in an even area all
    places would have one gradient, and could never become brush strokes. From coarse to fine: large forms are cheap
    where they are few pixels wide. shown: called with the picture now and then, the last time with the result. bar:
    advances by one for each step of `levels`.

    In bfloat16 where the processor computes in it; the losses, the Gram matrices and L-BFGS are in float32.
    Raises RequestError for pictures whose shorter side is too short at the size; WorkError if the loss is not finite.
    """
    trunk = Trunk(weights, (*STYLE_LAYERS, CONTENT_LAYER))
    noise = torch.Generator().manual_seed(choices.seed)
    x: Tensor | None = None
    found = Painted(photograph, math.nan, math.nan)
    for longer, steps in levels(photograph.shape, choices.size):
        goal = to_tensor(resized(photograph, longer, LEAST))
        with torch.no_grad():
            content = ContentLoss(trunk(goal))
            style = StyleLoss(trunk(to_tensor(covering(painting, longer, LEAST))))
        if x is None:
            x = goal + NOISE * torch.randn(goal.shape, generator=noise)
        else:
            x = F.interpolate(x.clamp(0, 255), size=goal.shape[2:], mode="bicubic", align_corners=False).contiguous()
        found = _improve(x.requires_grad_(), trunk, (content, style), choices.strength, steps, shown, bar)
        x = x.detach()
    shown(found.picture)
    return found


def _improve(
    x: Tensor,
    trunk: Trunk,
    losses: tuple[ContentLoss, StyleLoss],
    strength: float,
    steps: int,
    shown: Shown,
    bar: Step,
) -> Painted:
    """Change `x` by some steps of L-BFGS, without a line search: an evaluation for each."""
    optimizer = torch.optim.LBFGS([x], lr=1, max_iter=1, history_size=20, tolerance_grad=0, tolerance_change=0)
    told = (math.nan, math.nan)

    def closure() -> Tensor:
        nonlocal told
        optimizer.zero_grad()
        maps = trunk(x)
        content, style = (loss(maps) for loss in losses)
        # A thousand times, because L-BFGS bounds its first step by the gradient's size.
        loss: Tensor = 1000 * (content + strength * style + SMOOTH * total_variation(x))
        if not math.isfinite(loss.item()):
            raise WorkError(f"the picture is no longer finite at strength {strength}: give a smaller strength or size")
        loss.backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        x.grad = x.grad.contiguous()  # L-BFGS takes a view of it
        told = content.item(), style.item()
        return loss

    for step in range(steps):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        bar.note(f"{max(x.shape[2:])} pixels, style loss {told[1]:.3f}")
        bar.advance()
        if step % SHOWN_EVERY == 0:
            shown(to_picture(x.detach()))
    picture = x.detach()
    if not torch.isfinite(picture).all():
        raise WorkError(f"the picture is no longer finite at strength {strength}: give a smaller strength or size")
    return Painted(to_picture(picture), *told)
