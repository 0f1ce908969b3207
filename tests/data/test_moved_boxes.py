"""Boxes go where their objects go, by every geometric augmentation and resizing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.batch import augment, mirrors
from striate.data.augment.moved_boxes import augment_boxes, augment_points, mirror_pairs, swap_mirrored
from striate.errors import RequestError
from striate.tasks.detection_arrays import BOX, CLASS, collated

MOVES = [
    {"flip": 1.0},
    {"shift": 9.0},
    {"shift": 9.0, "flip": 0.5},
    {"crop": (0.3, 0.8), "flip": 0.5},
    {"shorter_side": ((90, 1.0),)},
    {"scale": (0.7, 1.3), "shift": 5.0},
    {"colour": 20, "flip": 1.0},
]


def scene(size: tuple[int, int] = (64, 80)) -> tuple[Tensor, Tensor]:
    """Images of a bright rectangle, uint8 [6, 3, H, W], and the rows of their boxes."""
    generator, (height, width) = np.random.default_rng(0), size
    images, targets = np.full((6, 3, height, width), 60, np.uint8), []
    for one in images:
        top, left = int(generator.integers(6, 30)), int(generator.integers(6, 40))
        one[:, top : top + 22, left : left + 30] = 240
        targets.append((width, height, ((0, left, top, left + 30, top + 22, 0, 660.0),)))
    return torch.from_numpy(images), torch.from_numpy(collated(targets))


def bright_box(image: Tensor) -> list[float]:
    """The box around what is bright, as shares of the sides."""
    height, width = image.shape[1:]
    rows, columns = torch.where(image.float().mean(0) > 150)
    return [int(columns.min()) / width, int(rows.min()) / height,
            (int(columns.max()) + 1) / width, (int(rows.max()) + 1) / height]  # fmt: skip


@pytest.mark.parametrize("keys", MOVES, ids=lambda keys: "-".join(keys))
@pytest.mark.parametrize("size", [(64, 80), (48, 60)])
def test_box_and_object_stay_together(keys: dict[str, object], size: tuple[int, int]) -> None:
    images, targets = scene()
    chosen, samples, seen = Augmentation(**keys), np.arange(6), 0  # type: ignore[arg-type]
    for epoch in range(3):
        moved = augment(images, samples, chosen, seed=1, epoch=epoch, size=size)
        found = augment_boxes(targets, samples, chosen, seed=1, epoch=epoch, across=(64, 80), size=size)
        for image, rows in zip(moved, found, strict=True):
            if rows[0, CLASS] >= 0:
                seen += 1
                assert rows[0, BOX].tolist() == pytest.approx(bright_box(image), abs=1.6 / min(size))
    assert seen >= 12


@pytest.mark.parametrize("keys", [{"rotate": 25.0}, {"shear": 15.0, "rotate": 10.0}])
def test_a_turned_object_is_in_its_box(keys: dict[str, object]) -> None:
    images, targets = scene()
    chosen, samples = Augmentation(**keys), np.arange(6)  # type: ignore[arg-type]
    moved = augment(images, samples, chosen, seed=2, epoch=0)
    found = augment_boxes(targets, samples, chosen, seed=2, epoch=0, across=(64, 80), size=(64, 80))
    for image, rows in zip(moved, found, strict=True):
        box, around = rows[0, BOX], torch.tensor(bright_box(image))
        assert (box - around).abs().max() < 0.04  # the corners touch the box


def test_what_is_cut_away_has_no_box() -> None:
    _, targets = scene()
    chosen, samples = Augmentation(crop=(0.1, 0.2)), np.arange(6)
    found = torch.cat([
        augment_boxes(targets, samples, chosen, seed=1, epoch=epoch, across=(64, 80), size=(64, 80))
        for epoch in range(5)
    ])  # fmt: skip
    gone = found[:, 0, CLASS] < 0
    assert 3 < gone.sum() < 30
    assert ((found[..., BOX] >= 0) & (found[..., BOX] <= 1)).all() and (found[..., 7:] == targets[0, 0, 7:]).all()
    with pytest.raises(RequestError, match=r"augment\.elastic"):
        augment_boxes(targets, samples, Augmentation(elastic=3.0), seed=1, epoch=0, across=(64, 80), size=(64, 80))


@pytest.mark.parametrize("keys", [*MOVES, {"rotate": 25.0}, {"shear": 15.0, "flip": 0.5}], ids="-".join)
def test_a_key_point_stays_where_it_was_drawn(keys: dict[str, object]) -> None:
    generator, seen = np.random.default_rng(3), 0
    images, points = np.full((6, 3, 64, 80), 40, np.uint8), np.full((6, 2, 2), np.nan, np.float32)
    for image, place in zip(images, points, strict=True):  # the second point is not known
        y, x = int(generator.integers(8, 56)), int(generator.integers(8, 72))
        image[:, y - 3 : y + 3, x - 3 : x + 3] = 250
        place[0] = x / 80, y / 64
    chosen, samples, size = Augmentation(**keys), np.arange(6), (48, 60)  # type: ignore[arg-type]
    for epoch in range(2):
        moved = augment(torch.from_numpy(images), samples, chosen, seed=1, epoch=epoch, size=size)
        found = augment_points(
            torch.from_numpy(points), samples, chosen, seed=1, epoch=epoch, across=(64, 80), size=size
        )
        assert found[:, 1].isnan().all()
        for image, (x, y) in zip(moved, found[:, 0].tolist(), strict=True):
            rows, columns = torch.where(image.float().mean(0) > 145)
            if x != x:
                assert len(rows) < 30  # of a square of 20 to 50 pixels not all is left
            elif 4 / 60 < x < 56 / 60 and 4 / 48 < y < 44 / 48:
                seen += 1
                centre = (float(columns.float().mean()) + 0.5) / 60, (float(rows.float().mean()) + 0.5) / 48
                assert (x, y) == pytest.approx(centre, abs=1.2 / 48)
    assert seen >= 4


def test_a_mirrored_left_eye_is_the_right_eye() -> None:
    names = ("nose", "left_eye", "right_eye", "upright", "LeftEar", "RightEar")
    pairs = mirror_pairs(names)
    assert pairs == [(1, 2), (4, 5)]
    with pytest.raises(RequestError, match="'left_knee' needs one 'right_knee', of which there are 0"):
        mirror_pairs(("left_knee", "left_hip", "right_hip"))
    # Of a face that is seen from the front, each eye is on its own side of the nose, mirrored or not.
    face = torch.tensor([[0.5, 0.5], [0.6, 0.4], [0.4, 0.4], [0.5, 0.9], [0.7, 0.5], [0.3, 0.5]]).repeat(8, 1, 1)
    face[0, 1] = torch.nan  # not known
    chosen, samples = Augmentation(flip=0.5), np.arange(8)
    moved = augment_points(face, samples, chosen, seed=1, epoch=0, across=(64, 64), size=(64, 64))
    which = mirrors(samples, chosen, seed=1, epoch=0)
    found = swap_mirrored(moved, which, pairs)
    assert 0 < which.sum() < 8 and ((moved[:, 4, 0] < 0.5).numpy() == which).all()
    assert torch.allclose(found[1:], face[1:], atol=1e-6)
    lost = 2 if which[0] else 1
    assert found[0].isnan().any(1).nonzero().flatten().tolist() == [lost]
