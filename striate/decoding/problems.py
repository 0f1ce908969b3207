"""What decoding found: the conversions that were made, and the reason why a file cannot be used."""

from __future__ import annotations

DECODING = 3  # raised when the pixels or the reasons of any file change: what was cached of them is then discarded

POLICIES = {
    "exif-rotated": "rotated by the EXIF orientation",
    "cmyk": "converted from CMYK to RGB",
    "profile": "colours converted to sRGB from the embedded colour profile",
    "16-bit": "converted from 16 to 8 bits by dropping the low byte",
    "few-bits": "stored with 16 bits of which only 8 to 14 are used: scaled to 8 bits by those",
    "high-range": "float, signed or 32-bit values, scaled to 8 bits by the minimum and maximum of the image, "
    "values that stand for no data left out",
    "palette": "palette converted to RGB",
    "alpha": "transparency composited over white",
    "animated": "first frame used",
    "pages": "first page used",
    "largest-page": "pages of several sizes: the largest used",
    "reduced": "very large: decoded at a half or less of its size",
    "unfinished": "the end marker is missing, but every pixel is there",
    "metadata": "the metadata are damaged and were ignored; the pixels are whole",
    "grey": "greyscale converted to RGB",
    "other-mode": "converted to RGB",
}


class UnreadableImage(Exception):  # noqa: N818  (the file is at fault, not the program)
    """An image that cannot be used; `kind` is the kind of its finding, the text is the reason."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind
