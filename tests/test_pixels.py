"""The preprocessing: every kind of file to the same upright RGB, every refusal with a reason, every size in bounds."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from striate.data.audit.looking import look
from striate.data.sources.folder import open_folder
from striate.errors import RequestError
from striate.inference.predictor import Predictor
from striate.model import Model
from striate.pixels import (
    FILTERS,
    MAX_PIXELS,
    POLICIES,
    RULES,
    Pixels,
    UnreadableImage,
    crop_side,
    decode,
    fitted_size,
    peek,
)
from striate.tasks import Classification


def content_of(image: Image.Image, form: str = "PNG", **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **settings)
    return stream.getvalue()


def ramp(width: int = 40, height: int = 24) -> Image.Image:
    """A smooth picture whose four corners differ."""
    y, x = np.mgrid[:height, :width]
    red, green = x * 255 // (width - 1), y * 255 // (height - 1)
    return Image.fromarray(np.stack([red, green, 255 - red // 2 - green // 2], axis=-1).astype(np.uint8))


def photograph(width: int, height: int) -> Image.Image:
    """Coarse colour noise, enlarged: as smooth as a photograph, and different everywhere."""
    coarse = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares its size and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.uint8)


# Policies


def test_plain_rgb_is_taken_as_it_is() -> None:
    found = decode(content_of(ramp()))
    assert (found.size, found.format, found.notes) == ((40, 24), "PNG", ())
    assert np.array_equal(array(found.image), array(ramp()))


def test_cmyk() -> None:
    image = ramp().convert("CMYK")
    found = decode(content_of(image, "TIFF"))
    assert found.notes == ("cmyk",)
    assert np.array_equal(array(found.image), array(image.convert("RGB")))
    assert decode(content_of(image, "JPEG")).notes == ("cmyk",)


def test_16_bit_drops_the_low_byte() -> None:
    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    for form in ("PNG", "TIFF"):
        found = decode(content_of(Image.fromarray(values), form))
        assert found.notes == ("16-bit", "grey")
        assert np.array_equal(array(found.image)[..., 1], values >> 8)


def test_palette_and_transparency() -> None:
    image = ramp().quantize(8)
    plain = decode(content_of(image))
    assert plain.notes == ("palette",)
    assert np.array_equal(array(plain.image), array(image.convert("RGB")))
    clear = image.getpixel((0, 0))
    found = decode(content_of(image, transparency=clear))
    assert found.notes == ("palette", "alpha")
    places = array(image) == clear
    assert (array(found.image)[places] == 255).all()
    assert np.array_equal(array(found.image)[~places], array(image.convert("RGB"))[~places])


def test_a_transparent_colour_of_rgb_and_of_grey_is_laid_over_white() -> None:
    image = Image.new("RGB", (4, 4), (10, 20, 30))
    image.putpixel((1, 1), (200, 0, 0))
    found = decode(content_of(image, transparency=(10, 20, 30)))
    assert found.notes == ("alpha",)
    assert found.image.getpixel((0, 0)) == (255, 255, 255) and found.image.getpixel((1, 1)) == (200, 0, 0)
    grey = Image.new("L", (4, 4), 7)
    assert decode(content_of(grey, transparency=7)).image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_white(mode: str) -> None:
    image = ramp().convert(mode)
    image.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 40).astype(np.uint8), (24, 1))))
    found = decode(content_of(image))
    assert found.notes == ("alpha",)
    rgba = array(image.convert("RGBA")).astype(float)
    share = rgba[..., 3:] / 255
    assert np.abs(array(found.image) - (rgba[..., :3] * share + 255 * (1 - share))).max() <= 1


def test_grey_and_one_bit_become_three_equal_channels() -> None:
    grey = ramp().convert("L")
    found = decode(content_of(grey))
    assert found.notes == ("grey",)
    assert all(np.array_equal(array(found.image)[..., channel], array(grey)) for channel in range(3))
    found = decode(content_of(ramp().convert("1")))
    assert found.notes == ("grey",)
    assert set(np.unique(array(found.image))) == {0, 255}


@pytest.mark.parametrize("kind", ["I", "F"])
def test_32_bit_values_are_brought_to_the_full_range(kind: str) -> None:
    values = np.linspace(-5000, 100_000, 64).reshape(8, 8).astype(np.int32 if kind == "I" else np.float32)
    found = decode(content_of(Image.fromarray(values), "TIFF"))
    assert found.notes == ("high-range", "grey")
    pixels = array(found.image)[..., 0]
    assert pixels.min() == 0 and pixels.max() == 255 and (np.diff(pixels.ravel().astype(int)) >= 0).all()


def test_flat_and_non_finite_values_are_black_not_an_error() -> None:
    flat = decode(content_of(Image.fromarray(np.full((4, 4), 7, np.float32)), "TIFF"))
    assert not array(flat.image).any()
    wild = np.array([[np.nan, np.inf], [-np.inf, 1.0]], np.float32)
    assert array(decode(content_of(Image.fromarray(wild), "TIFF")).image)[1, 1, 0] == 255


@pytest.mark.parametrize("mode", ["LAB", "YCbCr"])
def test_other_modes_are_converted(mode: str) -> None:
    found = decode(content_of(Image.new(mode, (8, 8), (128, 128, 128)), "TIFF"))
    assert found.image.mode == "RGB" and found.notes == ("other-mode",)
    assert np.ptp(array(found.image)) <= 10  # a grey in every one of these


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    for form in ("GIF", "PNG", "WEBP"):
        extra = {"lossless": True} if form == "WEBP" else {}
        found = decode(content_of(frames[0], form, save_all=True, append_images=frames[1:], **extra))
        assert "animated" in found.notes, form
        assert found.image.getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_every_exif_orientation_is_turned_upright(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = content_of(ramp(), form, exif=exif)
    with Image.open(io.BytesIO(content)) as opened:
        right = ImageOps.exif_transpose(opened).convert("RGB")
    found = decode(content)
    assert np.array_equal(array(found.image), array(right))
    assert found.notes == (("exif-rotated",) if orientation > 1 else ())
    assert found.size == (40, 24)  # as stored


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert decode(content_of(ramp(), exif=exif)).notes == ()


def test_exif_and_colour_are_both_seen_to() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = decode(content_of(ramp().convert("L"), "JPEG", exif=exif))
    assert set(found.notes) == {"exif-rotated", "grey"} and found.image.size == (24, 40)
    assert set(found.notes) <= POLICIES.keys()


# Refusals


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP"])
def test_a_file_cut_anywhere_is_refused_with_a_reason(form: str) -> None:
    content = content_of(photograph(120, 90), form)
    for share in (0.02, 0.1, 0.5, 0.9):
        with pytest.raises(UnreadableImage) as caught:
            decode(content[: int(len(content) * share)])
        assert caught.value.kind in ("truncated", "damaged", "not-an-image") and str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_cut_is_seen_in_reduced_decoding_too() -> None:
    content = content_of(photograph(800, 600), "JPEG")
    for share in (0.3, 0.6, 0.9):
        for at_least in (0, 1, 200):
            with pytest.raises(UnreadableImage) as caught:
                decode(content[: int(len(content) * share)], at_least=at_least)
            assert caught.value.kind == "truncated"


def test_what_is_no_image() -> None:
    for content, kind in ((b"", "empty"), (b"dear reader, " * 40, "not-an-image"), (b"\x89PNG\r\n\x1a\n", "damaged")):
        with pytest.raises(UnreadableImage) as caught:
            decode(content)
        assert caught.value.kind == kind or (kind == "damaged" and caught.value.kind in ("truncated", "not-an-image"))


@pytest.mark.parametrize("size", [(50_000, 50_000), (MAX_PIXELS + 1, 1), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadableImage) as caught:
        decode(png_header(*size))
    assert caught.value.kind == "bomb"


@given(st.binary(max_size=300), st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "none"]))
@settings(max_examples=150)
def test_noise_is_refused_or_decoded_and_never_anything_else(noise: bytes, form: str) -> None:
    start = b"" if form == "none" else content_of(ramp(), form)[:40]
    try:
        found = decode(start + noise, at_least=16)
    except UnreadableImage as refused:
        assert refused.kind and str(refused)
    else:
        assert found.image.mode == "RGB"


@given(st.data(), st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP"]))
@settings(max_examples=150)
def test_flipped_bytes_are_refused_or_decoded_and_never_anything_else(data: st.DataObject, form: str) -> None:
    content = bytearray(content_of(ramp(), form))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(content)).image.mode == "RGB"
    except UnreadableImage as refused:
        assert refused.kind and str(refused)


def test_peek_reads_the_header_alone(tmp_path: Path) -> None:
    ramp().convert("L").save(tmp_path / "grey.png")
    ramp().save(tmp_path / "colour.jpg")
    (tmp_path / "text.jpg").write_text("text")
    assert peek(tmp_path / "grey.png") == (40, 24, 1)
    assert peek(tmp_path / "colour.jpg") == (40, 24, 3)
    assert peek(tmp_path / "text.jpg") is None and peek(tmp_path / "nothing.jpg") is None


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


def png_of_16_bits(colour: int, samples: int, value: int) -> bytes:
    """A 16-bit PNG of one colour, chunk by chunk: Pillow reads such files and cannot write them."""
    rows = b"".join(b"\0" + np.full(4 * samples, value, ">u2").tobytes() for _ in range(3))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 3, 16, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize(("colour", "samples", "notes"), [(0, 1, ("16-bit", "grey")), (2, 3, ("16-bit",))])
def test_16_bit_grey_and_colour_are_both_said(colour: int, samples: int, notes: tuple[str, ...]) -> None:
    decoded = decode(png_of_16_bits(colour, samples, 40_000))
    assert decoded.notes == notes
    assert np.asarray(decoded.image)[0, 0].tolist() == [40_000 >> 8] * 3
