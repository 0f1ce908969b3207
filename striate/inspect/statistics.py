"""Statistics of images and maps: how alike neighbours are, which channels go together, what a norm shares."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import RequestError


def neighbour_correlation(images: Tensor, distances: tuple[int, ...] = (1, 2, 4, 8, 16)) -> NDArray[np.float64]:
    """The correlation [distances] of pixels that are so many pixels apart, across and down, over images [N, C, H, W].

    Of values less their channel's mean. In photographs it is high for neighbours and falls with distance.
    Raises RequestError for a distance that the images do not have.
    """
    side = min(images.shape[2:])
    if not all(0 <= distance < side for distance in distances):
        raise RequestError(f"distances must be from 0 to {side - 1} pixels, not {max(distances)}")
    values = images.double() - images.double().mean((0, 2, 3), keepdim=True)
    variance = float(values.square().mean())
    found = []
    for distance in distances:
        end_down, end_across = values.shape[2] - distance, values.shape[3] - distance
        down = (values[:, :, :end_down] * values[:, :, distance:]).mean()
        across = (values[..., :end_across] * values[..., distance:]).mean()
        found.append(float(down + across) / 2 / variance)
    return np.array(found)


class Clusters(NamedTuple):
    """correlation [C, C] of channels over all places and images. groups: channels that go together, largest first.

    order: all channels, group by group: `correlation[order][:, order]` shows the groups as blocks.
    """

    correlation: NDArray[np.float64]
    groups: tuple[tuple[int, ...], ...]

    @property
    def order(self) -> list[int]:
        """The channels by group."""
        return [channel for group in self.groups for channel in group]


def channel_clusters(maps: Tensor, threshold: float = 0.5) -> Clusters:
    """The channels of maps [N, C, H, W] that are active at the same places, as groups.

    Groups are merged while the mean correlation between all their channels is above `threshold` (average linkage).
    Constant channels correlate with none. Source of the idea: Arora, Bhaskara, Ge, Ma 2013, arXiv:1310.6343.
    """
    values = maps.detach().double().transpose(0, 1).flatten(1)
    values = values - values.mean(1, keepdim=True)
    lengths = values.norm(dim=1, keepdim=True)
    unit = torch.where(lengths > 0, values / lengths.clamp(min=1e-300), torch.zeros(()).double())
    correlation = (unit @ unit.T).clamp(-1, 1).numpy()
    groups = [[channel] for channel in range(len(correlation))]
    between = correlation.copy()
    np.fill_diagonal(between, -np.inf)
    while len(groups) > 1:
        one, other = sorted(np.unravel_index(int(between.argmax()), between.shape))
        if between[one, other] <= threshold:
            break
        sizes = len(groups[one]), len(groups[other])
        joined = (sizes[0] * between[one] + sizes[1] * between[other]) / sum(sizes)
        between[one], between[:, one] = joined, joined
        between[one, one] = -np.inf
        between = np.delete(np.delete(between, other, 0), other, 1)
        groups[one] += groups.pop(other)
    ordered = sorted((tuple(sorted(group)) for group in groups), key=lambda group: (-len(group), group))
    return Clusters(correlation, tuple(ordered))


def shared_values(norm: nn.Module, shape: tuple[int, ...], place: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
    """Which values of a batch of `shape` share their mean and variance with that at `place` (default: the first).

    Found by trying: the value is changed, and these are the places at which the output changes, in training mode. It is
    the cube of Wu and He's Figure 2 (arXiv:1803.08494). `norm` is not changed: its statistics are put back.
    """
    at = place or (0,) * len(shape)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    changed = x.clone()
    changed[at] += 10
    mode, kept = norm.training, {name: value.clone() for name, value in norm.state_dict().items()}
    norm.train().double()
    try:
        with torch.no_grad():
            different = (norm(x) - norm(changed)).abs() > 1e-9
    finally:
        numbers = {value.dtype for value in kept.values() if value.is_floating_point()} or {torch.float32}
        norm.to(numbers.pop()).train(mode)
        norm.load_state_dict(kept)
    found: NDArray[np.bool_] = different.numpy()
    return found


def shared_axes(norm: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of a batch of `shape` over which `norm` computes its mean and variance: (0, 2, 3) for batch norm.

    Of group norm the channels are among them, although a group has a part of them only: see `shared_values`.
    """
    shared = shared_values(norm, shape)
    axes = range(len(shape))
    return tuple(axis for axis in axes if shared.any(tuple(other for other in axes if other != axis)).sum() > 1)
