"""One pass over a source: every file read, hashed and decoded once, in parallel, in order, with bounded memory.

The audit takes the record of each image and the learner its crop, so nothing is decoded twice. What was found of an
image is remembered under the hash of its bytes: a file seen before is only read and hashed, unless its crop is wanted.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import PIL

from striate.data.sources import Item, Source
from striate.pixels import Images, Pixels, UnreadableImage
from striate.storage import cache_root, read_sealed, sha256_of, write_sealed

_POLICY = 1  # raise it when decoding's policies change: remembered records are then made anew


@dataclass(frozen=True)
class Record:
    """What was found of one image. problem: "" for a usable one, else the finding it is set aside under, and why."""

    digest: str
    width: int = 0
    height: int = 0
    format: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""
    why: str = ""


@dataclass(frozen=True)
class Looked:
    """One item after the pass. crop: uint8 [H, W, C], None where it was not wanted or the image cannot be used."""

    item: Item
    record: Record
    crop: Images | None


def look(
    source: Source,
    pixels: Pixels,
    *,
    items: Iterable[Item] | None = None,
    wanted: Callable[[str], bool] = lambda digest: True,
    memory: Memory | None = None,
) -> Iterator[Looked]:
    """Look at the items (default: all) in order. `wanted(digest)` says whether an image's crop is needed."""
    remembered = memory.records if memory else {}

    def one(item: Item) -> Looked:
        try:
            content = source.read(item)
        except OSError as error:
            return Looked(item, Record("", problem="unreadable", why=error.strerror or str(error)), None)
        digest = digest_of(source, content)
        known = remembered.get(digest)
        if known is not None and (known.problem or not wanted(digest)):
            return Looked(item, known, None)
        try:
            decoded = source.decode(content, pixels.at_least)
        except UnreadableImage as error:
            return Looked(item, Record(digest, problem=error.kind, why=str(error)), None)
        record = Record(digest, *decoded.size, decoded.format, decoded.notes)
        return Looked(item, record, pixels.apply(decoded.image) if wanted(digest) else None)

    for looked in _in_order(one, source.items if items is None else items):
        if memory and looked.record.digest:
            memory.records[looked.record.digest] = looked.record
        yield looked


def digest_of(source: Source, content: bytes) -> str:
    """Names the content that `source` read: its SHA-256, or what a source of packed images knows of the original."""
    known: Callable[[bytes], str] = getattr(source, "digest_of", sha256_of)
    return known(content)


def _in_order(work: Callable[[Item], Looked], items: Iterable[Item]) -> Iterator[Looked]:
    """`work` on a thread a core (Pillow decodes outside Python's lock), at most a window ahead of the reader."""
    workers = min(8, os.cpu_count() or 1)
    pending: deque[Future[Looked]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) >= 16 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:  # the reader stopped early, or an image raised: do not decode the rest
                future.cancel()


class Memory:
    """Records by content hash, kept on disk for one source."""

    def __init__(self, source: Source) -> None:
        name = sha256_of(f"{source.identity}|{PIL.__version__}|{_POLICY}".encode("utf-8", "surrogateescape"))
        self.path: Path = cache_root() / "audit" / f"{name[:32]}.json"
        self.records: dict[str, Record] = {}
        content = read_sealed(self.path)
        if content is not None:  # else every image is decoded again
            self.records = {digest: _record(digest, values) for digest, values in json.loads(content).items()}

    def save(self, digests: Collection[str]) -> None:
        """Keep the records of these digests; others have left the source."""
        kept = {digest: asdict(self.records[digest]) for digest in digests if digest in self.records}
        for values in kept.values():
            del values["digest"]
        write_sealed(self.path, json.dumps(kept).encode())


def _record(digest: str, values: dict[str, Any]) -> Record:
    return Record(digest=digest, **(values | {"notes": tuple(values["notes"])}))
