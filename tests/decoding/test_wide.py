"""More than 8 bits a sample: TIFF, PNG and Pillow images of 10 to 64 bits, signed, float, planar, white as zero."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from image_files import array, chunk, content_of, photograph, png, wide_png
from PIL import Image

from striate.decoding.wide import to_8_bits
from striate.pixels import UnreadableImage, decode

PICTURE = np.asarray(photograph(48, 32))
GREY = np.asarray(photograph(48, 32).convert("L"))
CLEAR = np.full((32, 48, 1), 255, np.uint8)


def tiff(values: np.ndarray, **how: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **how)
    return stream.getvalue()


def stretched(values: np.ndarray) -> np.ndarray:
    """8-bit values over the whole range, as a conversion by minimum and maximum leaves them."""
    floats = values.astype(float)
    return ((floats - floats.min()) * (255 / (floats.max() - floats.min()))).round().astype(np.uint8)


def wide(values: np.ndarray) -> np.ndarray:
    return values.astype(np.uint16) * 257


COLOUR = {
    "contiguous": tiff(wide(PICTURE), photometric="rgb"),
    "big endian": tiff(wide(PICTURE), photometric="rgb", byteorder=">"),
    "planar": tiff(np.moveaxis(wide(PICTURE), -1, 0), photometric="rgb", planarconfig="separate"),
    "planar, big endian": tiff(
        np.moveaxis(wide(PICTURE), -1, 0), photometric="rgb", planarconfig="separate", byteorder=">"
    ),
    "planar, deflated": tiff(
        np.moveaxis(wide(PICTURE), -1, 0), photometric="rgb", planarconfig="separate", compression="zlib"
    ),
    "planar, alpha": tiff(
        np.moveaxis(np.concatenate([wide(PICTURE), wide(CLEAR)], -1), -1, 0),
        photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"],
    ),
    "tiles": tiff(wide(PICTURE), photometric="rgb", tile=(16, 16), compression="zlib", predictor=True),
    "PNG": wide_png(wide(PICTURE)),
    "PNG, alpha": wide_png(wide(np.concatenate([PICTURE, CLEAR], -1))),
}  # fmt: skip


@pytest.mark.parametrize("name", COLOUR)
def test_16_bit_colour(name: str) -> None:
    found = decode(COLOUR[name])
    assert "16-bit" in found.notes and "other-mode" not in found.notes
    assert np.array_equal(array(found.image), PICTURE)


SIXTEEN = {
    "TIFF": tiff(wide(GREY)),
    "white is zero": tiff(65535 - wide(GREY), photometric="miniswhite"),
    "white is zero, deflated": tiff(65535 - wide(GREY), photometric="miniswhite", compression="zlib"),
    "with alpha": tiff(
        wide(np.stack([GREY, CLEAR[..., 0]], -1)), photometric="minisblack", extrasamples=["unassalpha"]
    ),
    "PNG": wide_png(wide(GREY)[..., None]),
    "PNG with alpha": wide_png(wide(np.stack([GREY, CLEAR[..., 0]], -1))),
    "packed in LZW": content_of(Image.fromarray(wide(GREY)), "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("name", SIXTEEN)
def test_16_bit_grey(name: str) -> None:
    found = decode(SIXTEEN[name])
    assert "16-bit" in found.notes
    assert np.array_equal(array(found.image)[..., 1], GREY)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("kind", ["TIFF", "PNG", "RGB TIFF", "RGB PNG", "RGBA PNG"])
def test_few_of_16_bits_are_scaled_by_those(bits: int, kind: str) -> None:
    values = (PICTURE if "RGB" in kind else GREY[..., None]).astype(np.uint16) << (bits - 8)
    if kind == "RGBA PNG":
        content = wide_png(np.concatenate([values, wide(CLEAR)], -1))
    elif "PNG" in kind:
        content = wide_png(values)
    else:
        content = tiff(values.squeeze(), photometric="rgb" if "RGB" in kind else "minisblack")
    found = decode(content)
    assert "few-bits" in found.notes
    assert np.array_equal(array(found.image)[..., 1], values[..., values.shape[2] // 2] >> (bits - 8))


def test_a_declared_largest_sample_counts_for_a_dark_picture() -> None:
    dark = GREY.astype(np.uint16) * 2  # at most 510 of 4,095
    found = decode(tiff(dark, extratags=[(341, "H", 1, 4095, True)]))
    assert np.array_equal(array(found.image)[..., 0], dark >> 4)


def test_packed_12_bits_use_their_own_range() -> None:
    """Three bytes for two samples, as scanners write them: tifffile alone does not unpack them, Pillow does."""
    fields = {256: 48, 257: 32, 258: 12, 259: 1, 262: 1, 273: 200, 277: 1, 278: 32, 279: 32 * 72}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields.items())
    header = b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields)) + entries + b"\0\0\0\0"
    left, right = GREY[:, ::2].astype(int) << 4, GREY[:, 1::2].astype(int) << 4
    packed = np.stack([left >> 4, (left & 15) << 4 | right >> 8, right & 255], axis=-1).astype(np.uint8)
    found = decode(header.ljust(200, b"\0") + packed.tobytes())
    assert found.notes == ("few-bits", "grey") and np.array_equal(array(found.image)[..., 0], GREY)


RANGES = {
    "int16": GREY.astype(np.int16) * 100 - 9000,
    "int32": GREY.astype(np.int32) * 70_000 - 5,
    "uint32": GREY.astype(np.uint32) * 16_000_000,
    "int8": (GREY.astype(np.int16) - 128).astype(np.int8),
    "float16": GREY.astype(np.float16) / 8,
    "float32": GREY.astype(np.float32) / 255,
    "float64": GREY.astype(np.float64) * 1e6 - 7,
}


@pytest.mark.parametrize("name", RANGES)
def test_signed_float_and_32_bit_samples_use_the_range_of_the_image(name: str) -> None:
    found = decode(tiff(RANGES[name]))
    assert found.notes == ("high-range", "grey")
    assert np.abs(array(found.image)[..., 0].astype(int) - stretched(GREY)).max() <= 1


def test_float_colour() -> None:
    found = decode(tiff(PICTURE.astype(np.float32) / 255, photometric="rgb"))
    assert found.notes == ("high-range",)
    assert np.abs(array(found.image).astype(int) - stretched(PICTURE)).max() <= 1


@pytest.mark.parametrize(
    "value", [-3.4028235e38, 3.4028235e38, -9999, -32768, 1e20, np.nan, np.inf, -np.inf, 1e6, -1e9]
)
def test_one_value_that_stands_for_no_data_does_not_flatten_the_rest(value: float) -> None:
    floats = GREY.astype(np.float32) * 10 + 100
    right = stretched(floats)
    floats[3, 4] = value
    found = array(decode(tiff(floats)).image)[..., 0].astype(int)
    found[3, 4] = right[3, 4]
    assert np.abs(found - right).max() <= 1


def test_the_declared_no_data_value_is_left_out_even_inside_the_range() -> None:
    floats = GREY.astype(np.float32) + 1000
    floats[0, :8] = 0
    found = array(decode(tiff(floats, extratags=[(42113, "s", 0, "0", True)])).image)[..., 0]
    assert found[1:].max() == 255 and np.median(found) > 60


def test_a_picture_of_two_values_is_not_taken_for_no_data() -> None:
    ink = np.zeros((8, 8), np.float32)
    ink[2:4, 2:4] = 5000
    assert set(np.unique(array(decode(tiff(ink)).image))) == {0, 255}


@pytest.mark.parametrize(
    ("values", "how", "words"),
    [
        (np.zeros((8, 9, 5), np.uint8), {"photometric": "minisblack", "planarconfig": "contig"}, "5 bands of uint8"),
        (np.zeros((8, 9, 7), np.uint16), {"photometric": "minisblack", "planarconfig": "contig"}, "7 bands of uint16"),
        (np.zeros((8, 9), np.complex64), {"photometric": "minisblack"}, "complex64"),
    ],
    ids=["five bands", "seven bands", "complex"],
)
def test_samples_that_are_not_read_are_named(values: np.ndarray, how: dict[str, object], words: str) -> None:
    with pytest.raises(UnreadableImage, match="a TIFF of a kind that is not read") as caught:
        decode(tiff(values, **how))
    assert caught.value.kind == "not-read" and words in str(caught.value)


@pytest.mark.parametrize("rows", [1, 7, 4000])
def test_a_large_array_is_converted_in_strips_with_the_same_result(rows: int) -> None:
    random = np.random.default_rng(rows)
    values = random.normal(0, 50, (rows, 3000)).astype(np.float32)
    scaled, note = to_8_bits(values)
    assert note == "high-range" and np.abs(scaled.astype(int) - stretched(values)).max() <= 1
    deep = random.integers(0, 65536, (rows, 3000), dtype=np.uint16)
    assert np.array_equal(to_8_bits(deep)[0], deep >> 8)


# Pages


def pages(*pictures: np.ndarray) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for picture in pictures:
            writer.write(picture, photometric="rgb", contiguous=False)
    return stream.getvalue()


def test_of_pages_of_one_size_the_first_is_used() -> None:
    found = decode(pages(PICTURE, 255 - PICTURE, PICTURE))
    assert found.notes == ("pages",) and np.array_equal(array(found.image), PICTURE)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)], ids=str)
@pytest.mark.parametrize("depth", [8, 16])
def test_of_a_pyramid_the_largest_page_is_used(order: tuple[int, ...], depth: int) -> None:
    levels = [PICTURE, PICTURE[::2, ::2], PICTURE[::4, ::4]]
    levels = [wide(level) if depth == 16 else level for level in levels]
    found = decode(pages(*(levels[place] for place in order)))
    assert "largest-page" in found.notes and "animated" not in found.notes
    assert found.size == (48, 32) and np.array_equal(array(found.image), PICTURE)


def test_the_page_is_turned_upright() -> None:
    for values in (PICTURE, wide(PICTURE)):
        found = decode(tiff(values, photometric="rgb", extratags=[(274, "H", 1, 6, True)]))
        assert "exif-rotated" in found.notes and found.image.size == (32, 48)
        assert np.array_equal(array(found.image), np.rot90(PICTURE, -1))


@pytest.mark.parametrize("cut", [4, 8, 60, 200, 1500])
def test_a_tiff_cut_anywhere_is_refused_with_a_reason(cut: int) -> None:
    for content in (tiff(PICTURE, photometric="rgb"), tiff(wide(PICTURE), photometric="rgb"), COLOUR["tiles"]):
        with pytest.raises(UnreadableImage) as caught:
            decode(content[:cut])
        assert caught.value.kind in ("truncated", "damaged", "not-an-image", "not-read") and str(caught.value)


# What a second look found


def lzw(data: bytes) -> bytes:
    """TIFF's LZW, of single bytes alone: the table is cleared before its codes grow."""
    bits = ""
    for place, byte in enumerate(data):
        bits += f"{256:09b}" if place % 200 == 0 else ""
        bits += f"{byte:09b}"
    bits += f"{257:09b}"
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def strip(values: np.ndarray, order: str, *, form: int, orientation: int = 1, deflated: bytes = b"") -> bytes:
    """A TIFF of one LZW strip, or a deflated one. form: 1 unsigned, 2 signed, 3 float."""
    height, width = values.shape[:2]
    samples = values.shape[2] if values.ndim == 3 else 1
    coded = deflated or lzw(values.astype(values.dtype.newbyteorder(order)).tobytes())
    shorts = {
        256: [width], 257: [height], 258: [8 * values.itemsize] * samples,
        259: [8 if deflated else 5], 262: [2 if samples > 1 else 1],
        274: [orientation], 277: [samples], 278: [height], 339: [form] * samples,
    }  # fmt: skip
    longs = {273: [8], 279: [len(coded)]}
    body = coded + b"\0" * (len(coded) % 2)
    entries, extra = b"", b""
    start = 8 + len(body) + 2 + 12 * (len(shorts) + len(longs)) + 4
    for tag, found in sorted((shorts | longs).items()):
        kind, letter = (4, "I") if tag in longs else (3, "H")
        value = struct.pack(f"{order}{len(found)}{letter}", *found)
        if len(value) > 4:
            value, extra = struct.pack(order + "I", start + len(extra)), extra + value + b"\0" * (len(value) % 2)
        entries += struct.pack(order + "HHI", tag, kind, len(found)) + value.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(body))
    return head + body + struct.pack(order + "H", len(shorts) + len(longs)) + entries + b"\0\0\0\0" + extra


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u2", "i2", "u4", "f4"])
def test_lzw_of_wide_samples_is_read_rightly_or_named(order: str, kind: str) -> None:
    """Pillow alone leaves big-endian bytes as they are, and takes large unsigned numbers for negative ones."""
    values = (GREY.astype(np.float64) * {"u2": 257, "i2": 100, "u4": 16_000_000, "f4": 0.01}[kind]).astype(kind)
    try:
        found = decode(strip(values, order, form={"u": 1, "i": 2, "f": 3}[kind[0]]))
    except UnreadableImage as refused:
        assert refused.kind == "not-read" and "lzw" in str(refused) and order == ">"
    else:
        right = GREY if kind == "u2" else stretched(GREY)
        assert np.abs(array(found.image)[..., 0].astype(int) - right).max() <= 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_lzw_of_wide_samples_is_turned_once(orientation: int) -> None:
    found = decode(strip(wide(GREY), "<", form=1, orientation=orientation))
    turns = {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    assert np.array_equal(array(found.image)[..., 0], np.rot90(GREY, turns))


def test_declared_no_data_of_unsigned_samples_is_left_out() -> None:
    values = GREY.astype(np.uint16) * 3 + 100
    values[:3, :3] = 65535
    found = array(decode(tiff(values, extratags=[(42113, "s", 0, "65535", True)])).image)[..., 0]
    assert (found[:3, :3] == 0).all() and np.array_equal(found[3:], (values >> 2)[3:])


@pytest.mark.parametrize("kind", ["RGB PNG", "LA PNG", "RGB TIFF"])
def test_8_bit_values_in_16_bits_do_not_come_out_black(kind: str) -> None:
    values = (GREY[..., None] if kind == "LA PNG" else PICTURE).astype(np.uint16)
    if kind == "LA PNG":
        values = np.concatenate([values, wide(CLEAR)], -1)
    found = decode(tiff(values, photometric="rgb") if kind == "RGB TIFF" else wide_png(values))
    assert "few-bits" in found.notes
    assert np.array_equal(array(found.image)[..., 0], values[..., 0])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_transparency_uses_as_few_bits_as_the_colours(kind: str) -> None:
    values = np.concatenate([PICTURE.astype(np.uint16) << 4, np.full((32, 48, 1), 4095, np.uint16)], -1)
    content = wide_png(values) if kind == "PNG" else tiff(values, photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(array(decode(content).image), PICTURE)


def test_dark_16_bit_colour_keeps_its_rotation_and_profile() -> None:
    plain = wide_png(PICTURE.astype(np.uint16) << 4)
    exif = chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    found = decode(plain[:33] + exif + plain[33:])
    assert found.notes == ("few-bits", "exif-rotated") and found.image.size == (32, 48)


def test_a_pgm_of_16_bits_is_not_stretched() -> None:
    content = b"P5\n48 32\n65535\n" + wide(GREY // 4 + 60).astype(">u2").tobytes()
    assert np.array_equal(array(decode(content).image)[..., 0], GREY // 4 + 60)


def test_a_strip_that_holds_more_than_it_declares_is_refused() -> None:
    with pytest.raises(UnreadableImage) as caught:
        decode(strip(wide(GREY), "<", form=1, deflated=zlib.compress(b"\0" * 50_000_000)))
    assert caught.value.kind == "bomb" and "holds more than" in str(caught.value)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_whose_data_end_early_is_truncated(bits: int) -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in (wide(PICTURE).astype(">u2") if bits == 16 else PICTURE)[:20])
    header = struct.pack(">IIBBBBB", 48, 32, bits, 2, 0, 0, 0)
    with pytest.raises(UnreadableImage) as caught:
        decode(png(header, chunk(b"IDAT", zlib.compress(rows))))
    assert caught.value.kind == "truncated"
