"""Annotations of YOLO: a text file for each image, a line "class x y width height" for each object.

The class counts from 0; the centre, width and height are shares of the upright image's sides. Source:
docs.ultralytics.com/datasets/detect.
"""

from __future__ import annotations

import re

from striate.data.sources.box_values import Annotation, Box, UnusableBoxesError, named, number

NAMES_FILES = ("classes.txt", "obj.names", "names.txt", "data.yaml", "data.yml", "dataset.yaml")
_WIDE = 1.05  # shares beyond this are no rounding
_ENTRY = re.compile(r"^\s+(?:(\d+)\s*:|-)\s*(.+?)\s*$")


def parse_yolo(content: bytes, names: tuple[str, ...] | None) -> Annotation:
    """The objects of a file. names: of the classes, None to call them by their number. Raises UnusableBoxesError.

    A line of more values is the outline of an object, x and y in turn, of which the box around it is taken.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UnusableBoxesError("the file is not in UTF-8") from None
    return Annotation(tuple(_box(line, names) for line in lines if line.strip()), relative=True)


def _box(line: str, names: tuple[str, ...] | None) -> Box:
    words = line.split()
    if len(words) < 5 or (len(words) > 6 and len(words) % 2 == 0):
        raise UnusableBoxesError(f"the line {line[:60]!r} is not 'class x y width height'")
    values = [number(word, "a coordinate") for word in words[1:]]
    if max(map(abs, values[:4])) > _WIDE:
        raise UnusableBoxesError(
            f"the line {line[:60]!r} has values above 1: YOLO's are shares of the image's sides, no pixels"
        )
    name = _name(words[0], names)
    if len(values) > 5:
        across, down = values[::2], values[1::2]
        return Box(name, min(across), min(down), max(across), max(down))
    x, y, width, height = values[:4]
    return Box(name, x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _name(word: str, names: tuple[str, ...] | None) -> str:
    if not word.isdecimal():
        raise UnusableBoxesError(f"the class {word[:40]!r} is no whole number: YOLO's classes count from 0")
    if names is None:
        return word
    place = int(word)
    if place >= len(names):
        raise UnusableBoxesError(
            f"the class {place} is unknown: {len(names)} classes are listed, 0 to {len(names) - 1} "
            "(are they counted from 1?)"
        )
    return names[place]


def listed_names(text: str, file: str) -> tuple[str, ...] | None:
    """The names of the classes in a file of NAMES_FILES; None for a YAML file without any. Raises RequestError.

    Of YAML only what these files have is read: `names: [a, b]`, or a list or numbered entries below `names:`.
    """
    if not file.endswith((".yaml", ".yml")):
        return named([line for line in text.splitlines() if line.strip()], repr(file))
    lines = [line.split(" #")[0].rstrip() for line in text.splitlines()]
    start = next((number for number, line in enumerate(lines) if re.match(r"names\s*:", line)), None)
    if start is None:
        return None
    inline = lines[start].partition(":")[2].strip()
    if inline.startswith(("[", "{")):
        whole = inline
        for line in lines[start + 1 :]:
            if whole.rstrip().endswith(("]", "}")):
                break
            whole += " " + line.strip()
        parts = [part.strip() for part in whole.strip("[]{} ").split(",") if part.strip()]
        return named([_unquoted(part.partition(":")[2] if inline[0] == "{" else part) for part in parts], repr(file))
    found: dict[int, str] = {}
    for line in lines[start + 1 :]:
        if not line:
            continue
        entry = _ENTRY.match(line) or re.match(r"^(-)\s+(.+?)\s*$", line)
        if entry is None:
            break
        place = int(entry[1]) if (entry[1] or "").isdecimal() else len(found)
        found[place] = _unquoted(entry[2])
    return named([found.get(place, "") for place in range(max(found, default=-1) + 1)], repr(file))


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
