"""Ten crops: corners and centre of the resized image, and their mirror images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from striate.data.augment.crops import ten_crops
from striate.pixels import Pixels


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8))


def test_of_an_image_of_the_papers_size_they_are_slices() -> None:
    image = picture(300, 256)
    crops, whole = ten_crops(image, Pixels(224, 224)), np.asarray(image)
    corners = [whole[:224, :224], whole[:224, 76:], whole[32:, :224], whole[32:, 76:], whole[16:240, 38:262]]
    np.testing.assert_array_equal(crops[:5], corners)
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])
    assert crops.dtype == np.uint8


@pytest.mark.parametrize(
    ("size", "height", "width", "resized"),
    [
        ((500, 400), 224, 224, (320, 256)),
        ((31, 77), 28, 28, (32, 79)),
        ((100, 100), 21, 42, (48, 48)),
        ((400, 30), 42, 21, (640, 48)),
        ((20, 20), 20, 20, (23, 23)),
    ],
)
def test_the_image_is_resized_to_8_sevenths_of_the_crop(
    size: tuple[int, int], height: int, width: int, resized: tuple[int, int]
) -> None:
    image = picture(*size)
    crops = ten_crops(image, Pixels(height, width))
    whole = np.asarray(image.resize(resized, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(crops[0], whole[:height, :width])
    np.testing.assert_array_equal(crops[3], whole[-height:, -width:])


def test_grey_ones_have_one_channel() -> None:
    crops = ten_crops(picture(50, 40), Pixels(28, 28, channels=1, mean=(0.0,), std=(1.0,)))
    assert crops.shape == (10, 28, 28, 1)
