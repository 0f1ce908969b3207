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


def batches(epoch: Visits, batch: int, *, least: int = 1) -> Iterator[Visits]:
    """The visits of an epoch's batches; the last batch may be smaller.

    A last batch of fewer than `least` images is left out (other ones in every epoch), unless there is no other batch.
    """
    for start in range(0, count(len(epoch), batch, least=least) * batch, batch):
        yield epoch.of(slice(start, start + batch))


def count(samples: int, batch: int, *, least: int = 1) -> int:
    """How many batches `batches` gives."""
    short_tail = samples > batch >= least and 0 < samples % batch < least
    return -(-samples // batch) - short_tail


def pieces(batch: Visits, parts: int, *, least: int = 1) -> list[Visits]:
    """A batch in up to `parts` pieces of at least `least` images, dealt out like cards: piece i has every parts-th."""
    parts = max(1, min(parts, len(batch) // least))
    return [batch.of(slice(part, None, parts)) for part in range(parts)]


def least_batch(net: nn.Module) -> int:
    """The fewest images that `net` should learn from at once: two, where batch normalisation divides by a variance."""
    return 2 if any(isinstance(module, _BatchNorm) for module in net.modules()) else 1
