"""The loss on a line or a plane through a network's weights, in filter-normalised random directions.

Source: Li, Xu, Taylor, Studer, Goldstein 2018, arXiv:1712.09913, section 4.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import RequestError
from striate.progress import Progress

BATCH = 200


class Surface(NamedTuple):
    """steps [P]: how far along a direction, in lengths of each filter. losses [P, P] of a plane, [1, P] of a line.

    The first axis is the second direction. The middle, step 0, is the loss of the network itself.
    """

    steps: NDArray[np.float64]
    losses: NDArray[np.float64]


def filter_normalised(net: nn.Module, seed: int) -> dict[str, Tensor]:
    """A random direction for each weight of convolutions and linear layers, each filter as long as the network's own.

    Biases and the parameters of norms have none: they are left alone. The same seed gives the same direction.
    """
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter.dtype)
            rows, own = drawn.flatten(1), parameter.detach().flatten(1)
            scale = own.norm(dim=1, keepdim=True) / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
            found[name] = (rows * scale).view_as(parameter)
    return found


@torch.no_grad()
def loss_surface(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    points: int = 15,
    reach: float = 1.0,
    plane: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Surface:
    """The cross-entropy on images [N, C, H, W] with classes [N], around the network's weights, in evaluation mode.

    points: along each direction, an odd number, so that the middle is the network itself. reach: the largest step; at 1
    each filter has moved by its own length. plane: two directions, else one. `net` is not changed.
    Raises RequestError for an even number of points, or fewer than 3, and a reach that is not positive.
    """
    if points < 3 or points % 2 == 0:
        raise RequestError(f"points must be odd and at least 3, so that the middle is the network, not {points}")
    if not reach > 0:
        raise RequestError(f"reach must be above 0, not {reach}")
    moved = copy.deepcopy(net).eval()
    parameters = dict(moved.named_parameters())
    start = {name: parameter.clone() for name, parameter in parameters.items()}
    across, up = filter_normalised(net, 2 * seed), filter_normalised(net, 2 * seed + 1)
    steps = np.linspace(-reach, reach, points)
    rows = steps if plane else np.zeros(1)
    losses = np.zeros((len(rows), points))
    with (progress or Progress()).bar("Loss surface", losses.size) as bar:
        for row, vertical in enumerate(rows):
            for column, horizontal in enumerate(steps):
                for name, direction in across.items():
                    parameters[name].copy_(start[name] + horizontal * direction + vertical * up[name])
                losses[row, column] = _loss(moved, images, targets)
                bar.advance()
    return Surface(steps, losses)


def _loss(net: nn.Module, images: Tensor, targets: Tensor) -> float:
    """The mean over images, or over the pixels of masks that count."""
    parts = zip(torch.split(images, BATCH), torch.split(targets, BATCH), strict=True)
    total = sum(float(F.cross_entropy(net(x), y, reduction="sum")) for x, y in parts)
    return total / max(1, int((targets >= 0).sum()))
