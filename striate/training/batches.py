"""The order of an epoch, cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.data.augment.keyed import Stream, permutation, uniform
from striate.errors import RequestError


@dataclass(frozen=True)
class Visits:
    """Images to be looked at, in order: int64 [n] each. rows: their places in the data set.

    keys: names for the draws, the same as `rows` the first time an image comes in an epoch, others after that.
    partners: whom mix-up mixes each with, a place among all visits of the epoch.
    """

    rows: NDArray[np.int64]
    keys: NDArray[np.int64]
    partners: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, places: NDArray[np.int64] | slice) -> Visits:
        """The visits at some places."""
        return Visits(self.rows[places], self.keys[places], self.partners[places])


def visits(samples: int, *, seed: int, epoch: int, chances: NDArray[np.float64] | None = None) -> Visits:
    """As many visits as there are images, in an order drawn for this seed and epoch.

    Every image comes once; or, with `chances` [samples], as often as its share of them says, rounded up or down: of the
    draws between, spread evenly over the images, each has its due in the long run (systematic sampling: Madow 1949).
    Raises RequestError for chances that are none.
    """
    order = permutation(seed, epoch, samples)
    partners = permutation(seed, epoch, samples, Stream.PARTNER)
    if chances is None:
        return Visits(order, order, partners)
    if chances.shape != (samples,) or not np.isfinite(chances).all() or chances.min() < 0 or not chances.any():
        raise RequestError(f"balanced sampling takes {samples} chances of 0 or more, not all 0")
    shuffled = permutation(seed, epoch, samples, Stream.SPREAD)
    edges = np.cumsum(chances[shuffled], dtype=np.float64)
    points = np.arange(samples) + uniform(seed, epoch, 0, Stream.START)
    found = np.searchsorted(edges / edges[-1] * samples, points, side="right").clip(max=samples - 1)
    first = np.searchsorted(found, found)  # the points are in order, so an image's visits stand together
    rows = shuffled[found]
    keys = rows + samples * (np.arange(samples) - first)
    return Visits(rows[order], keys[order], partners)


def batches(epoch: Visits, batch: int, *, spare_one: bool) -> Iterator[Visits]:
    """The visits of an epoch's batches; the last batch may be smaller.

    `spare_one` leaves out a last batch of a single image (another one in every epoch), unless there is no other batch.
    """
    for start in range(0, count(len(epoch), batch, spare_one=spare_one) * batch, batch):
        yield epoch.of(slice(start, start + batch))


def count(samples: int, batch: int, *, spare_one: bool) -> int:
    """How many batches `batches` gives."""
    lone_tail = spare_one and samples > batch > 1 and samples % batch == 1
    return -(-samples // batch) - lone_tail


def dislikes_one(net: nn.Module) -> bool:
    """Whether `net` should not learn from a batch of one image: batch normalisation has no variance to divide by."""
    return any(isinstance(module, _BatchNorm) for module in net.modules())
