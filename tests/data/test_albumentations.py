"""Transforms of albumentations in our training, where it is installed, and what is asked of any such transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from striate.data.augment.albumentations import by_albumentations
from striate.errors import RequestError


class Darker:
    """A transform as albumentations has them: seeded from outside, from and to [H, W, C]."""

    def set_random_seed(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def __call__(self, image: Any) -> dict[str, Any]:
        return {"image": (image * self.random.uniform(0.2, 1)).astype(image.dtype)}


class Half(Darker):
    def __call__(self, image: Any) -> dict[str, Any]:
        return {"image": image[::2]}


BATCH = torch.full((4, 1, 8, 8), 200, dtype=torch.uint8)


def test_an_image_is_changed_alike_whatever_its_batch() -> None:
    augment, samples = by_albumentations(Darker()), np.arange(4)
    whole = augment(BATCH, samples, 0, 1)
    assert whole.shape == BATCH.shape and whole.dtype == torch.uint8 and len(whole.unique()) == 4
    assert torch.equal(augment(BATCH[2:], samples[2:], 0, 1), whole[2:])
    assert not torch.equal(augment(BATCH, samples, 0, 2), whole)


def test_what_is_no_such_transform_is_refused() -> None:
    with pytest.raises(RequestError, match=r"an albumentations.Compose of version 2 or later is needed, not function"):
        by_albumentations(lambda image: image)
    with pytest.raises(RequestError, match=r"makes uint8 \(4, 8, 1\) of uint8 \(8, 8, 1\)"):
        by_albumentations(Half())(BATCH, np.arange(4), 0, 1)


def test_transforms_of_the_library_itself() -> None:
    library = pytest.importorskip("albumentations")
    augment = by_albumentations(library.Compose([library.RandomBrightnessContrast(p=1), library.HorizontalFlip(p=0.5)]))
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (6, 3, 9, 7), np.uint8))
    made = augment(images, np.arange(6), 0, 0)
    assert torch.equal(augment(images, np.arange(6), 0, 0), made) and not torch.equal(made, images)
    assert torch.equal(augment(images[3:], np.arange(3, 6), 0, 0), made[3:])
