"""Features of images under a frozen backbone, computed once and cached on disk under a key of everything they depend
on.

They are the largest thing in memory of a run (5 kB an image), and are held once: a matrix that grows while images are
read, or the content of the file itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.data.sources.base import Source
from striate.inference.engine import engine_version
from striate.model import Model
from striate.pixels import DECODING
from striate.storage import cache_root, read_checked, sha256_of, write_checked_parts

DIGEST = 32  # bytes of a SHA-256
ALIGNED = 64  # bytes to which the features are aligned in the file, so that they can be used where they lie

Floats = NDArray[np.float32]


class FeatureCache:
    """Features by image hash, for one backbone, preprocessing, engine, version, precision, layer and source."""

    def __init__(self, source: Source, model: Model, engine: str, precision: str, layer: str = "") -> None:
        how = [engine, engine_version(engine), precision, DECODING, *([layer] if layer else [])]
        facts = [model.backbone_key, model.pixels.as_dict(), how, source.identity]
        name = sha256_of(json.dumps(facts, sort_keys=True).encode())
        self.path: Path = cache_root() / "features" / f"{name[:32]}.features"
        self._capacity = len(source.items)
        self._stored: Floats = np.zeros((0, 0), np.float32)
        self._new: Floats = self._stored
        self._places: dict[str, int] = {}  # those of the file, then the new ones
        content = read_checked(self.path)
        if content is not None:  # otherwise every feature is computed again
            digests, self._stored = _unpacked(content)
            self._places = {digest: place for place, digest in enumerate(digests)}

    def __contains__(self, digest: object) -> bool:
        return digest in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, digest: str, row: Floats) -> None:
        """Add the features [D] of an image."""
        place = len(self._places) - len(self._stored)
        if place >= len(self._new):
            # Memory is only taken where it is written to; the source may have more images than it said.
            larger = np.empty((max(self._capacity - len(self._stored), 2 * place, 1), len(row)), np.float32)
            if place:
                larger[:place] = self._new[:place]
            self._new = larger
        self._new[place] = row
        self._places[digest] = len(self._places)

    def matrix(self, digests: Iterable[str]) -> Floats:
        """Features [N, D] of these images, which must have been added: not a copy if they lie in this order."""
        places = np.array([self._places[digest] for digest in digests], np.int64)
        known = len(self._stored)
        for array, first in ((self._stored, 0), (self._new, known)):
            if (
                len(places)
                and places[0] >= first
                and np.array_equal(places, np.arange(places[0], places[0] + len(places)))
            ):
                start = int(places[0]) - first
                if start + len(places) <= len(array):
                    return array[start : start + len(places)]
        if not known or not self._new.size:
            return self._stored[places] if known else self._new[places]
        found = np.empty((len(places), self._new.shape[1]), np.float32)
        old = places < known
        found[old], found[~old] = self._stored[places[old]], self._new[places[~old] - known]
        return found

    def save(self, digests: Iterable[str]) -> None:
        """Write the rows of these digests to disk; other images are no longer in the source."""
        kept = [digest for digest in dict.fromkeys(digests) if digest in self._places]
        if kept:
            write_checked_parts(self.path, _packed(kept, self.matrix(kept)))


def _packed(digests: list[str], features: Floats) -> list[bytes | memoryview]:
    """A line of the counts, padded so that the features are aligned, the features, and the digests."""
    line = json.dumps({"count": len(digests), "width": features.shape[1]}).encode()
    before = 2 * DIGEST + 1  # the checksum's line
    line = line.ljust(ALIGNED * (1 + (before + len(line)) // ALIGNED) - before - 1) + b"\n"
    return [line, np.ascontiguousarray(features).data.cast("B"), bytes.fromhex("".join(digests))]


def _unpacked(content: memoryview) -> tuple[list[str], Floats]:
    end = bytes(content[: 4 * ALIGNED]).index(b"\n") + 1
    facts = json.loads(bytes(content[:end]))
    count, width = int(facts["count"]), int(facts["width"])
    size = 4 * count * width
    features = np.frombuffer(content[end : end + size], np.float32).reshape(count, width)
    names = bytes(content[end + size :]).hex()
    return [names[at : at + 2 * DIGEST] for at in range(0, len(names), 2 * DIGEST)], features
