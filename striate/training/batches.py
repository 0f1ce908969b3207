"""The sample order of an epoch, and its batches."""

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
class SampleOrder:
    """The order of samples: int64 [n] each. rows: their indices in the data set.

    keys: of their random draws; equal to `rows` for an image's first occurrence in an epoch, others for repeats.
    partners: which sample mixup mixes each with, an index into the epoch's samples.
    """

    rows: NDArray[np.int64]
    keys: NDArray[np.int64]
    partners: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, places: NDArray[np.int64] | slice) -> SampleOrder:
        """The samples at these positions."""
        return SampleOrder(self.rows[places], self.keys[places], self.partners[places])


def sample_order(samples: int, *, seed: int, epoch: int, weights: NDArray[np.float64] | None = None) -> SampleOrder:
    """As many samples as images, in a random order for this seed and epoch.

    Every image comes once; or, with sampling `weights` [samples], in proportion to its weight, rounded up or down; over
    many epochs the average is exact (systematic sampling: Madow 1949).
    Raises RequestError for invalid weights.
    """
    order = permutation(seed, epoch, samples)
    partners = permutation(seed, epoch, samples, Stream.PARTNER)
    if weights is None:
        return SampleOrder(order, order, partners)
    if weights.shape != (samples,) or not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
        raise RequestError(f"sampling needs {samples} weights, 0 or more and not all 0")
    shuffled = permutation(seed, epoch, samples, Stream.SPREAD)
    edges = np.cumsum(weights[shuffled], dtype=np.float64)
    points = np.arange(samples) + uniform(seed, epoch, 0, Stream.START)
    found = np.searchsorted(edges / edges[-1] * samples, points, side="right").clip(max=samples - 1)
    first = np.searchsorted(found, found)  # the points are sorted, so the samples of one image are contiguous
    rows = shuffled[found]
    keys = rows + samples * (np.arange(samples) - first)
    return SampleOrder(rows[order], keys[order], partners)


def batches(epoch: SampleOrder, batch: int, *, min_batch: int = 1) -> Iterator[SampleOrder]:
    """The samples of an epoch's batches; the last batch may be smaller.

    A last batch of fewer than `min_batch` images is dropped (different ones each epoch), unless it is the only one.
    """
    for start in range(0, count(len(epoch), batch, min_batch=min_batch) * batch, batch):
        yield epoch.of(slice(start, start + batch))


def count(samples: int, batch: int, *, min_batch: int = 1) -> int:
    """How many batches `batches` gives."""
    short_tail = samples > batch >= min_batch and 0 < samples % batch < min_batch
    return -(-samples // batch) - short_tail


def micro_batches(batch: SampleOrder, parts: int, *, min_batch: int = 1) -> list[SampleOrder]:
    """A batch as up to `parts` micro-batches of at least `min_batch` images; micro-batch i has every parts-th image
    from i on."""
    parts = max(1, min(parts, len(batch) // min_batch))
    return [batch.of(slice(part, None, parts)) for part in range(parts)]


def min_batch_of(net: nn.Module) -> int:
    """The minimum number of images to train `net` on at once: 2 with batch normalisation, which divides by a
    variance."""
    return 2 if any(isinstance(module, _BatchNorm) for module in net.modules()) else 1
