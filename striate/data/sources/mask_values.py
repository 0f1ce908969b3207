"""From the values of mask files to class indices: names and void, from a classes.txt or from the values found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.decoding.masks import BAD
from striate.errors import RequestError
from striate.pixels import UnreadableImage
from striate.reading import TEXT, read_file
from striate.tasks.pixel_losses import VOID

CLASSES_FILE = "classes.txt"
VOID_NAMES = ("void", "ignore")
SHOWN = 5
_NUMBERED = re.compile(r"(\d{1,3})[\s,:;]+(\S.*)")
_COLOURED = re.compile(r"(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})[\s,:;]+(\S.*)")

Values = NDArray[np.uint8]


@dataclass(frozen=True)
class MaskValues:
    """What the values of mask files mean.

    names: of the classes, in order. index: from a value to a class, or VOID; what is not in it is an error.
    colours: the same for masks of colours, (red, green, blue). reading: a line on how they were read, or "".
    """

    names: tuple[str, ...]
    index: Mapping[int, int]
    colours: Mapping[tuple[int, int, int], int]
    reading: str = ""

    def classes(self, stored: Values) -> Values:
        """Stored values [H, W], or colours [H, W, 3], as class indices uint8 [H, W]. Raises UnreadableImage."""
        if stored.ndim == 3:
            codes = (stored.astype(np.int64) * (65536, 256, 1)).sum(axis=2)
            table = {red * 65536 + green * 256 + blue: place for (red, green, blue), place in self.colours.items()}
            found, inverse = np.unique(codes, return_inverse=True)
            if unknown := [int(code) for code in found if int(code) not in table]:
                shown = " ".join(str(unknown[0] >> by & 255) for by in (16, 8, 0))
                raise UnreadableImage(BAD, f"the mask has the colour {shown}, which {CLASSES_FILE} does not list")
            return np.array([table[int(code)] for code in found], np.uint8)[inverse.reshape(codes.shape)]
        present = np.unique(stored).tolist()
        if strange := [value for value in present if value not in self.index]:
            raise UnreadableImage(BAD, f"the mask has the value {strange[0]}, which is no class")
        table_of_values = np.zeros(256, np.uint8)
        for value in present:
            table_of_values[value] = self.index[value]
        return table_of_values[stored]


def listed_classes(root: Path) -> MaskValues | None:
    """What the folder's classes.txt says; None where there is none.

    A line a class: its name, in the order of the values from 0; or `value name`; or `red green blue name`. The names
    "void" and "ignore" are of pixels that do not count. Raises RequestError, with the line, for anything else.
    """
    path = root / CLASSES_FILE
    if not path.is_file():
        return None
    names: list[str] = []
    index: dict[int, int] = {}
    colours: dict[tuple[int, int, int], int] = {}
    for number, text in enumerate(read_file(path, TEXT).decode("utf-8-sig", "replace").splitlines(), 1):
        line = text.partition("#")[0].strip()
        if not line:
            continue
        coloured, numbered = _COLOURED.fullmatch(line), _NUMBERED.fullmatch(line)
        numbers = [int(part) for part in (coloured or numbered).groups()[:-1]] if coloured or numbered else [len(index)]  # type: ignore[union-attr]
        name = (coloured or numbered).groups()[-1].strip() if coloured or numbered else line  # type: ignore[union-attr]
        if max(numbers) > VOID or (not coloured and numbers[0] in index):
            raise RequestError(f"line {number} of {str(path)!r}, {line!r}: values are from 0 to 255, each once")
        place = VOID
        if name.casefold() not in VOID_NAMES:
            names += [name] if name not in names else []
            place = names.index(name)
        if coloured:
            colours[numbers[0], numbers[1], numbers[2]] = place
        else:
            index[numbers[0]] = place
    if not names or len(names) > VOID:
        raise RequestError(f"{str(path)!r} lists {len(names)} classes; 1 to {VOID} are accepted")
    return MaskValues(tuple(names), {VOID: VOID, **index}, colours)


def found_classes(values: Sequence[frozenset[int]]) -> MaskValues:
    """What masks without a classes.txt mean, by the values of each. Said wherever they could mean something else."""
    every = sorted(set[int]().union(*values))
    if 255 in every and set(every) <= {0, 255}:
        line = "the masks have the values 0 and 255: 255 is read as the class foreground, not as void"
        return MaskValues(("background", "foreground"), {0: 0, 255: 1}, {}, line)
    classes = [value for value in every if value != VOID]
    if not classes:
        raise RequestError("the masks have no class: every pixel is 255, which is void")
    if _numbers_objects(values):
        line = (
            f"the masks number the objects of each image (up to {classes[-1]}): all are read as one class, object; if "
            f"the numbers are classes, name them in {CLASSES_FILE}"
        )
        index = {value: int(value > 0) for value in range(VOID)}
        return MaskValues(("background", "object"), {**index, VOID: VOID}, {}, line)
    names = tuple(
        "background" if value == 0 else "foreground" if classes == [0, 1] else str(value) for value in classes
    )
    void = "; 255 is void" if VOID in every else ""
    line = f"no {CLASSES_FILE}: the classes of the masks are called by their values, {_listed(classes)}{void}"
    return MaskValues(names, {VOID: VOID, **{value: place for place, value in enumerate(classes)}}, {}, line)


def _numbers_objects(values: Sequence[frozenset[int]]) -> bool:
    """Whether masks count 1, 2, 3, ... anew in each image, as instance masks do.

    Classes are not like that: an image with class 3 would have 1 and 2 too, always.
    """
    tops = Counter(max(found - {VOID}, default=0) for found in values)
    counted = all(found - {0, VOID} == set(range(1, max(found - {VOID}, default=0) + 1)) for found in values)
    return counted and len(tops) >= 3 and max(tops) >= 3


def _listed(values: Sequence[int]) -> str:
    shown = ", ".join(map(str, values[:SHOWN]))
    return f"{shown} and {len(values) - SHOWN} more" if len(values) > SHOWN else shown
