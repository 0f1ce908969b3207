"""Every kind of file to the same upright RGB, and every refusal with a reason."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import array, content_of, photograph, png_header, ramp, wide_png
from PIL import Image, ImageOps

from striate.pixels import POLICIES, UnreadableImage, decode, peek

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
    wild = np.array([[np.nan, np.inf], [-np.inf, 1.0], [3.0, 2.0]], np.float32)
    grey = array(decode(content_of(Image.fromarray(wild), "TIFF")).image)[..., 0]
    assert grey.tolist() == [[0, 255], [0, 0], [255, 128]]


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


@pytest.mark.parametrize("size", [(50_000, 50_000), (250_000_000, 1), (2**31 - 1, 2**31 - 1)])
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


@pytest.mark.parametrize(("samples", "notes"), [(1, ("16-bit", "grey")), (3, ("16-bit",))])
def test_16_bit_grey_and_colour_are_both_said(samples: int, notes: tuple[str, ...]) -> None:
    decoded = decode(wide_png(np.full((3, 4, samples), 40_000, np.uint16)))
    assert decoded.notes == notes
    assert np.asarray(decoded.image)[0, 0].tolist() == [40_000 >> 8] * 3
