"""One pass over a source: every file read, hashed and decoded once, in parallel, in order, with bounded memory.

The audit takes the record of each image and the learner its crop, so nothing is decoded twice. What was found of an
image is remembered under the hash of its bytes, and the hash under what the file system says of the file: a file that
nobody wrote to since is not even read, unless its crop is wanted, and one seen before under another name only hashed.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import Event
from typing import Protocol

from PIL import Image

from striate.data.audit.likeness import sketch
from striate.data.audit.memory import Memory, Record
from striate.data.sources.base import Item, Source
from striate.pixels import Images, UnreadableImage
from striate.storage import sha256_of

__all__ = ["Looked", "Memory", "Record", "look"]


class Cropping(Protocol):
    """How an image becomes a crop: `striate.pixels.Pixels`, or `striate.data.augment.crops.TenCrops`."""

    @property
    def at_least(self) -> int:
        """The size that a reduced decoding must leave twice of."""
        ...

    def apply(self, image: Image.Image) -> Images:
        """uint8 [..., H, W, C]."""
        ...


_CHUNK = 8  # images a task: large enough that handing tasks over costs nothing, small enough that few crops wait


@dataclass(frozen=True, slots=True)
class Looked:
    """One item after the pass. crop: uint8 [H, W, C], None where it was not wanted or the image cannot be used."""

    item: Item
    record: Record
    crop: Images | None


def look(
    source: Source,
    pixels: Cropping,
    *,
    items: Iterable[Item] | None = None,
    wanted: Callable[[str], bool] = lambda digest: True,
    memory: Memory | None = None,
) -> Iterator[Looked]:
    """Look at the items (default: all) in order. `wanted(digest)` says whether an image's crop is needed.

    Where the source has a method `stamp(item) -> str`, a file's state such as size and times ("" for not known), an
    item whose stamp is remembered is taken as unchanged.
    """
    stamp_of: Callable[[Item], str] = getattr(source, "stamp", lambda item: "") if memory else lambda item: ""

    def one(item: Item) -> tuple[Looked, str]:
        stamp = stamp_of(item)  # before reading: what is written meanwhile changes it
        known = memory.unchanged(item.key, stamp) if memory else None
        if known is not None and (known.problem or not wanted(known.digest)):
            return Looked(item, known, None), stamp
        return _read(source, pixels, item, wanted, memory), stamp

    for looked, stamp in _in_order(one, source.items if items is None else items):
        if memory and looked.record.digest:
            memory.remember(looked.item.key, stamp, looked.record)
        yield looked


def _read(source: Source, pixels: Cropping, item: Item, wanted: Callable[[str], bool], memory: Memory | None) -> Looked:
    """Read and hash; decode what is not known or wanted."""
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
    return Looked(item, record, pixels.apply(decoded.image) if wanted(digest) else None)


def told(source: Source, content: bytes) -> Record | None:
    """What a source knows of the content without looking, by a method `record_of`: a pack tells of the originals."""
    record_of: Callable[[bytes], Record | None] = getattr(source, "record_of", lambda content: None)
    return record_of(content)


def digest_of(source: Source, content: bytes) -> str:
    """What the content is remembered under: its SHA-256, or the one that the source knows."""
    known = told(source, content)
    return known.digest if known else sha256_of(content)


Result = tuple[Looked, str]


def _in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work` on a thread a core (Pillow decodes outside Python's lock), at most a window ahead of the reader."""
    workers = min(8, os.cpu_count() or 1)
    pending: deque[Future[list[Result]]] = deque()
    stopped = Event()

    def chunk(some: list[Item]) -> list[Result]:
        return [work(item) for item in some if not stopped.is_set()]

    with ThreadPoolExecutor(workers) as pool:
        try:
            rest = iter(items)
            while some := list(islice(rest, _CHUNK)):
                pending.append(pool.submit(chunk, some))
                if len(pending) >= 2 * workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            stopped.set()  # the reader stopped early, or an image raised: do not decode the rest
            for future in pending:
                future.cancel()
