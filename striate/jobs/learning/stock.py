"""The decoded images of a source, ready for many epochs: packed on disk and mapped, or in memory for arrays."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.data.audit.findings import Usable
from striate.data.audit.looking import Memory, Record, look
from striate.data.pack.cache import automatic_pack
from striate.data.pack.writing import pack_pixels
from striate.data.sources.arrays import ArraySource
from striate.data.sources.base import Item, Source
from striate.errors import WorkError
from striate.jobs.keeping import keep
from striate.pixels import Images, Pixels
from striate.progress import Progress

LARGEST = 8 * 2**30  # bytes of crops that are kept in memory where no pack can be written


@dataclass(frozen=True, eq=False)
class Stock:
    """pairs: every item and what was found of it. exact: uint8 [M, H, W, C], the usable ones in order, as prediction
    crops them; roomy: the same images somewhat larger, for augmentation that zooms, or `exact` again."""

    pairs: list[tuple[Item, Record]]
    exact: Images
    roomy: Images

    def of(self, usable: Sequence[Usable]) -> Shelf:
        """The images of an audit's usable entries."""
        keys = [item.key for item, record in self.pairs if not record.problem]
        place = {key: number for number, key in enumerate(keys)}
        return Shelf(np.array([place[entry.item.key] for entry in usable], np.int64), (self.exact, self.roomy))


@dataclass(frozen=True, eq=False)
class Shelf:
    """Images by their place among the usable ones. places: where in the arrays each lies."""

    places: np.ndarray[tuple[int], np.dtype[np.int64]]
    arrays: tuple[Images, Images]

    @property
    def roomy(self) -> bool:
        """Whether the images to learn from show more than prediction sees."""
        return self.arrays[1].shape[1:3] != self.arrays[0].shape[1:3]

    def exact(self, rows: Sequence[int]) -> Images:
        """Images as prediction crops them, uint8 [len(rows), H, W, C], copied into memory."""
        return np.asarray(self.arrays[0][self.places[list(rows)]])

    def learnt_from(self) -> Tensor:
        """All images as uint8 [M, C, Hs, Ws], a view: only what is asked for is read."""
        return _tensor(self.arrays[1])

    def watched(self) -> Tensor:
        """The same at the size of prediction."""
        return _tensor(self.arrays[0])

    def among(self, rows: Sequence[int]) -> Tensor:
        """Where in those tensors the images of `rows` are, int64."""
        return torch.from_numpy(self.places[list(rows)])


def stocked(source: Source, pixels: Pixels, *, roomy: bool, progress: Progress) -> Stock:
    """Decode everything once, or find it decoded. `roomy`: also at a size above the network's."""
    memory = Memory(source)
    if isinstance(source, ArraySource):
        stock = _in_memory(source, pixels, memory, progress)
    else:
        try:
            packed = automatic_pack(source, pixels, progress=progress, memory=memory)
            wide = automatic_pack(source, pack_pixels(pixels), progress=progress, memory=memory) if roomy else packed
            stock = Stock(packed.pairs, packed.images, wide.images)
        except WorkError as error:  # a cache that cannot be written is no reason for work to fail
            need = len(source.items) * pixels.height * pixels.width * pixels.channels
            if need > LARGEST:
                raise
            progress.say(f"{error}; this run keeps its images in memory")
            stock = _in_memory(source, pixels, memory, progress)
    keep(lambda: memory.save([record.digest for _, record in stock.pairs if record.digest]), progress)
    return stock


def _in_memory(source: Source, pixels: Pixels, memory: Memory, progress: Progress) -> Stock:
    pairs, crops = [], []
    with progress.bar("Looking at the images", len(source.items)) as bar:
        for looked in look(source, pixels, memory=memory):
            pairs.append((looked.item, looked.record))
            crops += [looked.crop] if looked.crop is not None else []
            bar.advance()
    exact = np.stack(crops) if crops else np.zeros((0, pixels.height, pixels.width, pixels.channels), np.uint8)
    return Stock(pairs, exact, exact)


def _tensor(images: Images) -> Tensor:
    # A map of a file is read-only, which torch warns of; nothing here writes to it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(images).permute(0, 3, 1, 2)
