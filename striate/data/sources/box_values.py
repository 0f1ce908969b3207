"""One type for the annotations of detection, whatever their format; and its way to a target: checked, upright, cut.

Boxes are x1, y1, x2, y2 in pixels of the image, x2 - x1 the width; 0, 0 is the upper left corner of the first pixel.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from striate.decoding.formats import open_image
from striate.errors import RequestError
from striate.reading import IMAGE, open_file
from striate.tasks import Target

BAD = "bad-boxes"  # the kind of the finding of an annotation that cannot be used
LEFT_OUT = ("degenerate-box", "outside-box", "cut-box", "double-box")  # findings on single boxes
LEAST = 1.0  # pixel: the shortest side of a box
SLACK = 1.0  # pixel that a box may reach beyond the image without a word: rounding
MOST = 10_000  # boxes of an image
_ORIENTATION = 0x0112
_UPRIGHT_ALREADY = ("HEIF", "AVIF")  # their decoders turn them


class UnusableBoxesError(Exception):
    """An annotation that cannot be used, with the reason."""


class Box(NamedTuple):
    """An object as its file has it. name: of the class. area: of the object; None: that of the box."""

    name: str
    x1: float
    y1: float
    x2: float
    y2: float
    crowd: bool = False
    area: float | None = None


@dataclass(frozen=True)
class Annotation:
    """The objects of an image. size: width and height of the image as the file has it, None if it does not say.

    relative: boxes are shares of the sides of the upright image, and not pixels.
    """

    boxes: tuple[Box, ...]
    size: tuple[int, int] | None = None
    relative: bool = False


class Header(NamedTuple):
    """Of an image file: width and height as stored, and the EXIF orientation, 1 to 8."""

    size: tuple[int, int]
    turn: int

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        return (self.size[1], self.size[0]) if self.turn >= 5 else self.size


def header_of(path: Path) -> Header | None:
    """The header of an image file; None if it cannot be read, which is told when the image is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_file(path, IMAGE) as file, open_image(file) as opened:
                turn = opened.getexif().get(_ORIENTATION, 1) if opened.format not in _UPRIGHT_ALREADY else 1
                return Header(opened.size, turn if isinstance(turn, int) and 1 <= turn <= 8 else 1)
    except Exception:  # as in `decoding.decode.peek`: a decoder may raise anything
        return None


def as_target(annotation: Annotation, header: Header, index: dict[str, int]) -> tuple[Target, list[tuple[str, str]]]:
    """The target of an image, and (kind, remark) of boxes that were left out or cut.

    index: the place of each class. Raises UnusableBoxesError for another size than the image's, and for numbers that
    are none.
    """
    if len(annotation.boxes) > MOST:
        raise UnusableBoxesError(f"{len(annotation.boxes):,} boxes are more than the {MOST:,} of an image")
    width, height = header.upright
    remarks: list[tuple[str, str]] = []
    objects: list[tuple[float, ...]] = []
    for one in _upright(annotation, header):
        if not all(map(math.isfinite, one[1:5])):
            raise UnusableBoxesError(f"a box of {one.name!r} has a coordinate that is not finite")
        kind, told, (x1, y1, x2, y2) = _cut(one, width, height)
        if kind:
            remarks.append((kind, told))
        if kind in ("degenerate-box", "outside-box"):
            continue
        area = one.area if one.area is not None and math.isfinite(one.area) else (x2 - x1) * (y2 - y1)
        found = (index[one.name], x1, y1, x2, y2, int(one.crowd), float(area))
        if any(found[:6] == other[:6] for other in objects):
            remarks.append(("double-box", f"{one.name} {_told(one)}"))
            continue
        objects.append(found)
    return (width, height, tuple(objects)), remarks


def _upright(annotation: Annotation, header: Header) -> Sequence[Box]:
    """The boxes in pixels of the upright image. Raises UnusableBoxesError for another size."""
    width, height = header.upright
    if annotation.relative:
        return [
            one._replace(x1=one.x1 * width, y1=one.y1 * height, x2=one.x2 * width, y2=one.y2 * height)
            for one in annotation.boxes
        ]
    if annotation.size in (None, header.upright):
        return annotation.boxes
    if annotation.size == header.size:  # as the file is stored: boxes are turned with the image
        return [_turned(one, header) for one in annotation.boxes]
    assert annotation.size is not None
    given, there = (" x ".join(map(str, size)) for size in (annotation.size, header.upright))
    raise UnusableBoxesError(f"the boxes are of an image of {given} pixels, and this one has {there}")


def _turned(box: Box, header: Header) -> Box:
    """A box of the stored image in the upright one."""
    width, height = header.size
    x, y = (box.x1, box.x2), (box.y1, box.y2)
    if header.turn in (2, 3, 7, 8):
        x = (width - box.x2, width - box.x1)
    if header.turn in (3, 4, 6, 7):
        y = (height - box.y2, height - box.y1)
    if header.turn >= 5:
        x, y = y, x
    return box._replace(x1=x[0], y1=y[0], x2=x[1], y2=y[1])


def _cut(box: Box, width: int, height: int) -> tuple[str, str, tuple[float, float, float, float]]:
    """The kind of its finding, "" for none, the remark, and the box cut to the image."""
    cut = (max(0.0, box.x1), max(0.0, box.y1), min(float(width), box.x2), min(float(height), box.y2))
    told = f"{box.name} {_told(box)}"
    if min(box.x2 - box.x1, box.y2 - box.y1) < LEAST:
        return "degenerate-box", told, cut
    if min(cut[2] - cut[0], cut[3] - cut[1]) < LEAST:
        return "outside-box", f"{told} in {width} x {height}", cut
    beyond = max(abs(one - other) for one, other in zip(cut, box[1:5], strict=True))
    return ("cut-box", f"{told} in {width} x {height}", cut) if beyond > SLACK else ("", "", cut)


def _told(box: Box) -> str:
    return " ".join(f"{value:g}" for value in (round(one, 1) for one in box[1:5]))


def number(text: object, what: str) -> float:
    """A finite number of a file. Raises UnusableBoxesError for anything else."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise UnusableBoxesError(f"{what} is {str(text)[:40]!r}, which is no number") from None
    if not math.isfinite(value):
        raise UnusableBoxesError(f"{what} is {value}")
    return value


def named(values: Sequence[object], where: str) -> tuple[str, ...]:
    """Names of classes as a file lists them. Raises RequestError for two of one name, or an empty one."""
    names = tuple(str(value).strip() for value in values)
    if not all(names) or len(set(names)) < len(names):
        raise RequestError(f"{where} lists a class twice, or one without a name")
    return names
