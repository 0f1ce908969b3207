"""The formats that are opened, and the names of those that are not.

Pillow opens more than pictures: a PostScript file would start Ghostscript. So every file is opened by the list below,
whatever its name says, and what is not on it is named for what it is.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from striate.decoding.problems import UnreadableImage

# TGA last: it has no signature, so it would claim what others should.
# HEIF is Pillow's once pillow-heif has registered it.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "PPM", "ICO", "JPEG2000", "HEIF", "TGA")

_SAVE = "save it as JPEG or PNG"
_RAW = f"a raw camera file ({{}}): {_SAVE}"
_STARTS = (  # the first bytes, the kind of the finding, what it is and what to do
    (b"\xff\x0a", "not-read", f"a JPEG XL image: {_SAVE}"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "not-read", f"a JPEG XL image: {_SAVE}"),
    (b"II*\0\x10\0\0\0CR", "not-read", _RAW.format("Canon CR2")),
    (b"FUJIFILMCCD-RAW", "not-read", _RAW.format("Fujifilm RAF")),
    (b"IIRO", "not-read", _RAW.format("Olympus ORF")),
    (b"IIRS", "not-read", _RAW.format("Olympus ORF")),
    (b"MMOR", "not-read", _RAW.format("Olympus ORF")),
    (b"IIU\0", "not-read", _RAW.format("Panasonic RW2")),
    (b"FOVb", "not-read", _RAW.format("Sigma X3F")),
    (b"\0MRM", "not-read", _RAW.format("Minolta MRW")),
    (b"8BPS", "not-read", f"a Photoshop document: {_SAVE}"),
    (b"gimp xcf", "not-read", f"a GIMP document: {_SAVE}"),
    (b"\x8aMNG", "not-read", f"an MNG animation: {_SAVE}"),
    (b"%!PS", "not-read", f"a PostScript drawing, which is a program and is not run: {_SAVE}"),
    (b"\xc5\xd0\xd3\xc6", "not-read", f"a PostScript drawing, which is a program and is not run: {_SAVE}"),
    (b"\xd7\xcd\xc6\x9a", "not-read", f"a Windows metafile: {_SAVE}"),
    (b"%PDF", "not-read", f"a PDF document: {_SAVE}"),
    (b"version https://git-lfs", "not-an-image", "a Git LFS pointer, not the image: fetch it with 'git lfs pull'"),
    (b"PK\x03\x04", "not-an-image", "a ZIP archive"),
    (b"\x1f\x8b", "not-an-image", "a gzip archive"),
    (b"Rar!", "not-an-image", "a RAR archive"),
    (b"7z\xbc\xaf", "not-an-image", "a 7z archive"),
    (b"\x93NUMPY", "not-an-image", "a NumPy array, not an image file"),
    (b"\x89HDF", "not-an-image", "an HDF5 file, not an image file"),
    (b"SIMPLE  =", "not-read", f"a FITS file: {_SAVE}"),
    (b"\x1a\x45\xdf\xa3", "not-an-image", "a video"),
)
_BRANDS = {  # of the ISO base media format: who wrote `ftyp`
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"crx ": "CR3",
}
_HEIC = "a HEIC photograph: 'pip install striate[heif]' reads it, or save it as JPEG"
_NEW_SUBFILE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706  # TIFF tags


def open_image(content: bytes | BinaryIO) -> Image.Image:
    """Open an image file with Pillow, by the formats listed alone: its header is read, its pixels are not.

    Raises UnidentifiedImageError, or what the format's reader raises. Not `Image.open`, whose limit of 179 million
    pixels telephones exceed, and which can be raised for the whole process only; `budget` bounds what is decoded.
    """
    Image.init()
    file = BytesIO(content) if isinstance(content, bytes) else content
    start = file.read(16)
    for form in FORMATS:
        reader, accepts = Image.OPEN.get(form, (None, None))
        accepted = reader is not None and (accepts is None or accepts(start))
        if reader is None or not accepted or isinstance(accepted, str):
            continue  # not in this Pillow, or another format; a text says that a decoder was left out
        file.seek(0)
        try:
            return reader(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # how a reader says that it is not its format
            continue
    raise UnidentifiedImageError


def refuse(content: bytes) -> None:
    """Raise UnreadableImage, with the name of what it is, for content that is known and not read."""
    if not content:
        raise UnreadableImage("empty", "zero bytes")
    if len(content) < 4:
        raise UnreadableImage("truncated", f"{len(content)} bytes, and no image has so few")
    for start, kind, what in _STARTS:
        if content.startswith(start):
            raise UnreadableImage(kind, what)
    if content[4:8] == b"ftyp" and brand(content) != "AVIF":
        raise UnreadableImage(*_of_a_container(content))
    if content[:4] in (b"II*\0", b"MM\0*") and _is_raw(content):
        raise UnreadableImage("not-read", _RAW.format("a TIFF of sensor data, such as DNG, NEF or ARW"))
    if content[:1] in b"<{[\xef \t\r\n":
        text = content[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if text.startswith(b"<svg") or (text.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text):
            raise UnreadableImage("not-read", f"an SVG drawing: {_SAVE}")
        if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error")):
            raise UnreadableImage("not-an-image", "a web page, as a failed download leaves: fetch the image again")
        if text.startswith((b"{", b"[")):
            raise UnreadableImage("not-an-image", "JSON text, as a failed download leaves: fetch the image again")
    if not content[:64].strip(b"\0") and not content.strip(b"\0"):
        raise UnreadableImage("damaged", f"{len(content):,} zero bytes and nothing else")


def brand(content: bytes) -> str:
    """What an ISO base media file holds: "HEIC", "AVIF", "CR3", or "" for anything else."""
    if content[4:8] != b"ftyp":
        return ""
    size = min(int.from_bytes(content[:4], "big"), 256)
    names = [content[8:12], *(content[place : place + 4] for place in range(16, size, 4))]
    named = [_BRANDS[name] for name in names if name in _BRANDS]
    # "mif1" alone says no more than that it is a picture: a later, more exact brand counts.
    exact = [_BRANDS[name] for name in names if name in _BRANDS and name not in (b"mif1", b"msf1")]
    return (exact or named or [""])[0]


def _of_a_container(content: bytes) -> tuple[str, str]:
    match brand(content):
        case "HEIC":
            return "not-read", _HEIC
        case "CR3":
            return "not-read", _RAW.format("Canon CR3")
        case _:
            return "not-an-image", "a video"


def _is_raw(content: bytes) -> bool:
    """Whether a TIFF is a camera's raw file: its first page is then a small preview, the sensor's data elsewhere."""
    order = "<" if content[:2] == b"II" else ">"
    (place,) = struct.unpack_from(order + "I", content, 4) if len(content) >= 8 else (0,)
    if not 8 <= place <= len(content) - 2:
        return False
    (count,) = struct.unpack_from(order + "H", content, place)
    entries = content[place + 2 : place + 2 + 12 * count]
    tags = {tag: value for tag, _, _, value in struct.iter_unpack(order + "HHII", entries[: len(entries) // 12 * 12])}
    # The value of NewSubfileType is a LONG; 1 is a reduced version of another image in the file.
    return _DNG_VERSION in tags or (_SUB_IFDS in tags and tags.get(_NEW_SUBFILE) == 1)
