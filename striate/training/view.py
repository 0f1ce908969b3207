"""From images in memory, or in a memory map, to what the network sees: rows read, augmented, normalised."""

from __future__ import annotations

from collections.abc import Sequence
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
from striate.training.batches import Visits
from striate.training.settings import Settings

KEEP = 4 * 2**30  # bytes of images that are kept on the network's device; more stay where they are

Values = Sequence[float] | Tensor


@dataclass(frozen=True)
class Shown:
    """What the network is shown in a step. x: float32 [B, C, H, W], normalised.

    parts: what it is made of: places in the data set, int64 [B], and their share of it, float32 [B].
    """

    x: Tensor
    parts: list[tuple[Tensor, Tensor]]


class View:
    """The images of a data set, uint8 [M, C, Hs, Ws], as a network on `device` sees them; only rows asked for are read.

    With `among`, int64 [N], the data set is the images at those places: a part of a memory map is not copied for it.
    `mean` is a number a channel, or a tensor [C, H, W]; `std` a number a channel; both on the scale 0 .. 255.
    Raises RequestError where they do not go with the images, or a std is not above 0.
    """

    def __init__(
        self,
        images: Tensor,
        settings: Settings,
        *,
        mean: Values,
        std: Values,
        device: torch.device,
        among: Tensor | None = None,
    ) -> None:
        channels, across = images.shape[1], tuple(images.shape[2:])
        self.settings, self.device = settings, device
        self.size: tuple[int, int] = settings.size if min(settings.size) else (across[0], across[1])
        self.mean, self.std = (torch.as_tensor(value, dtype=torch.float32).to(device) for value in (mean, std))
        fits = self.mean.shape in ((channels,), (channels, *self.size)) and self.std.shape == (channels,)
        if not fits or not bool((self.std > 0).all()):
            given = f"{_told(mean)} and {_told(std)}"
            raise RequestError(f"{channels} channels need as many means and stds above 0, not {given}")
        self.augmentation = Augmentation.from_text(settings.augment)
        self.images = images.to(device) if images.nbytes <= KEEP else images
        self.among = among
        self._lighting = _lighting(images, among) if self.augmentation.lighting else None

    def plain(self, rows: Tensor) -> Tensor:
        """The images at `rows`, int64 [B], as prediction sees them: float32 [B, C, H, W], normalised."""
        return normalised(plain(self._read(rows), self.size, self.settings.fraction), self.mean, self.std)

    def learn(self, some: Visits, whole: Visits, epoch: int) -> Shown:
        """The visits `some` of an epoch, augmented, and under mix-up mixed with partners among the `whole` epoch's."""
        x, rows, alpha = *self._augmented(some, epoch), self.augmentation.mixup
        if not alpha:
            return Shown(x, [(rows, torch.ones(len(x), device=self.device))])
        keep = mixing(some.keys, alpha, seed=self.settings.seed, epoch=epoch)
        share = torch.from_numpy(keep).to(self.device, torch.float32)
        # A partner is augmented as when its own turn comes: the names of its draws are the same.
        other, partners = self._augmented(whole.of(some.partners), epoch)
        scale = share.view(-1, 1, 1, 1)
        return Shown(x * scale + other * (1 - scale), [(rows, share), (partners, 1 - share)])

    def _augmented(self, some: Visits, epoch: int) -> tuple[Tensor, Tensor]:
        rows = torch.from_numpy(some.rows)
        images = augment(
            self._read(rows),
            some.keys,
            self.augmentation,
            seed=self.settings.seed,
            epoch=epoch,
            size=self.size,
            fraction=self.settings.fraction,
            blank=self.mean,
            lighting=self._lighting,
        )
        return normalised(images, self.mean, self.std), rows.to(self.device)

    def _read(self, rows: Tensor) -> Tensor:
        rows = rows if self.among is None else self.among[rows]
        return self.images[rows.to(self.images.device)].to(self.device)


def check(images: Tensor, targets: Tensor, task: str = "class", among: Tensor | None = None) -> None:
    """Raise RequestError unless these are uint8 images [N, C, H, W], N above 0, and the targets of a kind of task.

    With `among`, N is the number of those places.

    "class": int64 [N], 0 or more; "labels": floats [N, labels] from 0 to 1; "number": finite floats [N].
    """
    given = f"{images.dtype} {list(images.shape)} and {targets.dtype} {list(targets.shape)}"
    wanted = {"class": "int64 labels [N]", "labels": "float labels [N, labels]", "number": "float numbers [N]"}[task]
    kind = targets.dtype == torch.int64 if task == "class" else targets.is_floating_point()
    samples = len(images) if among is None else len(among)
    shape = images.ndim == 4 and targets.ndim == 1 + (task == "labels") and len(targets) == samples
    if images.dtype != torch.uint8 or not kind or not shape:
        raise RequestError(f"training takes uint8 images [N, C, H, W] and {wanted}, not {given}")
    if not samples:
        raise RequestError("there are no images to learn from")
    # Torch skips the label -100 in silence and takes other negative ones for a fault of its own.
    if task == "class" and targets.min() < 0:
        raise RequestError(f"labels count from 0, but one is {int(targets.min())}")
    if task == "labels" and not ((targets >= 0) & (targets <= 1)).all():
        raise RequestError("labels are given (1) or not (0), but one is neither")
    if task == "number" and not targets.isfinite().all():
        raise RequestError("numbers to learn must be finite, but one is not")


def normalised(images: Tensor, mean: Values, std: Values) -> Tensor:
    """(images - mean) / std in float32, channels-last.

    `images` uint8 [B, C, H, W]; `mean` a number a channel or a tensor [C, H, W], `std` a number a channel, on the scale
    0 .. 255.
    """
    centre, scale = (torch.as_tensor(value, dtype=torch.float32).to(images.device) for value in (mean, std))
    centre = centre.view(-1, 1, 1) if centre.ndim == 1 else centre
    return images.to(torch.float32, memory_format=torch.channels_last).sub_(centre).div_(scale.view(-1, 1, 1))


def _told(values: Values) -> str:
    tensor = torch.as_tensor(values)
    return str(tensor.tolist()) if tensor.numel() <= 4 else f"a tensor {list(tensor.shape)}"


def _lighting(images: Tensor, among: Tensor | None) -> NDArray[np.float64]:
    """The directions of PCA lighting, measured on the images to learn from."""
    return measure(images.permute(0, 2, 3, 1).cpu().numpy(), None if among is None else among.numpy()).lighting
