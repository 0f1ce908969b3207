"""A fast style net over a picture of any size, tile by tile: as the whole picture at once, in the memory of one tile.

A pixel depends on its surroundings, which each tile overlaps, and by instance normalisation on the mean and variance of
the maps over the whole picture. These are computed first, layer after layer, each in a pass over the tiles with those
before it known. So there are no seams, at the price of about seven times the compute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import WorkError
from striate.pixels import Images
from striate.progress import Step
from striate.styling.fast_net import RADIUS, STRIDE, FastNet
from striate.styling.pictures import to_picture, to_tensor

SIDE = 512  # of a tile, without its overlap
# Of the maps at each normalisation, and of the output, against the picture.
STRIDES = (1, 2, *(STRIDE,) * 11, 2, 1, 1)
NORMS = len(STRIDES) - 1  # passes before the last


class Span(NamedTuple):
    """A tile along one side: it reads `start` to `end`, and `inner_start` to `inner_end` is its own."""

    start: int
    inner_start: int
    inner_end: int
    end: int


@dataclass
class Moments:
    """The count, mean and sum of squared deviations of each channel, over all tiles so far."""

    count: int
    mean: Tensor
    squared: Tensor

    @classmethod
    def none(cls, channels: int) -> Moments:
        """Of no places."""
        zeros = torch.zeros(channels, dtype=torch.float64)
        return cls(0, zeros, zeros.clone())

    def add(self, maps: Tensor) -> None:
        """Maps [1, C, H, W] join them (Chan, Golub and LeVeque 1979)."""
        flat = maps[0].flatten(1).double()
        places, mean = flat.shape[1], flat.mean(1)
        far, total = mean - self.mean, self.count + places
        self.squared += (flat - mean[:, None]).square().sum(1) + far.square() * (self.count * places / total)
        self.mean = self.mean + far * (places / total)
        self.count = total

    def normalise(self, norm: nn.InstanceNorm2d, maps: Tensor) -> Tensor:
        """The maps, normalised by these moments."""
        variance = (self.squared / self.count).float()
        return F.batch_norm(maps, self.mean.float(), variance, norm.weight, norm.bias, False, 0.0, norm.eps)


def passes(shape: tuple[int, ...], side: int = SIDE) -> int:
    """How many times tiles of a picture of this shape are computed in all: the steps of `paint_fast`'s bar."""
    tiles = len(list(_spans(shape[0], side))) * len(list(_spans(shape[1], side)))
    return 1 if tiles == 1 else tiles * (NORMS + 1)


def paint_fast(net: FastNet, picture: Images, bar: Step, side: int = SIDE) -> Images:
    """A picture, uint8 [H, W, 3], painted by the network. side: of the tiles, a multiple of 4.

    Raises RequestError for a picture that is too small; WorkError if the output is not finite.
    """
    painted = np.empty_like(picture)
    tiles = [(rows, columns) for rows in _spans(picture.shape[0], side) for columns in _spans(picture.shape[1], side)]
    with torch.inference_mode():
        if len(tiles) == 1:
            painted[:] = _finite(net(to_tensor(picture)))
            bar.advance()
            return painted
        known: list[Moments] = []
        for stride in STRIDES[:-1]:
            found = None
            for rows, columns in tiles:
                maps = _halted(net, _cut(picture, rows, columns), known)
                found = found or Moments.none(maps.shape[1])
                found.add(_inner(maps, rows, columns, stride))
                bar.advance()
            assert found is not None
            known.append(found)
        for rows, columns in tiles:
            inner = _inner(_halted(net, _cut(picture, rows, columns), known), rows, columns, 1)
            place = painted[rows.inner_start : rows.inner_end, columns.inner_start : columns.inner_end]
            place[:] = _finite(inner[..., : place.shape[0], : place.shape[1]])
            bar.advance()
    return painted


def _halted(net: FastNet, tile: Tensor, known: list[Moments]) -> Tensor:
    """The input of the first normalisation whose moments are not known; the output, if all are."""
    walk = net.walk(tile)
    norm, maps = next(walk)
    for moments in known:
        try:
            norm, maps = walk.send(moments.normalise(norm, maps))
        except StopIteration as end:
            found: Tensor = end.value
            return found
    return maps


def _spans(length: int, side: int) -> Iterator[Span]:
    for start in range(0, length, side):
        if start and length - start < RADIUS:
            return  # the one before has it
        last = length - start - side < RADIUS
        end = length if last else start + side
        yield Span(max(0, start - RADIUS), start, end, min(length, end + (0 if last else RADIUS)))


def _cut(picture: Images, rows: Span, columns: Span) -> Tensor:
    return to_tensor(picture[rows.start : rows.end, columns.start : columns.end])


def _inner(maps: Tensor, rows: Span, columns: Span, stride: int) -> Tensor:
    """The tile's own part of its maps of this stride."""
    for axis, span in ((2, rows), (3, columns)):
        start = (span.inner_start - span.start) // stride
        whole = span.inner_end == span.end  # at the picture's edge: to the end of the maps, which may be longer
        end = maps.shape[axis] if whole else (span.inner_end - span.start) // stride
        maps = maps.narrow(axis, start, end - start)
    return maps


def _finite(output: Tensor) -> Images:
    if not torch.isfinite(output).all():
        raise WorkError("the network's picture is not finite: its weights do not fit pictures of 0 to 255")
    return to_picture(output)
