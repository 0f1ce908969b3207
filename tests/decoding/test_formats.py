"""Which formats are opened at all, what the others are called, metadata around whole pixels, profiles, and memory."""

from __future__ import annotations

import ast
import io
import struct
import subprocess
import sys
import threading
import types
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import array, chunk, content_of, photograph, png, png_header
from PIL import Image, ImageCms

import striate
from striate.decoding import budget
from striate.decoding import decode as door
from striate.decoding.formats import FORMATS
from striate.pixels import UnreadableImage, decode

PICTURE = photograph(64, 48)


def refusal(content: bytes) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        decode(content)
    return caught.value


def container(*brands: bytes) -> bytes:
    """The start of an ISO base media file."""
    names = brands[0] + b"\0\0\0\0" + b"".join(brands)
    return struct.pack(">I", 8 + len(names)) + b"ftyp" + names + b"\0" * 64


def raw_tiff(tags: dict[int, int]) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0" * 200


NAMED = {
    "heic": (container(b"heic", b"mif1"), "not-read", "HEIC"),
    "heic by a later brand": (container(b"mif1", b"heic"), "not-read", "HEIC"),
    "heif sequence": (container(b"msf1", b"hevc"), "not-read", "HEIC"),
    "cr3": (container(b"crx ", b"isom"), "not-read", "CR3"),
    "video": (container(b"isom", b"mp42"), "not-an-image", "video"),
    "webm": (b"\x1a\x45\xdf\xa3" + b"\0" * 60, "not-an-image", "video"),
    "jxl": (b"\xff\x0a" + b"\0" * 60, "not-read", "JPEG XL"),
    "jxl container": (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 60, "not-read", "JPEG XL"),
    "cr2": (b"II*\0\x10\0\0\0CR\x02\0" + b"\0" * 60, "not-read", "CR2"),
    "raf": (b"FUJIFILMCCD-RAW 0201" + b"\0" * 60, "not-read", "RAF"),
    "orf": (b"IIRO\x08\0\0\0" + b"\0" * 60, "not-read", "ORF"),
    "rw2": (b"IIU\0\x08\0\0\0" + b"\0" * 60, "not-read", "RW2"),
    "dng": (raw_tiff({256: 8, 257: 8, 50706: 0x0401}), "not-read", "DNG"),
    "nef": (raw_tiff({254: 1, 256: 160, 257: 120, 330: 100}), "not-read", "NEF"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not-read", "PostScript"),
    "dos postscript": (b"\xc5\xd0\xd3\xc6" + b"\0" * 60, "not-read", "PostScript"),
    "pdf": (b"%PDF-1.7\n", "not-read", "PDF"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not-read", "SVG"),
    "svg after a prolog": (b"<?xml version='1.0'?>\n<!-- made -->\n<svg/>", "not-read", "SVG"),
    "photoshop": (b"8BPS\0\x01" + b"\0" * 60, "not-read", "Photoshop"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "not-an-image", "git lfs pull"),
    "html": (b"\n <!DOCTYPE html><html><title>404</title>", "not-an-image", "web page"),
    "html, marked": (b"\xef\xbb\xbf<html>", "not-an-image", "web page"),
    "xml error": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "not-an-image", "web page"),
    "json": (b'{"error": "not found"}', "not-an-image", "JSON"),
    "zip": (b"PK\x03\x04" + b"\0" * 60, "not-an-image", "ZIP"),
    "zeros": (b"\0" * 5000, "damaged", "5,000 zero bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_is_not_read_is_called_by_its_name(name: str) -> None:
    content, kind, words = NAMED[name]
    found = refusal(content)
    assert found.kind == kind and words in str(found) and "\n" not in str(found)


def test_no_file_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostScript would start Ghostscript, if Pillow's reader of it were asked."""
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n"
    for content in (drawing, b"\n" + drawing, drawing + content_of(PICTURE, "JPEG"), b"\x04" + drawing):
        with pytest.raises(UnreadableImage):
            decode(content)
    assert not (tmp_path / "started").exists()
    assert not {"EPS", "WMF", "GRIB", "HDF5", "BUFR", "MPEG"} & set(FORMATS)


def test_pillow_opens_files_in_one_place_only() -> None:
    opened = []
    for path in Path(striate.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            opened += [path] if named in ("Image.open", "PIL.Image.open") else []
    assert opened == []


# Metadata

GARBAGE = b"\0\x08\0\x02\x01\x12garbage that is no TIFF"


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF", "JPEG"])
def test_garbage_for_exif_around_whole_pixels(form: str) -> None:
    extra = {"lossless": True} if form == "WEBP" else {}
    exif = Image.Exif()
    exif[0x010E] = "a description that is overwritten"
    content = content_of(PICTURE, form, exif=exif, **extra)
    start = next(place for start in (b"II*\0", b"MM\0*") if (place := content.find(start)) > 0)
    content = content[:start] + GARBAGE + content[start + len(GARBAGE) :]
    if form == "PNG":  # the checksum is that of the garbage
        length = int.from_bytes(content[start - 8 : start - 4], "big")
        content = (
            content[:start]
            + content[start : start + length]
            + struct.pack(">I", zlib.crc32(content[start - 4 : start + length]))
            + content[start + length + 4 :]
        )
    found = decode(content)
    assert "metadata" in found.notes
    assert np.array_equal(array(found.image), array(decode(content_of(PICTURE, form, **extra)).image))


def with_chunk(extra: bytes) -> bytes:
    """The picture as a PNG, with a chunk after its header."""
    content = content_of(PICTURE)
    return content[:33] + extra + content[33:]


def broken(name: bytes, body: bytes, *, length: int | None = None, checksum: int | None = None) -> bytes:
    right = struct.pack(">I", zlib.crc32(name + body)) if checksum is None else struct.pack(">I", checksum)
    return struct.pack(">I", len(body) if length is None else length) + name + body + right


PNG_METADATA = {
    "pHYs cut short": broken(b"pHYs", b"\0\0"),
    "gAMA cut short": broken(b"gAMA", b"\0"),
    "cHRM cut short": broken(b"cHRM", b"\0" * 7),
    "sRGB empty": broken(b"sRGB", b""),
    "tEXt with a wrong checksum": broken(b"tEXt", b"Comment\0words", checksum=1),
    "iCCP with a wrong checksum": broken(b"iCCP", b"name\0\0" + zlib.compress(b"x" * 50), checksum=1),
    "iCCP by no known method": broken(b"iCCP", b"name\0\x09" + b"x" * 50),
    "iCCP that is no profile": broken(b"iCCP", b"name\0\0" + zlib.compress(b"x" * 500)),
    "eXIf that is no EXIF": broken(b"eXIf", b"nothing"),
    "zTXt that grows to megabytes": broken(b"zTXt", b"key\0\0" + zlib.compress(b"x" * 9_000_000)),
    "length larger than the file": broken(b"tEXt", b"Comment\0words", length=2**31 - 5),
    "length too small": broken(b"tEXt", b"Comment\0words", length=3),
}


@pytest.mark.parametrize("name", PNG_METADATA)
def test_broken_metadata_of_a_png_do_not_cost_the_picture(name: str) -> None:
    found = decode(with_chunk(PNG_METADATA[name]))
    assert np.array_equal(array(found.image), array(PICTURE))
    assert set(found.notes) <= {"metadata"}


def test_broken_pixels_of_a_png_are_not_excused_as_metadata() -> None:
    content = content_of(photograph(300, 200))
    at = len(content) // 2
    for bad in (
        content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :],
        with_chunk(PNG_METADATA["pHYs cut short"])[:-400],
        content[:at] + b"\0" * (len(content) - at),
    ):
        assert refusal(bad).kind in ("damaged", "truncated")


# Profiles


def profile_of_swapped_colours() -> bytes:
    """sRGB with its red and blue exchanged: a conversion that cannot be overlooked."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {}
    for number in range(int.from_bytes(content[128:132], "big")):
        start = 132 + 12 * number
        places[bytes(content[start : start + 4])] = start
    red, blue = places[b"rXYZ"], places[b"bXYZ"]
    content[red : red + 4], content[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(content).replace(b"s\0R\0G\0B", b"X\0Y\0Z\0W").replace(b"sRGB", b"XYZW")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_colour_profile_is_applied_and_told(form: str) -> None:
    red = Image.new("RGB", (16, 16), (220, 30, 40))
    plain = array(decode(content_of(red, form)).image)[8, 8].astype(int)
    found = decode(content_of(red, form, icc_profile=profile_of_swapped_colours()))
    assert "profile" in found.notes
    assert np.abs(array(found.image)[8, 8].astype(int) - plain[::-1]).max() <= 6


def test_an_srgb_profile_changes_nothing_and_a_damaged_one_is_told() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = decode(content_of(PICTURE, icc_profile=own))
    assert found.notes == () and np.array_equal(array(found.image), array(PICTURE))
    found = decode(content_of(PICTURE, icc_profile=own[:200]))
    assert found.notes == ("metadata",) and np.array_equal(array(found.image), array(PICTURE))


def test_grey_and_profile_are_both_told_and_a_grey_profile_is_applied() -> None:
    grey = PICTURE.convert("L")
    found = decode(content_of(grey, icc_profile=profile_of_swapped_colours()))
    assert found.notes == ("grey",)  # the profile is one of colours
    assert np.array_equal(array(found.image)[..., 0], array(grey))


# HEIC, by the extra


def test_heic_is_read_where_pillow_heif_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageFile

    class Reader(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self) -> None:
            self._size, self._mode = (16, 12), "RGB"

        def load(self) -> object:
            self.im = Image.new("RGB", (16, 12), "teal").im
            return Image.Image.load(self)

    def register() -> None:
        Image.OPEN["HEIF"] = (Reader, lambda start: start[4:8] == b"ftyp")

    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(register_heif_opener=register))
    door._reads_heif.cache_clear()
    try:
        found = decode(container(b"heic", b"mif1"))
    finally:
        door._reads_heif.cache_clear()
    assert found.format == "HEIF" and found.size == (16, 12)
    assert array(found.image)[0, 0].tolist() == [0, 128, 128]


# Memory


@pytest.mark.parametrize(
    "content",
    [
        png_header(13_300, 13_300, 16, 0),
        png_header(20_000, 20_000),
        png_header(2**31 - 1, 1),
        bytes.fromhex("524946462600000057454250565038 4c1a0000002fc732b20c00".replace(" ", "")) + b"\0" * 20,
    ],
    ids=["16-bit PNG", "PNG", "a line", "WebP"],
)
def test_what_would_not_fit_the_budget_is_refused_by_its_header(content: bytes) -> None:
    found = refusal(content)
    assert found.kind == "bomb" and "GB" in str(found)


def test_decoding_waits_until_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images that fill the budget are not decoded at once, whatever the number of threads."""
    room = budget._Bytes(100)
    inside, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        for _ in range(50):
            with room.take(60):
                with lock:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1 and room._used == 0


def test_large_images_of_every_mode_stay_below_a_gigabyte_and_a_half(tmp_path: Path) -> None:
    """Each in a process of its own, which reports its largest memory."""
    stream = io.BytesIO()
    Image.new("RGBA", (9000, 9000), (10, 20, 30, 40)).save(stream, "PNG", compress_level=1)
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    Image.new("P", (16000, 12000)).save(tmp_path / "p.png", compress_level=1)
    Image.new("CMYK", (9000, 9000)).save(tmp_path / "c.jpg", quality=10)
    Image.new("1", (13000, 13000), 1).save(tmp_path / "b.tif", compression="group4")
    script = (
        "import sys\nfrom striate.pixels import decode, UnreadableImage\n"
        "try:\n    found = decode(open(sys.argv[1], 'rb').read(), at_least=224)\n    print(found.image.size)\n"
        "except UnreadableImage as refused:\n    print(refused.kind)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    for path in sorted(tmp_path.iterdir()):
        done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
        what, kilobytes = done.stdout.splitlines()
        assert what.startswith("(") and int(kilobytes) < 1_500_000, (path.name, done.stdout)


def test_the_reserved_bytes_are_given_back_after_an_error() -> None:
    for _ in range(3):
        refusal(content_of(photograph(400, 300))[:2000])
    assert budget._IN_USE._used == 0


def test_a_png_of_nothing_but_its_header_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    assert refusal(png(header)).kind in ("damaged", "truncated")
    assert refusal(png(header, chunk(b"IDAT", b"not zlib"))).kind in ("damaged", "truncated")
