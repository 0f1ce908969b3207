"""Compound scaling (EfficientNet): the factors, the rounded stages, and parameters and multiply-adds by arithmetic.

Mingxing Tan, Quoc V. Le, ICML 2019. arXiv:1905.11946, section 3.3.
"""

from __future__ import annotations

from typing import NamedTuple

from striate.errors import RequestError
from striate.nets.efficientnet import (
    DEPTH_BASE,
    RESOLUTION_BASE,
    ROWS,
    WIDTH_BASE,
    EfficientNet,
    Stage,
    stages,
)

CLASSES = 1000


class Factors(NamedTuple):
    """How much deeper, wider and larger; `cost` is depth x width^2 x resolution^2."""

    depth: float
    width: float
    resolution: float
    cost: float


def factors(phi: float, alpha: float = DEPTH_BASE, beta: float = WIDTH_BASE, gamma: float = RESOLUTION_BASE) -> Factors:
    """Equation 3: alpha^phi, beta^phi and gamma^phi. Raises RequestError for a base below 1."""
    if min(alpha, beta, gamma) < 1:
        raise RequestError(f"alpha, beta and gamma must be at least 1, not {alpha}, {beta}, {gamma}")
    depth, width, resolution = alpha**phi, beta**phi, gamma**phi
    return Factors(depth, width, resolution, depth * width**2 * resolution**2)


def scaled_stages(width: float, depth: float) -> list[Stage]:
    """B0's stages, scaled: channels to multiples of 8, layers up, as in the authors' code."""
    return list(stages([EfficientNet.scaled(row, width, depth) for row in ROWS]))


class Counts(NamedTuple):
    """parameters; madds: multiply-adds for one image (convolutions and the linear layer)."""

    parameters: int
    madds: int


def counts(width: float, depth: float, resolution: int) -> Counts:
    """Parameters and multiply-adds of the scaled network, by the arithmetic of its layers alone.

    "Same" padding: a map of n pixels a side has ceil(n / stride) after a layer. With 1,000 classes.
    """
    weights, work, side = 0, 0, resolution
    channels = 3
    for stage in scaled_stages(width, depth):
        for layer in range(stage.layers):
            stride, given = (stage.stride, stage.in_channels) if layer == 0 else (1, stage.channels)
            before, side = side, -(-side // stride)
            if stage.operator == "Conv":
                weights += stage.kernel**2 * given * stage.channels + 2 * stage.channels
                work += stage.kernel**2 * given * stage.channels * side * side
            else:
                of_block = _block(stage, given, before, side)
                weights, work = weights + of_block.parameters, work + of_block.madds
        channels = stage.channels
    return Counts(weights + (channels + 1) * CLASSES, work + channels * CLASSES)


def _block(stage: Stage, given: int, before: int, side: int) -> Counts:
    """A mobile inverted bottleneck: expansion, depthwise, squeeze-and-excitation, projection; norms have two each."""
    wide, squeezed = given * stage.expansion, max(1, given // 4)
    expansion = given * wide if stage.expansion > 1 else 0
    depthwise, projection = stage.kernel**2 * wide, wide * stage.channels
    norms = 2 * (wide * (2 if stage.expansion > 1 else 1) + stage.channels)
    excitation = 2 * wide * squeezed
    weights = expansion + depthwise + projection + norms + excitation + squeezed + wide
    work = expansion * before * before + (depthwise + projection) * side * side + excitation
    return Counts(weights, work)
