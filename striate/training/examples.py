"""What a network learns from, or is judged on: images, their targets, and how a network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import RequestError

Values = Sequence[float] | Tensor

_TARGETS = {"class": "int64 labels [N]", "labels": "float labels [N, labels]", "number": "float numbers [N]"}


@dataclass(frozen=True, eq=False)
class Examples:
    """N images with targets. Raises RequestError for what does not go together.

    images: uint8 [M, C, Hs, Ws], of any strides, such as a view of a memory map: only the rows of a step are read.
    targets: by task: "class" int64 [N], "labels" floats [N, labels] of 0 and 1, "number" floats [N], for a network that
      answers [N, 1].
    mean, std: the network sees (image - mean) / std on the scale 0 .. 255: a number a channel, the mean also [C, H, W].
    task: a kind of `striate.task`.
    unit: for a number, what its loss counts errors in, such as the deviation of the targets.
    size (height, width): of what the network sees, where the images are larger; (0, 0): as they are.
    fraction: the share of their side that it sees without augmentation.
    among: int64 [N], where among more images these are; None: they are all of them, M is N.
    weights [N]: how much each image counts in the loss, as a share of their mean; None: all alike.
    chances [N]: how often each image comes in an epoch, as a share of their mean; None: once each.
    """

    images: Tensor
    targets: Tensor
    mean: Values
    std: Values
    task: str = "class"
    unit: float = 1.0
    size: tuple[int, int] = (0, 0)
    fraction: float = 1.0
    among: Tensor | None = None
    weights: Tensor | None = None
    chances: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        _check_targets(self.images, self.targets, self.task, self.among)
        if not 0 < self.unit < float("inf"):
            raise RequestError(f"unit must be above 0, not {self.unit}")
        if not 0 < self.fraction <= 1:
            raise RequestError(f"fraction must be above 0 and at most 1, not {self.fraction}")
        if self.size != (0, 0) and min(self.size) < 1:
            raise RequestError(f"size must be at least 1 each way, not {self.size}")
        channels = self.images.shape[1]
        mean, std = (torch.as_tensor(value, dtype=torch.float32) for value in (self.mean, self.std))
        fits = mean.shape in ((channels,), (channels, *self.shown)) and std.shape == (channels,)
        if not fits or not bool((std > 0).all()):
            given = f"{_told(self.mean)} and {_told(self.std)}"
            raise RequestError(f"{channels} channels need as many means and stds above 0, not {given}")
        weights = self.weights
        if weights is not None and (
            weights.shape != (len(self),) or not weights.isfinite().all() or weights.min() < 0 or not weights.any()
        ):
            raise RequestError(f"learning from {len(self)} images takes as many weights of 0 or more, not all 0")

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def shown(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return self.size if min(self.size) else (self.images.shape[2], self.images.shape[3])

    def counts(self) -> Tensor:
        """How much each image counts, as a share of the mean: float32 [N]."""
        if self.weights is None:
            return torch.ones(len(self))
        return (self.weights.double() / self.weights.double().mean()).float()

    def frequencies(self) -> Tensor | None:
        """The share of each class among the images, float32 [classes]; None where there are no classes."""
        if self.task != "class":
            return None
        shares = torch.bincount(self.targets, self.counts().double().to(self.targets.device))
        return (shares / shares.sum()).float()


def _check_targets(images: Tensor, targets: Tensor, task: str, among: Tensor | None) -> None:
    given = f"{images.dtype} {list(images.shape)} and {targets.dtype} {list(targets.shape)}"
    kind = targets.dtype == torch.int64 if task == "class" else targets.is_floating_point()
    samples = len(images) if among is None else len(among)
    shape = images.ndim == 4 and targets.ndim == 1 + (task == "labels") and len(targets) == samples
    if images.dtype != torch.uint8 or not kind or not shape:
        raise RequestError(f"training takes uint8 images [N, C, H, W] and {_TARGETS[task]}, not {given}")
    if not samples:
        raise RequestError("there are no images to learn from")
    # Torch skips the label -100 in silence and takes other negative ones for a fault of its own.
    if task == "class" and targets.min() < 0:
        raise RequestError(f"labels count from 0, but one is {int(targets.min())}")
    if task == "labels" and not ((targets >= 0) & (targets <= 1)).all():
        raise RequestError("labels are given (1) or not (0), but one is neither")
    if task == "number" and not targets.isfinite().all():
        raise RequestError("numbers to learn must be finite, but one is not")


def _told(values: Values) -> str:
    tensor = torch.as_tensor(values)
    return str(tensor.tolist()) if tensor.numel() <= 4 else f"a tensor {list(tensor.shape)}"
