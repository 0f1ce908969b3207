"""Geometry: whole pixels move as in a plain loop, maps are composed as written, fields are as smooth as said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from augmenting import augmentation
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from striate.data.augment.augmentation import Augmentation
from striate.data.augment.batch import augment
from striate.data.augment.warp import (
    Draws,
    Moves,
    Windows,
    draw_moves,
    elastic_field,
    gathered,
    plain,
    resampled,
    sampling_grid,
)
from striate.pixels import Pixels


def pictures(n: int, channels: int = 2, height: int = 9, width: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, 256, (n, channels, height, width), dtype=torch.uint8, generator=generator)


def soft(height: int, width: int) -> Tensor:
    """One smooth image [1, 1, H, W], which no resampling changes much."""
    y, x = torch.meshgrid(torch.linspace(0, 4, height), torch.linspace(0, 5, width), indexing="ij")
    return (120 + 60 * torch.sin(x) + 50 * torch.cos(y + x / 2))[None, None]


def by_hand(image: Tensor, down: int, right: int, flip: bool) -> Tensor:
    """One image [C, H, W], mirrored, then shifted, pixel by pixel."""
    height, width = image.shape[1:]
    out = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            from_y, from_x = y - down, x - right
            if 0 <= from_y < height and 0 <= from_x < width:
                out[:, y, x] = image[:, from_y, width - 1 - from_x if flip else from_x]
    return out


def whole(n: int, height: int, width: int) -> Windows:
    none = np.zeros(n)
    return Windows(none, none, none + height, none + width)


@given(st.data(), st.integers(0, 5))
def test_moves_are_those_of_a_plain_loop(data: st.DataObject, pad: int) -> None:
    images = pictures(3, height=4, width=5)
    shifts = st.lists(st.integers(-pad, pad), min_size=3, max_size=3)
    down, right = data.draw(shifts), data.draw(shifts)
    flip = data.draw(st.lists(st.booleans(), min_size=3, max_size=3))
    moves = Moves(np.array(down), np.array(right), np.array(flip))
    out = gathered(images, whole(3, 4, 5), moves, Augmentation())
    for number, result in enumerate(out):
        assert torch.equal(result, by_hand(images[number], down[number], right[number], flip[number]))


@given(st.integers(-14, 14), st.sampled_from(["edge", "mirror"]))
def test_what_comes_in_is_numpys_padding(shift: int, fill: str) -> None:
    image = pictures(1, channels=1, height=3, width=5)
    moves = Moves(np.array([shift]), np.array([-shift]), np.array([False]))
    out = gathered(image, whole(1, 3, 5), moves, Augmentation(fill=fill))
    padded = np.pad(image[0, 0].numpy(), 14, mode="edge" if fill == "edge" else "symmetric")
    np.testing.assert_array_equal(out[0, 0], padded[14 - shift : 17 - shift, 14 + shift : 19 + shift])


@pytest.mark.parametrize("fill", ["black", "edge", "mirror"])
def test_resampling_whole_pixels_is_gathering_them(fill: str) -> None:
    # The same moves through both paths: a map that happens to hit pixels gives those pixels, to the byte.
    images, samples = pictures(40, channels=3, height=30, width=37), np.arange(40)
    chosen = Augmentation(shift=9, flip=0.5, fill=fill)
    draws, windows = Draws(3, 1, samples), whole(40, 30, 37)
    moves = draw_moves(draws, chosen, (30, 37))
    grid = sampling_grid(draws, chosen, windows, moves, (30, 37), (30, 37), images.device)
    assert torch.equal(resampled(images, grid, fill), gathered(images, windows, moves, chosen))
    # One size alone is the plain random crop: whole pixels, and resampling would give the same.
    crop = Augmentation(shorter_side=((30, 1.0),), flip=0.5)
    exact = augment(images, samples, crop, seed=3, epoch=1, size=(20, 20))
    almost = Augmentation(shorter_side=((30, 1.0),), flip=0.5, scale=(1, 1 + 1e-9))
    turned = augment(images, samples, almost, seed=3, epoch=1, size=(20, 20))
    assert torch.equal(exact, turned)
    for number in range(10):
        patches = images[number].unfold(1, 20, 1).unfold(2, 20, 1)
        wanted = exact[number][:, None, None]
        assert ((patches == wanted) | (patches.flip(-1) == wanted)).all((-1, -2)).all(0).any()


def test_policies_draw_what_they_say_and_evenly() -> None:
    draws = Draws(0, 0, np.arange(30_000))
    shift, both = (draw_moves(draws, Augmentation(shift=2, flip=flip), (9, 12)) for flip in (0.0, 0.5))
    assert not shift.flip.any()
    # Adding the flip does not change the shifts.
    np.testing.assert_array_equal(shift.down, both.down)
    assert abs(both.flip.mean() - 0.5) < 0.02
    cells = np.bincount((both.down + 2) * 5 + both.right + 2, minlength=25)
    assert len(cells) == 25
    assert abs(cells - 1_200).max() < 5 * 1_200**0.5


def test_the_plain_view_is_what_prediction_sees() -> None:
    images = pictures(3, channels=3, height=60, width=48)
    assert torch.equal(plain(images, (60, 48)), images)
    assert torch.equal(plain(images, (42, 42), 0.875), images[:, :, 9:51, 3:45])  # cut out, not resized
    for fraction in (1.0, 0.7):
        seen = plain(images, (31, 31), fraction)
        for image, mine in zip(images, seen, strict=True):
            picture = Image.fromarray(image.permute(1, 2, 0).numpy())
            theirs = Pixels(31, 31, fraction=fraction).apply(picture)
            assert np.abs(mine.permute(1, 2, 0).numpy().astype(int) - theirs).max() <= 1


def test_augmenting_a_larger_image_by_nothing_is_the_plain_view() -> None:
    images = pictures(5, height=40, width=50)
    for text in ("none", "flip=0", "mixup=1"):
        out = augment(images, np.arange(5), augmentation(text), seed=0, epoch=0, size=(21, 22), fraction=0.9)
        assert torch.equal(out, plain(images, (21, 22), 0.9))
    # A shift reads on in the image where there is more of it.
    moved = augment(images, np.arange(5), Augmentation(shift=3), seed=0, epoch=0, size=(20, 25), fraction=0.5)
    assert (moved > 0).all()


def test_a_quarter_turn_is_a_quarter_turn() -> None:
    image = soft(21, 21)
    grid = _grid_of(Augmentation(rotate=90), image, turn=1.0)
    torch.testing.assert_close(resampled(image, grid, "edge"), torch.rot90(image, -1, (2, 3)), atol=1e-2, rtol=0)
    grid = _grid_of(Augmentation(rotate=90), image, turn=0.0)
    torch.testing.assert_close(resampled(image, grid, "edge"), torch.rot90(image, 1, (2, 3)), atol=1e-2, rtol=0)


def _grid_of(chosen: Augmentation, image: Tensor, turn: float) -> Tensor:
    """The grid for draws that are all `turn`."""

    class Fixed(Draws):
        def between(self, stream: object, low: float, high: float) -> np.ndarray:
            return np.full(1, low + turn * (high - low))

    height, width = image.shape[2:]
    draws = Fixed(0, 0, np.arange(1))
    still = Moves(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, bool))
    return sampling_grid(draws, chosen, whole(1, height, width), still, (height, width), (height, width), image.device)


@pytest.mark.parametrize(
    ("chosen", "at"),
    [
        # Where the pixel 6 to the right of and 3 below the centre is read, from the centre, in pixels.
        (Augmentation(scale=(1, 2)), (3, 1.5)),  # twice as large
        (Augmentation(shear=45), (6 - 3, 3)),  # leaning: what is lower comes from further left
        (Augmentation(rotate=90), (3, -6)),
        (Augmentation(rotate=90, scale=(1, 2)), (1.5, -3)),
        # Sheared, then turned: turned back first.
        (Augmentation(rotate=90, shear=45), (3 + 6, -6)),
    ],
)
def test_maps_are_composed_in_order(chosen: Augmentation, at: tuple[float, float]) -> None:
    image = soft(41, 61)
    x, y = _grid_of(chosen, image, turn=1.0)[0, 20 + 3, 30 + 6].tolist()
    assert (x * 61 / 2, y * 41 / 2) == pytest.approx(at, abs=1e-4)


def test_one_resampling_blurs_less_than_three() -> None:
    image = pictures(1, channels=1, height=64, width=64).float()
    once = augment(image, np.arange(1), Augmentation(rotate=20, shear=10, scale=(1.1, 1.1)), seed=0, epoch=0)
    thrice = image
    for chosen in (Augmentation(scale=(1.1, 1.1)), Augmentation(shear=10), Augmentation(rotate=20)):
        thrice = augment(thrice, np.arange(1), chosen, seed=0, epoch=0)
    inner = (slice(None), slice(None), slice(16, 48), slice(16, 48))
    assert thrice[inner].std() < 0.8 * once[inner].std()
    # On a smooth image, which resampling does not blur, they are the same.
    image, chosen = soft(64, 64), Augmentation(rotate=20, shear=10, scale=(1.1, 1.1))
    once, thrice = augment(image, np.arange(1), chosen, seed=0, epoch=0), image
    for name in ("scale", "shear", "rotate"):
        thrice = augment(thrice, np.arange(1), chosen.only(name), seed=0, epoch=0)
    torch.testing.assert_close(once[inner], thrice[inner], atol=0.5, rtol=0)


def test_crops_cover_the_share_of_area_they_say() -> None:
    from striate.data.augment.warp import draw_windows

    image = pictures(1, height=200, width=300).expand(4000, -1, -1, -1)
    chosen = Augmentation(crop=(0.08, 1.0))
    windows = draw_windows(Draws(0, 0, np.arange(4000)), chosen, image, (224, 224), 1.0)
    share = windows.height * windows.width / (200 * 300)
    assert share.min() > 0.079
    assert share.max() <= 1
    # Those that would stick out are made to fit; the small ones are as drawn, and even.
    small = share[share < 0.4]
    assert small.mean() == pytest.approx(0.24, abs=0.01)
    aspect = windows.width / windows.height
    assert aspect[share < 0.4].min() == pytest.approx(0.75, abs=0.01)
    assert aspect[share < 0.4].max() == pytest.approx(4 / 3, abs=0.01)
    for start, extent, side in ((windows.top, windows.height, 200), (windows.left, windows.width, 300)):
        assert start.min() >= 0
        assert (start + extent).max() <= side + 1e-9


def test_sizes_are_drawn_with_their_shares() -> None:
    from striate.data.augment.warp import draw_windows

    # The lecture's: windows of 128 from an image resized to 144, 188, 256 or 130.
    image = pictures(1, height=256, width=300).expand(5000, -1, -1, -1)
    chosen = augmentation("shorter_side=[[144,0.5],[188,0.2],[256,0.2],[130,0.1]]")
    windows = draw_windows(Draws(0, 0, np.arange(5000)), chosen, image, (128, 128), 1.0)
    sides, counts = np.unique(np.round(128 * 256 / windows.height).astype(int), return_counts=True)
    assert sides.tolist() == [130, 144, 188, 256]
    np.testing.assert_allclose(counts / 5000, [0.1, 0.5, 0.2, 0.2], atol=0.02)
    assert (windows.top + windows.height).max() <= 256 + 1e-9
    assert (windows.left + windows.width).max() <= 300 + 1e-9


@pytest.mark.parametrize(
    ("strength", "smooth", "size"), [(1.4, 4.0, (28, 28)), (3.0, 12.0, (90, 70)), (1.0, 0.8, (20, 20))]
)
def test_elastic_fields_are_as_strong_and_as_smooth_as_said(
    strength: float, smooth: float, size: tuple[int, int]
) -> None:
    field = elastic_field(Draws(0, 0, np.arange(600)), strength, smooth, size, torch.device("cpu")).double()
    assert field.shape == (600, 2, *size)
    assert field.square().mean().sqrt().item() == pytest.approx(strength, rel=0.05)
    assert abs(field.mean().item()) < 0.05 * strength
    # Noise under a Gaussian is correlated over a distance d by exp(-d^2 / (4 smooth^2)), along each axis.
    apart = max(1, round(smooth))
    for axis in (2, 3):
        near, far = field.narrow(axis, 0, size[axis - 2] - apart), field.narrow(axis, apart, size[axis - 2] - apart)
        correlation = (near * far).mean() / field.square().mean()
        assert correlation.item() == pytest.approx(np.exp(-(apart**2) / (4 * smooth**2)), abs=0.05)
    assert abs((field[:, 0] * field[:, 1]).mean().item()) < 0.05 * strength**2


def test_enlarged_crops_have_no_dark_rim() -> None:
    images = torch.full((50, 1, 32, 32), 200, dtype=torch.uint8)
    assert (augment(images, np.arange(50), Augmentation(crop=(0.3, 1)), seed=0, epoch=0, size=(48, 48)) == 200).all()
    turned = augment(images, np.arange(50), Augmentation(rotate=30), seed=0, epoch=0)
    assert set(turned.unique().tolist()) == {0, 200}
    assert (augment(images, np.arange(50), Augmentation(rotate=30, fill="mirror"), seed=0, epoch=0) == 200).all()
