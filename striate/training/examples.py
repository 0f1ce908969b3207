"""What a network is trained or evaluated on: images, targets and normalisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import RequestError
from striate.recipe import Recipe
from striate.tasks import Classification, Loss, Targets, Task
from striate.training.cached_maps import Maps

Values = Sequence[float] | Tensor
# images uint8 [B, C, H, W], their sample numbers int64 [B], seed, epoch -> images of the same shape and type
AugmentFunction = Callable[[Tensor, NDArray[np.int64], int, int], Tensor]

UNNAMED = Classification(("",))


@dataclass(frozen=True, eq=False)
class Examples:
    """N images with targets. Raises RequestError for arguments that do not match.

    images: uint8 [M, C, Hs, Ws], of any strides, such as a view of a memory map: only the rows of a step are read.
    targets: as the task's `collate` gives them: of classification int64 [N], multilabel floats [N, labels] of 0 and 1,
      regression floats [N], for a network with outputs [N, 1]; masks uint8 [N, Hs, Ws], as large as the images, or rows
      of boxes float32 [N, rows, 9], which augmentation moves with them.
    mean, std: the network's input is (image - mean) / std on the scale 0 .. 255: per channel, the mean also [C, H, W].
    normalise: a module in their place, uint8 [B, C, H, W] -> the network's input in float32; the mean is then only what
      augmentation fills in.
    task: what the network predicts; the names of its outputs are not used here.
    size (height, width): of the network's input, if the images are larger; (0, 0): the images' own.
    fraction: the share of the image's side that is used without augmentation.
    among: int64 [N], indices of these examples in `images`; None: all of them, M = N.
    sample_weights [N]: weight of each image in the loss, relative to their mean; None: all equal.
    sampling_weights [N]: how often each image is drawn per epoch, relative to their mean; None: once each.
    maps: the maps of `images` under a frozen part of the network, which are then its input instead; of the augmentation
      only the flip is applied.
    augment: a custom function for training images, applied after the recipe's augmentation and before normalisation.
    Its random draws
        depend on seed, epoch and sample number, so that a resumed run draws the same.
    """

    images: Tensor
    targets: Tensor
    mean: Values
    std: Values
    task: Task = UNNAMED
    size: tuple[int, int] = (0, 0)
    fraction: float = 1.0
    among: Tensor | None = None
    sample_weights: Tensor | None = None
    sampling_weights: NDArray[np.float64] | None = None
    augment: AugmentFunction | None = None
    normalise: nn.Module | None = None
    maps: Maps | None = None

    def __post_init__(self) -> None:
        _check_targets(self.images, self.targets, self.task, self.among)
        if self.task.dense and self.augment is not None:
            raise RequestError(
                "a custom augmentation moves no masks and boxes: use the keys of the recipe's table [augment]"
            )
        if not 0 < self.fraction <= 1:
            raise RequestError(f"fraction must be above 0 and at most 1, not {self.fraction}")
        if self.size != (0, 0) and min(self.size) < 1:
            raise RequestError(f"both sides of size must be at least 1, not {self.size}")
        channels = self.images.shape[1]
        mean, std = (torch.as_tensor(value, dtype=torch.float32) for value in (self.mean, self.std))
        fits = mean.shape in ((channels,), (channels, *self.input_size)) and std.shape == (channels,)
        if not fits or not bool((std > 0).all()):
            given = f"{_told(self.mean)} and {_told(self.std)}"
            raise RequestError(f"{channels} channels need as many means, and stds above 0, not {given}")
        weights = self.sample_weights
        if weights is not None and (
            weights.shape != (len(self),) or not weights.isfinite().all() or weights.min() < 0 or not weights.any()
        ):
            raise RequestError(f"{len(self)} training images need as many sample weights, 0 or more and not all 0")

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.size if min(self.size) else (self.images.shape[2], self.images.shape[3])

    def relative_weights(self) -> Tensor:
        """The weight of each image relative to the mean: float32 [N]."""
        if self.sample_weights is None:
            return torch.ones(len(self))
        return (self.sample_weights.double() / self.sample_weights.double().mean()).float()

    def loss(self, recipe: Recipe, *, smoothed: bool = True) -> Loss:
        """The recipe's loss for the task, in the scale of these targets; `smoothed`: with label smoothing.

        Raises RequestError for a loss that the task does not have.
        """
        weights = self.relative_weights().double().numpy()
        return training_loss(self.task, self.targets.cpu().numpy(), recipe, weights=weights, smoothed=smoothed)


def training_loss(
    task: Task,
    targets: Targets,
    recipe: Recipe,
    *,
    weights: NDArray[np.float64] | None = None,
    smoothed: bool = True,
) -> Loss:
    """The recipe's loss for a task, in the scale of the training targets [N]; `smoothed`: with label smoothing.

    weights [N]: of the images, for the class frequencies. Raises RequestError for options that the task does not
    have.
    """
    if not smoothed:
        return task.loss(recipe.loss.name, targets)
    prior = None
    if recipe.loss.smoothing_prior == "frequency":
        if not task.one_class:
            what = "loss.smoothing_prior 'frequency' needs single-label classification"
            raise RequestError(f"{what}, not the task {task.kind!r}")
        counts = np.bincount(targets, weights)
        prior = counts / counts.sum()
    return task.loss(recipe.loss.name, targets, label_smoothing=recipe.loss.smoothing, prior=prior)


def _check_targets(images: Tensor, targets: Tensor, task: Task, among: Tensor | None) -> None:
    samples = len(images) if among is None else len(among)
    if images.dtype != torch.uint8 or images.ndim != 4 or not targets.ndim or len(targets) != samples:
        given = f"{images.dtype} {list(images.shape)} and {targets.dtype} {list(targets.shape)}"
        raise RequestError(f"training takes uint8 images [N, C, H, W] and as many targets, not {given}")
    if not samples:
        raise RequestError("there are no training images")
    if task.masks and targets.shape[1:] != images.shape[2:]:
        sizes = f"{list(targets.shape)} and {list(images.shape)}"
        raise RequestError(f"masks [N, H, W] are as large as their images [N, C, H, W], not {sizes}")
    task.check_targets(targets.cpu().numpy())


def _told(values: Values) -> str:
    tensor = torch.as_tensor(values)
    return str(tensor.tolist()) if tensor.numel() <= 4 else f"a tensor {list(tensor.shape)}"
