"""Which entries of a map share their mean and deviation in each normalisation, found from the layers themselves.

Wu, He 2018, arXiv:1803.08494, Figure 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from striate.errors import RequestError, unknown
from striate.inspect.statistics import shared_values

Norm = Literal["batch", "layer", "instance", "group"]
NORMS: tuple[Norm, ...] = get_args(Norm)
EPSILON = 1e-12  # batch normalisation wants one above 0
AXES = ("N", "C", "H", "W")

# The layer for maps of a shape C x H x W and a number of groups, without scale and shift.
_LAYERS: Mapping[str, Callable[[Sequence[int], int], nn.Module]] = {
    "batch": lambda shape, groups: nn.BatchNorm2d(shape[0], eps=EPSILON, affine=False),
    "layer": lambda shape, groups: nn.LayerNorm(shape, eps=EPSILON, elementwise_affine=False),
    "instance": lambda shape, groups: nn.InstanceNorm2d(shape[0], eps=EPSILON),
    "group": lambda shape, groups: nn.GroupNorm(groups, shape[0], eps=EPSILON, affine=False),
}


def norm_layer(norm: Norm, shape: Sequence[int], groups: int = 2) -> nn.Module:
    """torch's layer in training mode, in float64, for maps of `shape` (C, H, W), without scale and shift.

    Epsilon is 1e-12. Raises RequestError for an unknown norm, and for groups that do not divide the channels.
    """
    if norm not in NORMS:
        raise unknown("normalisation", norm, NORMS)
    if norm == "group" and shape[0] % groups:
        raise RequestError(f"groups must divide the {shape[0]} channels, not be {groups}")
    return _LAYERS[norm](list(shape), groups).double().train()


def shared(norm: Norm, image: int, channel: int, shape: Sequence[int], groups: int = 2) -> NDArray[np.bool_]:
    """The entries of a map N x C x H x W on which the normalised value of (image, channel, 0, 0) depends.

    They are found from what the layer computes.
    """
    return shared_values(norm_layer(norm, shape[1:], groups), tuple(shape), (image, channel, 0, 0))


def averaged_axes(norm: Norm, shape: Sequence[int], groups: int = 2) -> tuple[str, ...]:
    """The axes along which entries share the statistics of their first; a group shares some of the channels only."""
    mask = shared(norm, 0, 0, shape, groups)
    first = (0, 0, 0, 0)
    return tuple(
        name
        for axis, name in enumerate(AXES)
        if mask[tuple(slice(None) if place == axis else at for place, at in enumerate(first))].sum() > 1
    )


def statistics_shape(norm: Norm, shape: Sequence[int], groups: int = 2) -> tuple[int, ...]:
    """The shape of the means: 1 along an axis that is averaged, and for group normalisation N x groups x 1 x 1."""
    axes = averaged_axes(norm, shape, groups)
    whole = [1 if name in axes else side for name, side in zip(AXES, shape, strict=True)]
    if norm == "group":
        whole[1] = groups
    return tuple(whole)


class Statistics(NamedTuple):
    """Of the entries that are normalised together: how many, their mean and standard deviation (of all, not n - 1)."""

    entries: int
    mean: float
    deviation: float


def statistics(norm: Norm, maps: ArrayLike, image: int, channel: int, groups: int = 2) -> Statistics:
    """What the entry (image, channel, 0, 0) of maps N x C x H x W is normalised with."""
    values = np.asarray(maps, dtype=np.float64)
    together = values[shared(norm, image, channel, values.shape, groups)]
    return Statistics(together.size, float(together.mean()), float(together.std()))
