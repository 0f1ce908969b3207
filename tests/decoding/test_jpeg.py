"""JPEG: ruined pictures are found by the decoder's warnings, and what is harmless is used and told."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import array, content_of, photograph
from PIL import Image

from striate.decoding.jpeg import SCANS
from striate.pixels import UnreadableImage, decode

BASELINE = content_of(photograph(320, 240), "JPEG", quality=90)
PROGRESSIVE = content_of(photograph(320, 240), "JPEG", quality=90, progressive=True)
BOTH = pytest.mark.parametrize("content", [BASELINE, PROGRESSIVE], ids=["baseline", "progressive"])


def refusal(content: bytes, at_least: int = 0) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        decode(content, at_least=at_least)
    return caught.value


def scan(content: bytes) -> int:
    """Where the coded data of the first scan begin."""
    start = content.index(b"\xff\xda")
    return start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"subsampling": 0, "optimize": True}], ids=str)
def test_the_pixels_are_those_of_pillow(mode: str, reduction: int, how: dict[str, object]) -> None:
    content = content_of(photograph(330, 250).convert(mode), "JPEG", **how)
    with Image.open(io.BytesIO(content)) as opened:
        opened.draft(opened.mode, (330 // reduction, 250 // reduction))
        right = array(opened.convert("RGB"))
    found = decode(content, at_least=250 // reduction // 2)
    assert np.array_equal(array(found.image), right)


@BOTH
def test_a_missing_end_marker_alone_is_told_and_every_pixel_used(content: bytes) -> None:
    whole = array(decode(content).image)
    for cut in (content[:-2], content[:-1], content[:-2] + b"\0" * 64):
        found = decode(cut)
        assert found.notes == ("unfinished",)
        assert np.array_equal(array(found.image), whole)


@BOTH
@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"\xd9", b"\n"], ids=["zero", "ff", "d9", "line"])
@pytest.mark.parametrize("ended", [True, False])
def test_a_file_whose_last_third_was_overwritten_is_refused(content: bytes, filler: bytes, ended: bool) -> None:
    at = len(content) * 2 // 3
    spoilt = content[:at] + filler * (len(content) - at) + (b"\xff\xd9" if ended else b"")
    assert refusal(spoilt).kind in ("damaged", "truncated")
    assert refusal(spoilt, at_least=30).kind in ("damaged", "truncated")


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_block_of_noise_in_the_data_is_refused_or_hardly_changes_the_picture(seed: int) -> None:
    random = np.random.default_rng(seed)
    content, whole = bytearray(BASELINE), array(decode(BASELINE).image).astype(int)
    start = int(random.integers(scan(BASELINE), len(content) - 300))
    content[start : start + 256] = random.integers(0, 256, 256, dtype=np.uint8).tobytes()
    try:
        found = decode(bytes(content))
    except UnreadableImage as refused:
        assert refused.kind in ("damaged", "truncated", "not-read", "bomb")
    else:  # every code happened to fit: as much as any decoder can know
        assert found.image.size == (320, 240) and whole.shape == array(found.image).shape


def test_most_noise_in_the_data_is_found() -> None:
    random = np.random.default_rng(3)
    found = 0
    for _ in range(60):
        content = bytearray(BASELINE)
        start = int(random.integers(scan(BASELINE), len(content) - 300))
        content[start : start + 256] = random.integers(0, 256, 256, dtype=np.uint8).tobytes()
        try:
            decode(bytes(content))
        except UnreadableImage:
            found += 1
    assert found >= 54


@BOTH
@pytest.mark.parametrize("padding", [b"\0" * 200, b"\xff" * 200, b"\0"], ids=["zeros", "ones", "one"])
def test_padding_before_the_end_marker_is_harmless(content: bytes, padding: bytes) -> None:
    found = decode(content[:-2] + padding + b"\xff\xd9")
    assert found.notes == () and np.array_equal(array(found.image), array(decode(content).image))


@BOTH
def test_anything_after_the_end_marker_is_harmless(content: bytes) -> None:
    for more in (b"\0" * 999, b"appended by a telephone", content):
        found = decode(content + more)
        assert found.notes == () and np.array_equal(array(found.image), array(decode(content).image))


def test_damaged_metadata_around_whole_pixels() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = content_of(photograph(320, 240), "JPEG", quality=90, exif=exif, icc_profile=b"no profile" * 9)
    place = content.index(b"Exif\0\0") + 6
    garbage = content[:place] + b"\xff\x00garbage " + content[place + 10 :]
    before_tables = content.index(b"\xff\xdb")
    stray = content[:before_tables] + b"stray" + content[before_tables:]
    for broken in (garbage, stray):
        found = decode(broken)
        assert "metadata" in found.notes
        assert sorted(found.image.size) == [240, 320]


def frame_of(content: bytes) -> int:
    return min(place for marker in (b"\xff\xc0", b"\xff\xc2") if (place := content.find(marker)) > 0)


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (4, b"\x0c", "12 bits a sample"),
        (4, b"\x10", "16 bits a sample"),
        (1, b"\xc3", "lossless"),
        (1, b"\xcb", "lossless"),
        (1, b"\xc5", "hierarchical"),
        (5, b"\0\0", "its height comes after its pixels"),
    ],
    ids=["12 bits", "16 bits", "lossless", "lossless, arithmetic", "hierarchical", "height 0"],
)
def test_kinds_of_jpeg_that_are_not_read_are_named(offset: int, value: bytes, words: str) -> None:
    place = frame_of(BASELINE) + offset
    content = BASELINE[:place] + value + BASELINE[place + len(value) :]
    found = refusal(content)
    assert found.kind == "not-read" and words in str(found) and "a JPEG of a kind that is not read" in str(found)


@pytest.mark.parametrize("times", [SCANS, 4000])
def test_a_scan_repeated_many_times_is_refused_before_it_is_decoded(times: int) -> None:
    start = PROGRESSIVE.index(b"\xff\xda")
    end = PROGRESSIVE.index(b"\xff", scan(PROGRESSIVE))
    while PROGRESSIVE[end + 1] == 0:
        end = PROGRESSIVE.index(b"\xff", end + 2)
    found = refusal(PROGRESSIVE[:end] + PROGRESSIVE[start:end] * times + PROGRESSIVE[end:])
    assert found.kind == "bomb" and "scans" in str(found)


def test_a_photograph_of_200_megapixels_is_read_reduced() -> None:
    content = content_of(Image.new("L", (16320, 12240), 90), "JPEG", quality=20)
    for at_least, size in ((0, (8160, 6120)), (224, (2040, 1530))):
        found = decode(content, at_least=at_least)
        assert found.size == (16320, 12240) and found.image.size == size
        assert abs(array(found.image).mean() - 90) < 4
    assert "reduced" in decode(content).notes


@pytest.mark.parametrize("size", [0, 1, 2, 3, 20, 159, 300])
def test_a_file_cut_in_its_header_is_refused(size: int) -> None:
    assert refusal(BASELINE[:size]).kind in ("empty", "truncated", "damaged", "not-an-image")


def test_harmless_warnings_cost_no_picture() -> None:
    whole = array(decode(BASELINE).image)
    start = BASELINE.index(b"\xff\xda")
    spectral = start + 2 + int.from_bytes(BASELINE[start + 2 : start + 4], "big") - 2  # the last of its coefficients
    version = BASELINE.index(b"JFIF\0") + 5
    for place, value in ((spectral, 0), (version, 3)):
        found = decode(BASELINE[:place] + bytes([value]) + BASELINE[place + 1 :])
        assert found.notes == ("metadata",) and np.array_equal(array(found.image), whole)


def test_a_file_cut_before_its_pixels_is_truncated() -> None:
    assert refusal(BASELINE[: BASELINE.index(b"\xff\xda")]).kind == "truncated"
    assert refusal(BASELINE[:3]).kind == "truncated"
