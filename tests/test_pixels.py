"""The preprocessing: reduced decoding, every size in bounds, and the same pixels in training and prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from image_files import array, content_of, photograph, ramp
from PIL import Image

from striate.data.audit.looking import look
from striate.data.sources.folder import open_folder
from striate.errors import RequestError
from striate.inference.predictor import Predictor
from striate.model import Model
from striate.pixels import (
    FILTERS,
    RULES,
    Pixels,
    crop_side,
    decode,
    fitted_size,
)
from striate.tasks import Classification

# Reduced decoding


@given(st.integers(60, 1300), st.integers(60, 900), st.integers(8, 224))
@settings(max_examples=25, deadline=None)
def test_a_reduced_decoding_keeps_twice_what_is_needed(width: int, height: int, at_least: int) -> None:
    content = content_of(Image.new("RGB", (width, height), "teal"), "JPEG")
    found = decode(content, at_least=at_least)
    assert found.size == (width, height)
    assert found.image.size == (width, height) or min(found.image.size) >= 2 * at_least


def test_a_reduced_decoding_looks_the_same() -> None:
    content = content_of(photograph(1600, 1200), "JPEG", quality=92)
    pixels = Pixels(96, 96, fraction=0.875, filter="bicubic")
    reduced, full = pixels.decode(content).image, decode(content).image
    assert reduced.size == (400, 300) and full.size == (1600, 1200)
    apart = np.abs(pixels.apply(reduced).astype(int) - pixels.apply(full))
    assert apart.mean() < 1.5 and apart.max() <= 10


# Sizes


@given(st.integers(1, 60_000), st.floats(0.001, 1))
@example(1, 0.001)
@example(256, 0.875)
def test_the_crop_lies_inside_and_is_the_fraction(shorter: int, fraction: float) -> None:
    side = crop_side(shorter, fraction)
    assert 1 <= side <= shorter
    assert side == 1 or abs(side - shorter * fraction) <= 0.5 + shorter * 0.0005 + 1e-6
    assert crop_side(shorter, 1.0) == shorter


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(1, 600), st.integers(1, 600))
@example(20_000, 1, 32, 32)
def test_the_fitted_size_fits_and_keeps_the_aspect(width: int, height: int, to_width: int, to_height: int) -> None:
    fitted = fitted_size(width, height, to_width, to_height)
    assert 1 <= fitted[0] <= min(width, to_width) and 1 <= fitted[1] <= min(height, to_height)
    if width <= to_width and height <= to_height:
        assert fitted == (width, height)
    else:
        assert fitted[0] == to_width or fitted[1] == to_height
        scale = min(to_width / width, to_height / height)
        assert abs(fitted[0] - max(1, width * scale)) <= 0.5 + 1e-6
        assert abs(fitted[1] - max(1, height * scale)) <= 0.5 + 1e-6


NORMALS = st.floats(-1000, 1000, allow_nan=False)
DEVIATIONS = st.floats(1e-3, 1000)


@st.composite
def any_pixels(draw: st.DrawFn, largest: int = 8192) -> Pixels:
    channels = draw(st.sampled_from((1, 3)))
    return Pixels(
        draw(st.integers(1, largest)),
        draw(st.integers(1, largest)),
        channels,
        rule=draw(st.sampled_from(RULES)),
        fraction=draw(st.floats(0.01, 1)),
        filter=draw(st.sampled_from(sorted(FILTERS))),
        fill=draw(st.integers(0, 255)),
        mean=draw(st.tuples(*[NORMALS] * channels)),
        std=draw(st.tuples(*[DEVIATIONS] * channels)),
    )


@given(any_pixels())
def test_pixels_survive_json(pixels: Pixels) -> None:
    assert Pixels.from_dict(json.loads(json.dumps(pixels.as_dict()))) == pixels


@given(any_pixels(largest=40), st.integers(1, 90), st.integers(1, 90))
@settings(deadline=None)
def test_any_image_comes_out_in_the_size_asked_for(pixels: Pixels, width: int, height: int) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))
    crop = pixels.apply(image)
    assert crop.shape == (pixels.height, pixels.width, pixels.channels) and crop.dtype == np.uint8


def test_the_three_rules() -> None:
    wide = ramp(40, 20)
    crop = Pixels(20, 20).apply(wide)
    assert np.array_equal(crop, array(wide)[:, 10:30])
    assert np.array_equal(
        Pixels(10, 40, rule="squash").apply(wide), array(wide.resize((40, 10), Image.Resampling.BILINEAR))
    )
    centred = Pixels(30, 60, rule="centre", fill=9).apply(wide)
    assert (
        np.array_equal(centred[5:25, 10:50], array(wide)) and (centred[:5] == 9).all() and (centred[:, :10] == 9).all()
    )
    assert np.array_equal(
        Pixels(20, 40, 1, mean=(0.0,), std=(1.0,), rule="squash").apply(wide)[..., 0], array(wide.convert("L"))
    )


BAD = [
    {"height": 0}, {"height": 8193}, {"width": -1}, {"height": 3.0}, {"width": "3"}, {"height": True},
    {"height": 10**40},
    {"channels": 2}, {"channels": 3.0}, {"channels": "3"}, {"channels": True},
    {"fraction": 0}, {"fraction": 1.01}, {"fraction": float("nan")}, {"fraction": "all"}, {"fraction": 1e-320},
    {"fill": -1}, {"fill": 256}, {"fill": 3.5}, {"fill": None},
    {"rule": "stretch"}, {"rule": 3}, {"rule": []}, {"filter": "lanczos"}, {"filter": []}, {"filter": None},
    {"mean": [1, 2]}, {"mean": 5}, {"mean": ["a", "b", "c"]}, {"mean": None}, {"mean": [10**400, 1, 1]},
    {"mean": [float("nan")] * 3}, {"mean": [float("inf")] * 3}, {"mean": [[], [], []]},
    {"std": [1, 1, 0]}, {"std": [1, 1, -1]}, {"std": [float("nan")] * 3}, {"std": [float("inf")] * 3}, {"std": []},
    {"colour": 1},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_values_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        Pixels.from_dict({**Pixels(32, 32).as_dict(), **bad})


@pytest.mark.parametrize("values", [None, [], "pixels", {}, {"height": 3}, {"width": 3}])
def test_what_is_no_pixels_is_refused(values: object) -> None:
    with pytest.raises(RequestError):
        Pixels.from_dict(values)  # type: ignore[arg-type]


def test_a_wrong_rule_or_filter_is_answered_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="'centre'"):
        Pixels(3, 3, rule="center")
    with pytest.raises(RequestError, match="'bicubic'"):
        Pixels(3, 3, filter="bicubi")


# The same bytes in, the same pixels out


@pytest.mark.parametrize("rule", RULES)
def test_training_and_prediction_see_the_same_pixels(rule: str, tmp_path: Path) -> None:
    folder = tmp_path / "set" / "one"
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 8
    photograph(700, 500).save(folder / "large.jpg", exif=exif)
    photograph(30, 50).save(folder / "small.jpg")
    ramp().convert("CMYK").save(folder / "cmyk.jpg")
    faint = ramp().convert("RGBA")
    faint.putalpha(90)
    faint.save(folder / "alpha.png")
    Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32) * 60).save(folder / "deep.png")
    pixels = Pixels(48, 64, rule=rule, fraction=0.9, filter="bicubic")
    predictor = Predictor(Model("resnet8", {}, Classification(("one",)), pixels, {}, head=""))
    seen = list(look(open_folder(tmp_path / "set"), pixels))
    assert len(seen) == 5
    for looked in seen:
        path = tmp_path / "set" / looked.item.key
        assert looked.crop is not None
        assert looked.crop.tobytes() == predictor.crop(path, "file").tobytes()
        # A reduced JPEG is what an opened Pillow image cannot know of: all else is the same by that door too.
        if path.name != "large.jpg":
            with Image.open(path) as opened:
                assert looked.crop.tobytes() == predictor.crop(opened, "image").tobytes(), path.name


def test_an_opened_photograph_is_turned_upright_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph(64, 48).save(tmp_path / "turned.png", exif=exif)
    predictor = Predictor(Model("resnet8", {}, Classification(("one",)), Pixels(32, 32), {}, head=""))
    with Image.open(tmp_path / "turned.png") as opened:
        by_image = predictor.crop(opened, "image")
    assert by_image.tobytes() == predictor.crop(tmp_path / "turned.png", "file").tobytes()


@given(st.integers(2, 60), st.integers(2, 60))
@settings(max_examples=20, deadline=None)
def test_arrays_and_files_are_the_same_image(width: int, height: int) -> None:
    assume(width * height > 4)
    values = np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels = Pixels(24, 24)
    predictor = Predictor(Model("resnet8", {}, Classification(("one",)), pixels, {}, head=""))
    decoded = pixels.decode(content_of(Image.fromarray(values))).image
    assert predictor.crop(values, "array").tobytes() == pixels.apply(decoded).tobytes()
