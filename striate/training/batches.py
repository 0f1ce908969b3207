"""From a data set in memory to what the network sees: the order of an epoch, and normalisation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.data.keyed import permutation
from striate.errors import RequestError


def check(images: Tensor, labels: Tensor) -> None:
    """Raise RequestError unless these are uint8 images [N, C, H, W] and int64 labels [N], N above 0."""
    given = f"{images.dtype} {list(images.shape)} and {labels.dtype} {list(labels.shape)}"
    types = (images.dtype, labels.dtype)
    if types != (torch.uint8, torch.int64) or images.ndim != 4 or labels.shape != images.shape[:1]:
        raise RequestError(f"training takes uint8 images [N, C, H, W] and int64 labels [N], not {given}")
    if not len(images):
        raise RequestError("there are no images to learn from")
    # Torch skips the label -100 in silence and takes other negative ones for a fault of its own.
    if labels.min() < 0:
        raise RequestError(f"labels count from 0, but one is {int(labels.min())}")


def normalised(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(images - mean) / std in float32, channels-last.

    `images` uint8 [B, C, H, W]; one `mean` and one `std` a channel, on the scale 0 .. 255.
    Raises RequestError for another number of channels, or a std that is not above 0.
    """
    channels = images.shape[1]
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise RequestError(f"{channels} channels need as many means and stds above 0, not {list(mean)} and {list(std)}")
    centre, scale = (torch.tensor(values, device=images.device).view(-1, 1, 1) for values in (mean, std))
    return images.to(torch.float32, memory_format=torch.channels_last).sub_(centre).div_(scale)


def batches(samples: int, batch: int, *, seed: int, epoch: int, spare_one: bool) -> Iterator[NDArray[np.int64]]:
    """The indices of an epoch's batches, in an order drawn for this seed and epoch; the last batch may be smaller.

    `spare_one` leaves out a last batch of a single image (another one in every epoch), unless there is no other batch.
    """
    order = permutation(seed, epoch, samples)
    for start in range(0, count(samples, batch, spare_one=spare_one) * batch, batch):
        yield order[start : start + batch]


def count(samples: int, batch: int, *, spare_one: bool) -> int:
    """How many batches `batches` gives."""
    lone_tail = spare_one and samples > batch > 1 and samples % batch == 1
    return -(-samples // batch) - lone_tail


def dislikes_one(net: nn.Module) -> bool:
    """Whether `net` should not learn from a batch of one image: batch normalisation has no variance to divide by."""
    return any(isinstance(module, _BatchNorm) for module in net.modules())
