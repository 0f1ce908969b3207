"""How an output changes with the pixels: gradient, SmoothGrad and integrated gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import RequestError
from striate.inspect.outputs import Output, chosen, outputs_of
from striate.layers.modes import in_evaluation

PIECE = 8  # images at a time
FIRST_STEPS, MOST_STEPS = 16, 256
ENOUGH = 0.05  # a gap of integrated gradients that counts as converged


@dataclass(frozen=True, eq=False)
class Integrated:
    """Integrated gradients of one image: values [C, H, W], whose sum should be `change`, the output of the image less
    that of the baseline. steps: of the integral. gap: abs(sum - change) / abs(change). converged: it is at most 5 %.
    """

    values: NDArray[np.float32]
    change: float
    steps: int
    gap: float

    @property
    def converged(self) -> bool:
        """Whether the gap is at most 5 %."""
        return self.gap <= ENOUGH


def gradient(net: nn.Module, images: Tensor, output: Output) -> NDArray[np.float32]:
    """The gradient of an output in the pixels, for images [N, C, H, W] of the same shape.

    output: its index, or one for each image. In output (logits) per unit of the network's input.
    Source: Simonyan et al. 2013, arXiv:1312.6034.
    """
    found: NDArray[np.float32] = _gradient(net, images, output).cpu().numpy()
    return found


def smooth_gradient(
    net: nn.Module, images: Tensor, output: Output, *, samples: int = 16, noise: float = 0.15, seed: int = 0
) -> NDArray[np.float32]:
    """SmoothGrad: the mean gradient over `samples` copies of each image with normal noise, [N, C, H, W].

    noise: its standard deviation, as a share of the image's range. Raises RequestError for fewer than one sample.
    Source: Smilkov et al. 2017, arXiv:1706.03825.
    """
    if samples < 1:
        raise RequestError(f"samples must be at least 1, not {samples}")
    places = [output] * len(images) if isinstance(output, int) else list(output)
    draws = torch.Generator().manual_seed(seed)
    found = []
    for image, place in zip(images, places, strict=True):
        spread = noise * float(image.max() - image.min())
        total = torch.zeros_like(image)
        for start in range(0, samples, PIECE):
            count = min(PIECE, samples - start)
            noisy = torch.randn((count, *image.shape), generator=draws, dtype=image.dtype).to(image.device)
            total += _gradient(net, image + spread * noisy, place).sum(0)
        found.append(total / samples)
    result: NDArray[np.float32] = torch.stack(found).cpu().numpy()
    return result


def integrated_gradients(
    net: nn.Module, image: Tensor, output: int, *, baseline: Tensor | None = None, most_steps: int = MOST_STEPS
) -> Integrated:
    """Integrated gradients of one image [C, H, W]: what each value adds to the output, on the way from the baseline.

    baseline [C, H, W]: by default zeros, the mean colour for a normalised input. The steps of the integral (midpoint
    rule) are doubled from 16 until the values add up to the change of the output within 5 %, or `most_steps` are
    reached. Source: Sundararajan et al. 2017, arXiv:1703.01365.
    """
    start = torch.zeros_like(image) if baseline is None else baseline
    with in_evaluation(net), torch.no_grad():
        ends = chosen(outputs_of(net, torch.stack([image, start])), output)
    change, steps = float(ends[0] - ends[1]), min(FIRST_STEPS, most_steps)
    while True:
        values = _integrated(net, image, start, output, steps)
        gap = abs(float(values.sum()) - change) / max(abs(change), 1e-12)
        if gap <= ENOUGH or 2 * steps > most_steps:
            return Integrated(values.float().cpu().numpy(), change, steps, gap)
        steps *= 2


def _integrated(net: nn.Module, image: Tensor, start: Tensor, output: int, steps: int) -> Tensor:
    shares = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    total = torch.zeros_like(image, dtype=torch.float64)
    for piece in torch.split(shares.to(image), PIECE):
        path = start + piece[:, None, None, None] * (image - start)
        total += _gradient(net, path, output).sum(0)
    return total / steps * (image - start)


def _gradient(net: nn.Module, images: Tensor, output: Output) -> Tensor:
    pixels = images.detach().clone().requires_grad_()
    with in_evaluation(net), torch.enable_grad():
        total = chosen(outputs_of(net, pixels), output).sum()
        if not total.requires_grad:
            raise RequestError(f"the outputs of {type(net).__name__} have no gradient in the pixels")
        return torch.autograd.grad(total, pixels)[0]
