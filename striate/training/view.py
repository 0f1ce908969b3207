"""From images in memory, or in a memory map, to what the network sees: rows read, augmented, normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.batch import augment, mixing
from striate.data.augment.statistics import measure
from striate.data.augment.warp import plain
from striate.errors import RequestError
from striate.training.batches import SampleOrder
from striate.training.examples import Examples, Values

KEEP = 4 * 2**30  # bytes of images that are kept on the network's device; more stay where they are


@dataclass(frozen=True)
class Shown:
    """What the network is shown in a step. x: float32 [B, C, H, W], normalised.

    parts: what it is made of: places in the data set, int64 [B], and their share of it, float32 [B].
    """

    x: Tensor
    parts: list[tuple[Tensor, Tensor]]


class View:
    """Examples as a network on `device` sees them; `augmentation` is drawn for `seed`, None: there is none.

    Only the rows asked for are read; where there is room for the images on the device, they are kept there.
    """

    def __init__(
        self, examples: Examples, device: torch.device, augmentation: Augmentation | None = None, *, seed: int = 0
    ) -> None:
        self.examples, self.device, self.seed = examples, device, seed
        self.mean, self.std = (
            torch.as_tensor(value, dtype=torch.float32).to(device) for value in (examples.mean, examples.std)
        )
        dtype = torch.float32 if examples.targets.is_floating_point() else torch.int64
        self.targets = examples.targets.to(device, dtype)
        self.sample_weights = examples.relative_weights().to(device)
        self.augmentation = augmentation or Augmentation()
        images = examples.images
        self.images = images.to(device) if images.nbytes <= KEEP else images
        self._lighting = _lighting(images, examples.among) if self.augmentation.lighting else None

    def plain(self, rows: Tensor) -> Tensor:
        """The images at `rows`, int64 [B], as prediction sees them: float32 [B, C, H, W], normalised."""
        return normalised(plain(self._read(rows), self.examples.shown, self.examples.fraction), self.mean, self.std)

    def learn(self, some: SampleOrder, whole: SampleOrder, epoch: int) -> Shown:
        """The visits `some` of an epoch, augmented, and under mix-up mixed with partners among the `whole` epoch's."""
        x, rows, alpha = *self._augmented(some, epoch), self.augmentation.mixup
        if not alpha:
            return Shown(x, [(rows, torch.ones(len(x), device=self.device))])
        keep = mixing(some.keys, alpha, seed=self.seed, epoch=epoch)
        share = torch.from_numpy(keep).to(self.device, torch.float32)
        # A partner is augmented as when its own turn comes: the names of its draws are the same.
        other, partners = self._augmented(whole.of(some.partners), epoch)
        scale = share.view(-1, 1, 1, 1)
        return Shown(x * scale + other * (1 - scale), [(rows, share), (partners, 1 - share)])

    def _augmented(self, some: SampleOrder, epoch: int) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(some.rows)
        images = augment(
            self._read(rows),
            some.keys,
            self.augmentation,
            seed=self.seed,
            epoch=epoch,
            size=self.examples.shown,
            fraction=self.examples.fraction,
            blank=self.mean,
            lighting=self._lighting,
        )
        if self.examples.augment is not None:
            images = self._checked(self.examples.augment(images, some.keys, self.seed, epoch), images)
        return normalised(images, self.mean, self.std), rows.to(self.device)

    @staticmethod
    def _checked(images: Tensor, given: Tensor) -> Tensor:
        """What an own augmentation returned. Raises RequestError for another shape or type than it was given."""
        if not isinstance(images, Tensor) or images.shape != given.shape or images.dtype != torch.uint8:
            found = f"{images.dtype} {list(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
            raise RequestError(f"an own augmentation returns uint8 {list(given.shape)}, as it is given, not {found}")
        return images

    def _read(self, rows: Tensor) -> Tensor:
        rows = rows if self.examples.among is None else self.examples.among[rows]
        return self.images[rows.to(self.images.device)].to(self.device)


def normalised(images: Tensor, mean: Values, std: Values) -> Tensor:
    """(images - mean) / std in float32, channels-last.

    `images` uint8 [B, C, H, W]; `mean` a number a channel or a tensor [C, H, W], `std` a number a channel, on the scale
    0 .. 255.
    """
    centre, scale = (torch.as_tensor(value, dtype=torch.float32).to(images.device) for value in (mean, std))
    centre = centre.view(-1, 1, 1) if centre.ndim == 1 else centre
    return images.to(torch.float32, memory_format=torch.channels_last).sub_(centre).div_(scale.view(-1, 1, 1))


def _lighting(images: Tensor, among: Tensor | None) -> NDArray[np.float64]:
    """The directions of PCA lighting, measured on the images to learn from."""
    return measure(images.permute(0, 2, 3, 1).cpu().numpy(), None if among is None else among.numpy()).lighting
