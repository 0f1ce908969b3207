"""Compound scaling (EfficientNet) by its formula alone, compared with the published networks.

Mingxing Tan, Quoc V. Le, ICML 2019. arXiv:1905.11946, section 3.3, equation 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch

from striate.anatomy.summary import madds, parameters
from striate.errors import RequestError
from striate.nets.build import create, variant_of
from striate.nets.catalog import defaults_of, entry
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


class Constants(NamedTuple):
    """alpha, beta and gamma of equation 3: the bases of depth, width and resolution."""

    depth: float
    width: float
    resolution: float

    @property
    def product(self) -> float:
        """alpha x beta^2 x gamma^2: by what a step of phi multiplies the multiply-adds, before rounding."""
        return self.depth * self.width**2 * self.resolution**2


LARGEST = 4  # of the constants: 4 ** 10 times as many layers is beyond any memory
PUBLISHED = Constants(DEPTH_BASE, WIDTH_BASE, RESOLUTION_BASE)


class Scaled(NamedTuple):
    """A network scaled by `phi`. width, depth: the options; resolution: the side of its images."""

    phi: float
    width: float
    depth: float
    resolution: int
    parameters: int
    madds: int


def scaled(
    net: str, phi: float, *, constants: Constants = PUBLISHED, options: Mapping[str, object] | None = None
) -> Scaled:
    """Equation 3 for any network with the options width and depth: its own times beta^phi and alpha^phi.

    The resolution is the network's times gamma^phi, to the nearest pixel; channels are rounded to multiples of 8 and
    layers up, by the network. Parameters and multiply-adds are counted, on the meta device.
    Raises RequestError for a network without these options, and for values that it does not take.
    """
    given = {**variant_of(net).options, **(options or {})}
    base = {name: given.get(name, 1.0) for name in ("width", "depth")}
    side = (defaults_of(entry(net), given).input_size or entry(net).input_size)[0]
    if not 0 <= phi <= 10 or not all(1 <= one <= LARGEST for one in constants):
        numbers = ", ".join(f"{one:g}" for one in constants)
        raise RequestError(
            f"phi is from 0 to 10, and alpha, beta and gamma are 1 at least and {LARGEST} at most, "
            f"not {phi} and {numbers}"
        )
    sizes = base["width"] * constants.width**phi, base["depth"] * constants.depth**phi
    chosen = {**(options or {}), "width": sizes[0], "depth": sizes[1]}
    resolution = round(side * constants.resolution**phi)
    with torch.device("meta"):
        made = create(net, input_size=(resolution, resolution), options=chosen)
    return Scaled(phi, *sizes, resolution, parameters(made), madds(made, (resolution, resolution)))


def _counts(width: float, depth: float, resolution: int) -> tuple[int, int]:
    with torch.device("meta"):
        net = EfficientNet(width=width, depth=depth)
    return parameters(net), madds(net, (resolution, resolution))
