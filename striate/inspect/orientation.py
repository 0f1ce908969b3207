"""How filters of a first layer answer to gratings: by their angle and their frequency.

The measure of selectivity is one less the circular variance of the answers by angle: Ringach, Shapley, Hawken 2002,
Journal of Neuroscience 22, who have it of cells of the striate cortex.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import RequestError

ANGLES, FREQUENCIES = 36, 24
LOWEST, HIGHEST = 0.02, 0.5  # cycles a pixel

Floats = NDArray[np.float64]


class Preferences(NamedTuple):
    """Of each filter [N]. angle: of the bars of the grating that it answers to most, in degrees: 0 is horizontal.

    frequency: of that grating, in cycles a pixel. selectivity: from 0, the same answer at every angle, to 1, an answer
    at one angle only; at that frequency. tuning [N, ANGLES]: the answers at that frequency, as shares of the largest,
    from the preferred angle on, in equal steps over half a turn.
    """

    angle: Floats
    frequency: Floats
    selectivity: Floats
    tuning: Floats


def preferences(weight: Tensor) -> Preferences:
    """Of filters [N, C, h, w], for grey gratings: the same in all channels.

    Raises RequestError for weights of another shape, and for filters of one pixel.
    """
    if weight.ndim != 4 or weight.shape[2] * weight.shape[3] == 1:
        raise RequestError(f"filters [N, C, h, w] of several pixels have a preferred angle, not {list(weight.shape)}")
    kernels = weight.detach().double().sum(1).flatten(1)
    rows, columns = torch.meshgrid(*(torch.arange(float(side)) for side in weight.shape[2:]), indexing="ij")
    # Rows grow downwards and angles turn upwards; a grating changes at a right angle to its bars.
    turned = torch.arange(ANGLES) * torch.pi / ANGLES
    across = columns.flatten()[:, None] * torch.sin(turned) + rows.flatten()[:, None] * torch.cos(turned)
    frequencies = torch.logspace(np.log10(LOWEST), np.log10(HIGHEST), FREQUENCIES)
    phases = 2 * torch.pi * frequencies[:, None, None] * across  # [frequencies, pixels, angles]
    answers = torch.hypot(
        *(torch.einsum("np,fpa->nfa", kernels, part.double()) for part in (phases.cos(), phases.sin()))
    )
    best = answers.flatten(1).argmax(1)
    frequency, angle = best // ANGLES, best % ANGLES
    at = answers[torch.arange(len(answers)), frequency]
    total = at.sum(1).clamp(min=1e-300)
    resultant = (at * torch.exp(2j * turned.double())).sum(1).abs() / total
    order = (angle[:, None] + torch.arange(ANGLES)) % ANGLES
    tuning = at.gather(1, order) / at.amax(1, keepdim=True).clamp(min=1e-300)
    degrees = 180.0 * angle.double() / ANGLES
    return Preferences(*(one.numpy() for one in (degrees, frequencies[frequency].double(), resultant, tuning)))
