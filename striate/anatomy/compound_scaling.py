"""Compound scaling (EfficientNet) by its formula alone, compared with the published networks.

Mingxing Tan, Quoc V. Le, ICML 2019. arXiv:1905.11946, section 3.3, equation 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from striate.anatomy.summary import madds, parameters
from striate.nets.efficientnet import DEPTH_BASE, RESOLUTION_BASE, ROWS, SCALE_ROWS, WIDTH_BASE, EfficientNet


class Compound(NamedTuple):
    """A published network and the result of pure compound scaling of B0 with the same `phi`."""

    phi: int
    net: str
    width: float
    depth: float
    resolution: int
    parameters: int
    madds: int
    pure_width: float
    pure_depth: float
    pure_resolution: int
    pure_parameters: int
    pure_madds: int


def compound_scaling(phis: Iterable[int] = range(len(SCALE_ROWS))) -> list[Compound]:
    """Equation 3 compared with the published networks, a row for each of `phis`: the number in the name.

    Pure: depth 1.2^phi, width 1.1^phi, resolution 224 x 1.15^phi to the nearest pixel; channels and layers are rounded
    as everywhere. Parameters and multiply-adds are counted, each network at its own resolution.
    """
    found = []
    for phi in phis:
        scale = SCALE_ROWS[phi]
        width, depth = WIDTH_BASE**phi, DEPTH_BASE**phi
        resolution = round(ROWS[0].resolution * RESOLUTION_BASE**phi)
        published, pure = (_counts(*size) for size in (scale[1:4], (width, depth, resolution)))
        found.append(Compound(phi, *scale[:4], *published, width, depth, resolution, *pure))
    return found


def _counts(width: float, depth: float, resolution: int) -> tuple[int, int]:
    with torch.device("meta"):
        net = EfficientNet(width=width, depth=depth)
    return parameters(net), madds(net, (resolution, resolution))
