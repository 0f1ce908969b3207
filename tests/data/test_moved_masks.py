"""Masks go where their pixels go, by every geometric augmentation and resizing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.batch import augment, augment_masks, mirrors
from striate.data.augment.warp import plain, plain_masks
from striate.pixels import Pixels
from striate.tasks.pixel_losses import VOID

MOVES = [
    {"flip": 1.0},
    {"shift": 9.0},
    {"shift": 9.0, "fill": "edge"},
    {"shift": 9.0, "flip": 0.5, "fill": "mirror"},
    {"crop": (0.3, 0.8)},
    {"shorter_side": ((64, 1.0),)},
    {"rotate": 25.0},
    {"shear": 15.0, "scale": (0.7, 1.3)},
    {"elastic": 3.0, "rotate": 10.0, "flip": 0.5},
    {"rotate": 20.0, "colour": 40, "cutout": 0.0},
]


def scene(size: tuple[int, int] = (64, 80)) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that are bright where their mask is 1: uint8 [4, 3, H, W] and [4, H, W]."""
    generator = np.random.default_rng(0)
    masks = np.zeros((4, *size), np.uint8)
    for one in masks:
        top, left = generator.integers(4, 24, 2)
        one[top : top + 26, left : left + 30] = 1
        one[top : top + 8, left : left + 50] = 1  # no symmetry
    return torch.from_numpy(np.stack([masks * 180 + 60] * 3, 1)), torch.from_numpy(masks)


@pytest.mark.parametrize("keys", MOVES, ids=lambda keys: "-".join(keys))
@pytest.mark.parametrize("size", [(64, 80), (32, 40)])
def test_image_and_mask_stay_aligned(keys: dict[str, object], size: tuple[int, int]) -> None:
    if "shorter_side" in keys and size == (64, 80):
        keys = {"shorter_side": ((90, 1.0),)}
    images, masks = scene()
    chosen, samples = Augmentation(**keys), np.arange(4)  # type: ignore[arg-type]
    for epoch in range(3):
        moved = augment(images, samples, chosen, seed=1, epoch=epoch, size=size).float().mean(1)
        found = augment_masks(masks, samples, chosen, seed=1, epoch=epoch, size=size)
        assert found.dtype == torch.uint8 and set(found.unique().tolist()) <= {0, 1, VOID}
        known = found != VOID
        bright = moved > 150 if "colour" not in keys else moved - moved.amin((1, 2), keepdim=True) > 130
        agreed = (bright == (found == 1))[known].float().mean()
        assert agreed > 0.97  # all but the outline
        if "fill" not in keys:  # what comes from outside has no class
            assert (moved[~known] <= 45).all()


def test_without_augmentation_they_are_cropped_and_resized_alike() -> None:
    images, masks = scene((60, 80))
    small, found = plain(images, (30, 30), 0.9).float().mean(1), plain_masks(masks, (30, 30), 0.9)
    assert ((small > 150) == (found == 1)).float().mean() > 0.96
    for rule in ("crop", "squash", "centre"):
        pixels = Pixels(32, 48, rule=rule, fraction=0.9 if rule == "crop" else 1.0)
        picture = Image.fromarray(images[0].permute(1, 2, 0).numpy())
        shown, mask = pixels.apply(picture).mean(2), pixels.apply_mask(Image.fromarray(masks[0].numpy()), VOID)
        known = mask != VOID
        assert ((shown > 150) == (mask == 1))[known].mean() > 0.96
        assert (shown[~known] == 0).all()


def test_mirrors_are_those_that_the_augmentation_draws() -> None:
    images, _ = scene()
    chosen, samples = Augmentation(flip=0.5), np.arange(4)
    told = mirrors(samples, chosen, seed=5, epoch=2)
    moved = augment(images, samples, chosen, seed=5, epoch=2)
    assert [bool((one == image.flip(2)).all()) for one, image in zip(moved, images, strict=True)] == told.tolist()
    assert 0 < told.sum() < 4
