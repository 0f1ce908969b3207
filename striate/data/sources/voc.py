"""Annotations of PASCAL VOC: an XML file for each image. Plain elements only: no document type, no entities.

Source: the development kit of PASCAL VOC 2012, section 10, by which pixels are counted from 1 and both corners lie in
the box.
"""

from __future__ import annotations

from xml.etree import ElementTree

from striate.data.sources.box_values import Annotation, Box, UnusableBoxesError, number

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def parse_voc(content: bytes) -> Annotation:
    """The objects of a file, with corners as they are in it. Raises UnusableBoxesError for anything else.

    An object marked difficult counts as a crowd: it is neither missed nor a mistake.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnusableBoxesError("the file is not in UTF-8") from None
    if "<!" in text.replace("<!--", ""):
        raise UnusableBoxesError("the file has a document type or entities, which are not read")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise UnusableBoxesError(f"the file is not XML: {error}") from None
    if root.tag != "annotation":
        raise UnusableBoxesError(f"the file is about {root.tag[:40]!r}, and not an 'annotation'")
    return Annotation(tuple(map(_box, root.findall("object"))), _size(root.find("size")))


def _box(element: ElementTree.Element) -> Box:
    name, found = (element.findtext("name") or "").strip(), element.find("bndbox")
    if not name or found is None:
        raise UnusableBoxesError("an object has no name or no bndbox")
    x1, y1, x2, y2 = (number((found.findtext(corner) or "").strip(), corner) for corner in CORNERS)
    return Box(name, x1, y1, x2, y2, crowd=(element.findtext("difficult") or "").strip() == "1")


def _size(element: ElementTree.Element | None) -> tuple[int, int] | None:
    if element is None:
        return None
    width, height = (number((element.findtext(name) or "0").strip(), name) for name in ("width", "height"))
    return (int(width), int(height)) if width > 0 and height > 0 else None


def from_zero(annotation: Annotation, first: int) -> Annotation:
    """The annotation with corners on the grid between pixels. first: what the file calls the first pixel, 1 or 0.

    Both corners are pixels of the box where pixels are counted from 1; tools that count from 0 write the right end.
    """
    boxes = (one._replace(x1=one.x1 - first, y1=one.y1 - first) for one in annotation.boxes)
    return Annotation(tuple(boxes), annotation.size)


def counts_from(annotations: list[Annotation]) -> int:
    """What the first pixel is called in these files: 0 if any left or upper corner is 0, else 1."""
    return 0 if any(min(one.x1, one.y1) < 1 for some in annotations for one in some.boxes) else 1
