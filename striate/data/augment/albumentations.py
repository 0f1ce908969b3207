"""Transforms of the library albumentations as an augmentation of a training, drawn as ours by (seed, epoch, image).

albumentations (MIT) has had no release since 2.0.8 in 2025; its successor, albumentationsx, is under the AGPL. Neither
is a dependency: the transform is given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.augment.keyed import Stream, bits
from striate.errors import RequestError

Augment = Callable[[Tensor, NDArray[np.int64], int, int], Tensor]


def by_albumentations(transform: Any) -> Augment:
    """An augmentation for `striate.train(..., augment=...)` from an `albumentations.Compose` of version 2.

    Its random numbers are set for each image anew, so that a run can be resumed exactly. Of images alone: no masks or
    boxes. Raises RequestError for what has no `set_random_seed`, and in training for a transform that changes the size
    or the type of an image.
    """
    if not hasattr(transform, "set_random_seed"):
        raise RequestError(f"an albumentations.Compose of version 2 or later is needed, not {type(transform).__name__}")

    def augment(batch: Tensor, samples: NDArray[np.int64], seed: int, epoch: int) -> Tensor:
        made = []
        for image, key in zip(batch.numpy(), bits(seed, epoch, samples, Stream.LIBRARY), strict=True):
            transform.set_random_seed(int(key) % 2**32)
            given = np.ascontiguousarray(image.transpose(1, 2, 0))
            found = np.asarray(transform(image=given)["image"])
            if found.shape != given.shape or found.dtype != given.dtype:
                raise RequestError(
                    f"the transform makes {found.dtype} {found.shape} of {given.dtype} {given.shape}: "
                    "an augmentation keeps size and type"
                )
            made.append(found.transpose(2, 0, 1))
        return torch.from_numpy(np.stack(made))

    return augment
