"""Labelled images for a custom training loop: `open_data` gives images, targets and the split that `train` uses."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Audit, Usable, audit
from striate.data.audit.likeness import SIDE
from striate.data.audit.looking import Memory, look
from striate.data.opening import Data, open_source
from striate.data.sources.base import PARTS, Source
from striate.data.splits import apply_split
from striate.data.splits import split as split_of
from striate.errors import RequestError, WorkError
from striate.pixels import Images, Pixels, UnreadableImage
from striate.progress import Progress
from striate.tasks import Targets, Task
from striate.tasks.pixel_losses import VOID


@dataclass(frozen=True, eq=False)
class ImageDataset(Sequence[tuple[Images, Any]]):
    """Images of one part and their targets: a sequence, and so a map-style dataset for torch's DataLoader.

    `dataset[i]` decodes one image at its own size: (uint8 RGB [H, W, 3], target). A target is the class's index (int),
    zeros and ones [labels] (float32), or the number (float); of images with masks the mask, class indices uint8 [H, W].
    """

    source: Source
    task: Task
    entries: tuple[Usable, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels, in the order of the targets; for regression, the number's name."""
        return self.task.names

    @property
    def keys(self) -> tuple[str, ...]:
        """Each image's path in the data."""
        return tuple(entry.item.key for entry in self.entries)

    @cached_property
    def targets(self) -> Targets:
        """int64 [N] of classes; float32 [N, labels] of zeros and ones; float64 [N] of numbers."""
        return self.task.collate(entry.item.target for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int, /) -> tuple[Images, Any]: ...
    @overload
    def __getitem__(self, index: slice, /) -> ImageDataset: ...
    def __getitem__(self, index: int | slice, /) -> tuple[Images, Any] | ImageDataset:
        """One image and its target, or a slice of the dataset. Raises RequestError if it cannot be read."""
        if isinstance(index, slice):
            return ImageDataset(self.source, self.task, self.entries[index])
        entry, target = self.entries[index], self.targets[index]
        try:
            decoded = self.source.decode(self.source.read(entry.item), 0)
        except (OSError, UnreadableImage) as error:
            raise RequestError(f"cannot use {entry.item.key!r}: {error}") from error
        if decoded.mask is not None:
            return np.array(decoded.image), np.array(decoded.mask)
        return np.array(decoded.image), target.item() if target.ndim == 0 else target

    def __iter__(self) -> Iterator[tuple[Images, Any]]:
        return (self[place] for place in range(len(self)))

    def arrays(
        self, size: int | tuple[int, int], *, channels: int = 3, rule: str = "crop"
    ) -> tuple[Images, NDArray[Any]]:
        """All images at one size, and their targets: uint8 [N, height, width, channels], and `targets`; or their masks,
        uint8 [N, height, width].

        size: height and width in pixels, or one number for both. channels: 3, or 1 for grey. rule: as in
        `striate.pixels.Pixels`: "crop" (the centred square), "squash" or "centre". Decoded on several threads.
        Raises RequestError for an invalid size or rule, or an image that can no longer be read.
        """
        height, width = (size, size) if isinstance(size, int) else size
        neutral = (127.5,) * channels
        pixels = Pixels(height, width, channels, rule, mean=neutral, std=neutral)
        images = np.zeros((len(self), height, width, channels), np.uint8)
        masks = np.full((len(self), height, width), VOID, np.uint8) if self.task.masks else None
        for place, one in enumerate(look(self.source, pixels, items=[entry.item for entry in self.entries])):
            if one.crop is None:
                raise RequestError(f"cannot use {one.item.key!r}: {one.record.problem}, {one.record.why}")
            images[place] = one.crop
            if masks is not None and one.mask is not None:
                masks[place] = pixels.apply_mask(one.mask, VOID)
        return images, self.targets if masks is None else masks


@dataclass(frozen=True, eq=False)
class SplitData:
    """Data as `train` would use them. parts: "train", and "val" or "test" or both. audit: its findings."""

    source: Source
    audit: Audit
    parts: dict[str, ImageDataset]

    @property
    def task(self) -> Task:
        """What the targets are, with the names of the classes."""
        return self.audit.task

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels, in the order of the targets; for regression, the number's name."""
        return self.audit.classes

    @property
    def train(self) -> ImageDataset:
        """The training images."""
        return self._part("train")

    @property
    def val(self) -> ImageDataset:
        """The validation images. Raises RequestError if the data have a test part only."""
        return self._part("val")

    @property
    def test(self) -> ImageDataset:
        """The test images. Raises RequestError if the data have none."""
        return self._part("test")

    def _part(self, name: str) -> ImageDataset:
        if name not in self.parts:
            raise RequestError(f"{self.source.name!r} has no part {name!r}; it has {', '.join(self.parts)}")
        return self.parts[name]


def open_data(
    data: Data,
    *,
    held_out: float = 0.2,
    seed: int = 0,
    split: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> SplitData:
    """Images, targets and split of `data`, for a custom training loop; data and split as of `striate.train`.

    held_out, seed: fraction of each class that is held out as "val", and the random seed, if the data have no split;
    duplicates and near-duplicates stay on one side. split: a split.csv of an earlier run, to reuse its split.
    Every image is read once; what cannot be used is listed in `audit.set_aside`.
    Raises RequestError for data that cannot be opened, or without a usable image.
    """
    source = open_source(data)
    if not 0 < held_out < 1:
        raise RequestError(f"held_out is a fraction between 0 and 1, not {held_out!r}")
    if split is not None:
        source, _ = apply_split(source, Path(split))
    memory = Memory(source)
    with (progress or Progress()).bar("Reading the images", len(source.items)) as bar:
        pairs = []
        for looked in look(source, Pixels(SIDE, SIDE), wanted=lambda digest: False, memory=memory):
            pairs.append((looked.item, looked.record))
            bar.advance()
    with contextlib.suppress(WorkError):  # without the cache only the next call is slower
        memory.save([record.digest for _, record in pairs])
    found = audit(source, pairs, progress=progress)
    if not found.usable:
        raise RequestError(f"no usable image in {source.name!r}: {found.last_line()}")
    placed = split_of(found, held_out, seed)
    parts = {
        name: ImageDataset(
            source,
            found.task,
            tuple(entry for entry, part in zip(found.usable, placed, strict=True) if part == name),
        )
        for name in PARTS
        if name in placed
    }
    return SplitData(source, found, parts)
