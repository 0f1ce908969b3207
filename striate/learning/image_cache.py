"""The decoded images of a source, ready for many epochs: packed on disk and memory-mapped, or in memory for arrays."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from striate.data.audit.findings import Usable
from striate.data.audit.looking import Memory, Record, look
from striate.data.augment.crops import Several
from striate.data.pack.cache import automatic_pack
from striate.data.pack.writing import pack_pixels
from striate.data.sources.arrays import ArraySource
from striate.data.sources.base import Item, Source
from striate.data.sources.in_memory import ImageListSource
from striate.errors import RequestError, WorkError
from striate.learning.caching import try_to_save
from striate.pixels import Images, Pixels
from striate.progress import Progress
from striate.tasks.pixel_losses import VOID

LARGEST = 8 * 2**30  # bytes of crops that are held in memory if no pack can be written


@dataclass(frozen=True, eq=False)
class ImageCache:
    """Every item of a source, decoded.

    pairs: each item and its record. exact: the usable images in order, uint8 [M, H, W, C], cropped as for prediction.
    larger: the same images at a larger size, for augmentation that zooms, or `exact` itself. exact_masks, larger_masks:
    the masks of both, uint8 [M, H, W], of a task that is trained on masks.
    """

    pairs: list[tuple[Item, Record]]
    exact: Images
    larger: Images
    exact_masks: Images | None = None
    larger_masks: Images | None = None

    def of(self, usable: Sequence[Usable]) -> CachedImages:
        """The images of an audit's usable entries."""
        keys = [item.key for item, record in self.pairs if not record.problem]
        place = {key: number for number, key in enumerate(keys)}
        places = np.array([place[entry.item.key] for entry in usable], np.int64)
        return CachedImages(places, self.exact, self.larger, self.exact_masks, self.larger_masks)


@dataclass(frozen=True, eq=False)
class CachedImages:
    """The usable images of an audit. places [usable]: index of each in the arrays. Arrays: see `ImageCache`."""

    places: np.ndarray[tuple[int], np.dtype[np.int64]]
    exact_array: Images
    larger_array: Images
    exact_masks: Images | None = None
    larger_masks: Images | None = None

    @property
    def zoomed_out(self) -> bool:
        """Whether the training images have a margin around the prediction crop."""
        return self.larger_array.shape[1:3] != self.exact_array.shape[1:3]

    def exact(self, rows: Sequence[int]) -> Images:
        """Images cropped as for prediction, uint8 [len(rows), H, W, C], copied into memory."""
        return np.asarray(self.exact_array[self.places[list(rows)]])

    def masks(self, rows: Sequence[int], *, larger: bool = False) -> Images | None:
        """The masks of the images of `rows`, uint8 [len(rows), H, W], at either size; None of a task without masks."""
        array = self.larger_masks if larger else self.exact_masks
        return None if array is None else np.asarray(array[self.places[list(rows)]])

    def training_tensor(self) -> Tensor:
        """All images as uint8 [M, C, Hs, Ws], a view: only indexed rows are read."""
        return _tensor(self.larger_array)

    def evaluation_tensor(self) -> Tensor:
        """The same at the prediction size."""
        return _tensor(self.exact_array)

    def indices(self, rows: Sequence[int]) -> Tensor:
        """Indices into those tensors of the images of `rows`, int64."""
        return torch.from_numpy(self.places[list(rows)])


def cache_images(source: Source, pixels: Pixels, *, larger: bool, progress: Progress) -> ImageCache:
    """Decode everything once, or reuse the pack. `larger`: also at a size above the network's input size."""
    memory = Memory(source)
    if source.task.masks:  # a pack has none
        if _bytes(source, pixels) > LARGEST:
            raise RequestError(f"images and masks are held in memory: {len(source.items):,} of them are too many")
        cache = _with_masks(source, pixels, larger, memory, progress)
    elif isinstance(source, ArraySource | ImageListSource):
        cache = _in_memory(source, pixels, memory, progress)
    else:
        try:
            packed = automatic_pack(source, pixels, progress=progress, memory=memory)
            wide = automatic_pack(source, pack_pixels(pixels), progress=progress, memory=memory) if larger else packed
            cache = ImageCache(packed.pairs, packed.images, wide.images)
        except WorkError as error:  # a cache that cannot be written must not fail the run
            if _bytes(source, pixels) > LARGEST:
                raise
            progress.say(f"{error}; this run holds its images in memory")
            cache = _in_memory(source, pixels, memory, progress)
    try_to_save(lambda: memory.save([record.digest for _, record in cache.pairs if record.digest]), progress)
    return cache


def _in_memory(source: Source, pixels: Pixels, memory: Memory, progress: Progress) -> ImageCache:
    pairs, crops = [], []
    with progress.bar("Reading the images", len(source.items)) as bar:
        for looked in look(source, pixels, memory=memory):
            pairs.append((looked.item, looked.record))
            crops += [looked.crop] if looked.crop is not None else []
            bar.advance()
    exact = _stacked(crops, pixels.shape)
    return ImageCache(pairs, exact, exact)


def _with_masks(source: Source, pixels: Pixels, larger: bool, memory: Memory, progress: Progress) -> ImageCache:
    """The images and their masks in memory; if `larger`, also at the size of a pack."""
    wide = pack_pixels(pixels) if larger else pixels
    view, pairs = Several.of((pixels, wide)), []
    crops: dict[Pixels, list[Images]] = {each: [] for each in (pixels, wide)}
    masks: dict[Pixels, list[Images]] = {each: [] for each in (pixels, wide)}
    with progress.bar("Reading the images and masks", len(source.items)) as bar:
        for looked in look(source, view, memory=memory):
            pairs.append((looked.item, looked.record))
            if looked.crop is not None:
                if looked.mask is None:
                    raise RequestError(f"the source {source.name!r} gives no mask of {looked.item.key!r}")
                shown = view.parts(looked.crop[None])
                for each in crops:
                    crops[each].append(shown[each][0])
                    masks[each].append(each.apply_mask(looked.mask, VOID))
            bar.advance()
    stacked = {each: _stacked(crops[each], each.shape) for each in crops}
    of_masks = {each: _stacked(masks[each], each.shape[:2]) for each in crops}
    return ImageCache(pairs, stacked[pixels], stacked[wide], of_masks[pixels], of_masks[wide])


def _stacked(arrays: list[Images], shape: tuple[int, ...]) -> Images:
    return np.stack(arrays) if arrays else np.zeros((0, *shape), np.uint8)


def _bytes(source: Source, pixels: Pixels) -> int:
    return len(source.items) * pixels.height * pixels.width * pixels.channels


def _tensor(images: Images) -> Tensor:
    # A memory map is read-only, which torch warns about; nothing here writes to it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(images).permute(0, 3, 1, 2)
