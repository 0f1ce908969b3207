"""One pass over a source: every file read, hashed and decoded once, in parallel, in order, with bounded memory.

The audit takes the record of each image and training its crop, so nothing is decoded twice. The record of an image is
cached under the hash of its bytes, and the hash under the file's stamp (size, times): an unchanged file is not read
again, unless its crop is wanted, and a renamed one is only hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from striate.data.audit.likeness import sketch
from striate.data.audit.memory import Memory, Record
from striate.data.sources.base import Item, Source
from striate.data.threads import in_order
from striate.pixels import Images, UnreadableImage
from striate.storage import sha256_of

__all__ = ["Looked", "Memory", "Record", "look"]


class Cropping(Protocol):
    """The preprocessing of an image to a crop: `striate.pixels.Pixels`, or `striate.data.augment.crops.TenCrops`."""

    @property
    def at_least(self) -> int:
        """The minimum size, of which a reduced decoding must keep twice."""
        ...

    def apply(self, image: Image.Image) -> Images:
        """uint8 [..., H, W, C]."""
        ...


@dataclass(frozen=True, slots=True)
class Looked:
    """One item after the pass. crop: uint8 [H, W, C], None if it was not wanted or the image cannot be used.

    mask: of the whole image, where the crop is and the source has masks.
    """

    item: Item
    record: Record
    crop: Images | None
    mask: Image.Image | None = None


def look(
    source: Source,
    pixels: Cropping,
    *,
    items: Iterable[Item] | None = None,
    wanted: Callable[[str], bool] = lambda digest: True,
    memory: Memory | None = None,
) -> Iterator[Looked]:
    """Read the items (default: all) in order. `wanted(digest)` decides whether the crop of an image is needed.

    If the source has a method `stamp(item) -> str`, a file's state such as size and times ("" for unknown), an item
    with the cached stamp is taken as unchanged.
    """
    stamp_of: Callable[[Item], str] = getattr(source, "stamp", lambda item: "") if memory else lambda item: ""

    def one(item: Item) -> tuple[Looked, str]:
        stamp = stamp_of(item)  # before reading: a later write changes it
        known = memory.unchanged(item.key, stamp) if memory else None
        if known is not None and (known.problem or not wanted(known.digest)):
            return Looked(item, known, None), stamp
        return _read(source, pixels, item, wanted, memory), stamp

    for looked, stamp in in_order(one, source.items if items is None else items):
        if memory and looked.record.digest:
            memory.remember(looked.item.key, stamp, looked.record)
        yield looked


def _read(source: Source, pixels: Cropping, item: Item, wanted: Callable[[str], bool], memory: Memory | None) -> Looked:
    """Read and hash; decode if the record is not cached or the crop is wanted."""
    try:
        content = source.read(item)
    except OSError as error:
        return Looked(item, Record("", problem="unreadable", why=error.strerror or str(error)), None)
    digest = digest_of(source, content)
    known = told(source, content) or (memory.records.get(digest) if memory else None)
    if known is not None and (known.problem or not wanted(digest)):
        return Looked(item, known, None)
    try:
        decoded = source.decode(content, pixels.at_least)
    except UnreadableImage as error:
        return Looked(item, Record(digest, problem=error.kind, why=str(error)), None)
    record = known or Record(digest, *decoded.size, decoded.format, decoded.notes, *sketch(decoded.image, decoded.size))
    if not wanted(digest):
        return Looked(item, record, None)
    return Looked(item, record, pixels.apply(decoded.image), decoded.mask)


def told(source: Source, content: bytes) -> Record | None:
    """The record that a source has without decoding, by a method `record_of`: a pack has those of the originals."""
    record_of: Callable[[bytes], Record | None] = getattr(source, "record_of", lambda content: None)
    return record_of(content)


def digest_of(source: Source, content: bytes) -> str:
    """The cache key of the content: its SHA-256, or the one of the source's record."""
    known = told(source, content)
    return known.digest if known else sha256_of(content)
