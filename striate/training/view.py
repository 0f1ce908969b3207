"""From images in memory, or in a memory map, to the network's input: rows read, augmented, normalised."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.batch import augment, augment_masks, mirrors, mixing
from striate.data.augment.moved_boxes import augment_boxes
from striate.data.augment.statistics import measure
from striate.data.augment.warp import plain, plain_masks
from striate.errors import RequestError
from striate.training.batches import SampleOrder
from striate.training.examples import Examples, Values

KEEP = 4 * 2**30  # bytes of images that are copied to the network's device; more stay where they are


class Part(NamedTuple):
    """What a micro-batch is mixed from: indices into the data set, int64 [B], their share, float32 [B], and targets."""

    rows: Tensor
    share: Tensor
    targets: Tensor


@dataclass(frozen=True)
class MicroBatch:
    """The network's input for a micro-batch. x: float32 [B, C, H, W], normalised. parts: what it is mixed from."""

    x: Tensor
    parts: list[Part]


class View:
    """Examples as input for a network on `device`; `augmentation` is drawn by `seed`, None for none.

    Only the rows needed are read; images that fit on the device are copied there once.
    """

    def __init__(
        self, examples: Examples, device: torch.device, augmentation: Augmentation | None = None, *, seed: int = 0
    ) -> None:
        self.examples, self.device, self.seed = examples, device, seed
        self.mean, self.std = (
            torch.as_tensor(value, dtype=torch.float32).to(device) for value in (examples.mean, examples.std)
        )
        self._normalise = None if examples.normalise is None else copy.deepcopy(examples.normalise).to(device)
        self._masks = examples.targets.to(device) if examples.task.masks else None
        dtype = torch.float32 if examples.targets.is_floating_point() else torch.int64
        self._targets = examples.targets if examples.task.masks else examples.targets.to(device, dtype)
        self.sample_weights = examples.relative_weights().to(device)
        self.augmentation = augmentation or Augmentation()
        if examples.maps is not None:  # nothing else can be done to maps
            self.augmentation = Augmentation(flip=self.augmentation.flip)
        images = examples.images
        self.images = images.to(device) if images.nbytes <= KEEP else images
        self._lighting = _lighting(images, examples.among) if self.augmentation.lighting else None

    def plain(self, rows: Tensor) -> Tensor:
        """The images at `rows`, int64 [B], as for prediction: float32 [B, C, H, W], normalised."""
        if (maps := self.examples.maps) is not None:
            return maps.of(self._places(rows)).to(self.device)
        return self._normalised(plain(self._read(rows), self.examples.input_size, self.examples.fraction))

    def targets(self, rows: Tensor) -> Tensor:
        """The targets of the images at `rows`, int64 [B], as for prediction: of `plain`."""
        if self._masks is None:
            return self._targets[rows.to(self.device)]
        return plain_masks(self._masks[rows.to(self.device)], self.examples.input_size, self.examples.fraction)

    def training_batch(self, some: SampleOrder, whole: SampleOrder, epoch: int) -> MicroBatch:
        """The samples `some` of an epoch, augmented, and with mixup mixed with partners from the `whole` epoch."""
        x, rows, alpha = *self._augmented(some, epoch), self.augmentation.mixup
        if not alpha:
            return MicroBatch(x, [Part(rows, torch.ones(len(x), device=self.device), self._moved(some, rows, epoch))])
        keep = mixing(some.keys, alpha, seed=self.seed, epoch=epoch)
        share = torch.from_numpy(keep).to(self.device, torch.float32)
        # A partner is augmented as in its own batch: its random draws have the same keys.
        mixed_in = whole.of(some.partners)
        other, partners = self._augmented(mixed_in, epoch)
        scale = share.view(-1, 1, 1, 1)
        parts = [
            Part(rows, share, self._moved(some, rows, epoch)),
            Part(partners, 1 - share, self._moved(mixed_in, partners, epoch)),
        ]
        return MicroBatch(x * scale + other * (1 - scale), parts)

    def _moved(self, some: SampleOrder, rows: Tensor, epoch: int) -> Tensor:
        """The targets of augmented samples: masks and boxes are moved as their images are."""
        examples = self.examples
        if self._masks is not None:
            return augment_masks(
                self._masks[rows],
                some.keys,
                self.augmentation,
                seed=self.seed,
                epoch=epoch,
                size=examples.input_size,
                fraction=examples.fraction,
            )
        if not examples.task.boxes:
            return self._targets[rows]
        # Maps are of images of the network's size, of which nothing is cropped.
        shape = self.images.shape[2:]
        across = examples.input_size if examples.maps is not None else (shape[0], shape[1])
        return augment_boxes(
            self._targets[rows],
            some.keys,
            self.augmentation,
            seed=self.seed,
            epoch=epoch,
            across=across,
            size=examples.input_size,
            fraction=examples.fraction,
        )

    def _augmented(self, some: SampleOrder, epoch: int) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(some.rows)
        if (maps := self.examples.maps) is not None:
            mirrored = mirrors(some.keys, self.augmentation, seed=self.seed, epoch=epoch)
            return maps.of(self._places(rows), torch.from_numpy(mirrored)).to(self.device), rows.to(self.device)
        images = augment(
            self._read(rows),
            some.keys,
            self.augmentation,
            seed=self.seed,
            epoch=epoch,
            size=self.examples.input_size,
            fraction=self.examples.fraction,
            blank=self.mean,
            lighting=self._lighting,
        )
        if self.examples.augment is not None:
            images = self._checked(self.examples.augment(images, some.keys, self.seed, epoch), images)
        return self._normalised(images), rows.to(self.device)

    def _normalised(self, images: Tensor) -> Tensor:
        if self._normalise is None:
            return normalised(images, self.mean, self.std)
        x: Tensor = self._normalise(images)
        return x.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def _checked(images: Tensor, given: Tensor) -> Tensor:
        """The output of a custom augmentation. Raises RequestError unless shape and type are those of its input."""
        if not isinstance(images, Tensor) or images.shape != given.shape or images.dtype != torch.uint8:
            found = f"{images.dtype} {list(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
            raise RequestError(f"an augmentation must return uint8 {list(given.shape)}, like its input, not {found}")
        return images

    def _read(self, rows: Tensor) -> Tensor:
        return self.images[self._places(rows).to(self.images.device)].to(self.device)

    def _places(self, rows: Tensor) -> Tensor:
        """Where the examples at `rows` are among the images."""
        return rows if self.examples.among is None else self.examples.among[rows]


def normalised(images: Tensor, mean: Values, std: Values) -> Tensor:
    """(images - mean) / std in float32, channels-last.

    `images` uint8 [B, C, H, W]; `mean` per channel or a tensor [C, H, W], `std` per channel, on the scale 0 .. 255.
    """
    centre, scale = (torch.as_tensor(value, dtype=torch.float32).to(images.device) for value in (mean, std))
    centre = centre.view(-1, 1, 1) if centre.ndim == 1 else centre
    return images.to(torch.float32, memory_format=torch.channels_last).sub_(centre).div_(scale.view(-1, 1, 1))


def _lighting(images: Tensor, among: Tensor | None) -> NDArray[np.float64]:
    """The directions of PCA lighting, measured on the training images."""
    return measure(images.permute(0, 2, 3, 1).cpu().numpy(), None if among is None else among.numpy()).lighting
