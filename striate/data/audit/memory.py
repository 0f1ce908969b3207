"""A cache of the records of a source's images on disk. Damage to it only costs time."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from safetensors import numpy as safetensors

from striate.data.sources.base import IN_MEMORY, Source
from striate.pixels import DECODING
from striate.storage import cache_root, read_checked, sha256_of, write_checked

_RECORDS = 2  # raised when the records change: cached ones are then discarded


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one image.

    notes: keys of `striate.pixels.POLICIES`. problem: "" for a usable one, else the kind of its finding, and why.
    spread, print: see `striate.data.audit.likeness.sketch`.
    """

    digest: str
    width: int = 0
    height: int = 0
    format: str = ""
    notes: tuple[str, ...] = ()
    spread: float = 0.0
    print: bytes = b""
    problem: str = ""
    why: str = ""


class Memory:
    """Records by content hash, and hashes by file stamp; cached on disk for one source."""

    def __init__(self, source: Source) -> None:
        name = sha256_of(
            f"{source.identity}|{PIL.__version__}|{DECODING}|{_RECORDS}".encode("utf-8", "surrogateescape")
        )
        self.path: Path = cache_root() / "audit" / f"{name[:32]}.safetensors"
        self.records: dict[str, Record] = {}
        self._in_memory = source.identity.startswith(IN_MEMORY)
        self._stamps: dict[str, tuple[str, str]] = {}  # by key: stamp and digest
        self._seen: set[str] = set()  # keys of this pass: stamps of other files are dropped
        content = read_checked(self.path)
        if content is not None:  # else every image is decoded again
            self.records, self._stamps = _unpacked(safetensors.load(bytes(content)))
        self._as_stored = content is not None

    def unchanged(self, key: str, stamp: str) -> Record | None:
        """The record of the file `key` if it still has this stamp."""
        before = self._stamps.get(key)
        return self.records.get(before[1]) if before is not None and stamp and before[0] == stamp else None

    def remember(self, key: str, stamp: str, record: Record) -> None:
        """Store the record of the file `key`; with a stamp, until the file changes."""
        self._seen.add(key)
        if record.digest not in self.records:
            self.records[record.digest] = record
            self._as_stored = False
        state = (stamp, record.digest) if stamp else ("", "")
        if self._stamps.get(key, ("", "")) != state:
            self._stamps[key] = state
            self._as_stored = False

    def save(self, digests: Collection[str]) -> None:
        """Save the records of these digests; others are no longer in the source. Raises WorkError if writing fails.

        Nothing is saved for data in memory: reading them again is cheap, and they may never be given again.
        """
        if self._in_memory:
            return
        wanted = set(digests)
        records = {digest: record for digest, record in self.records.items() if digest in wanted}
        stamps = {
            key: (stamp, digest)
            for key, (stamp, digest) in self._stamps.items()
            if digest in records and key in self._seen
        }
        if self._as_stored and len(records) == len(self.records) and len(stamps) == len(self._stamps):
            return
        write_checked(self.path, safetensors.save(_packed(records, stamps)))
        self._as_stored = True


Columns = dict[str, NDArray[np.generic]]


def _packed(records: dict[str, Record], stamps: dict[str, tuple[str, str]]) -> Columns:
    """As columns; repeated values (format, notes, problem and why) are stored once in a list of kinds."""
    kinds: dict[tuple[str, tuple[str, ...], str, str], int] = {}
    of_kind = [kinds.setdefault((r.format, r.notes, r.problem, r.why), len(kinds)) for r in records.values()]
    place = {digest: index for index, digest in enumerate(records)}
    words = {"kinds": list(kinds), "keys": list(stamps), "stamps": [stamp for stamp, _ in stamps.values()]}
    return {
        "digest": np.frombuffer(bytes.fromhex("".join(records)), np.uint8),
        "size": np.array([(r.width, r.height) for r in records.values()], np.uint32),
        "kind": np.array(of_kind, np.uint32),
        "spread": np.array([r.spread for r in records.values()], np.float64),
        "printed": np.array([len(r.print) for r in records.values()], np.uint32),
        "print": np.frombuffer(b"".join(r.print for r in records.values()), np.uint8),
        "stamped": np.array([place[digest] for _, digest in stamps.values()], np.uint32),
        "words": np.frombuffer(json.dumps(words).encode(), np.uint8),
    }


def _unpacked(columns: Columns) -> tuple[dict[str, Record], dict[str, tuple[str, str]]]:
    """The inverse of `_packed`."""
    words = json.loads(columns["words"].tobytes())
    kinds = [(form, tuple(notes), problem, why) for form, notes, problem, why in words["kinds"]]
    digests = columns["digest"].tobytes().hex()
    prints, ends = memoryview(columns["print"].tobytes()), np.cumsum(columns["printed"]).tolist()
    rows = zip(
        columns["size"].tolist(),
        columns["kind"].tolist(),
        columns["spread"].tolist(),
        columns["printed"].tolist(),
        ends,
        strict=True,
    )
    records: list[Record] = []
    for index, ((width, height), kind, spread, length, end) in enumerate(rows):
        form, notes, problem, why = kinds[kind]
        thumbnail = bytes(prints[end - length : end])
        digest = digests[64 * index : 64 * index + 64]
        records.append(Record(digest, width, height, form, notes, spread, thumbnail, problem, why))
    stamped = zip(words["keys"], words["stamps"], columns["stamped"].tolist(), strict=True)
    return (
        {record.digest: record for record in records},
        {key: (stamp, records[place].digest) for key, stamp, place in stamped},
    )
