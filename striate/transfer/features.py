"""Features of images under a frozen trunk, computed once and kept on disk under everything that decides them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from striate.data.sources.base import Source
from striate.inference.engine import BATCH, Engine, engine_version
from striate.model import Model
from striate.pixels import Images
from striate.storage import cache_root, read_sealed, sha256_of, write_sealed


class FeatureCache:
    """Features by image hash, for one trunk, preprocessing, engine, version, precision and source."""

    def __init__(self, source: Source, model: Model, engine: str, precision: str) -> None:
        facts = [model.trunk_key, model.pixels.as_dict(), engine, engine_version(engine), precision, source.identity]
        name = sha256_of(json.dumps(facts, sort_keys=True).encode())
        self.path: Path = cache_root() / "features" / f"{name[:32]}.safetensors"
        self.rows: dict[str, NDArray[np.float32]] = {}
        content = read_sealed(self.path)
        if content is not None:  # else every feature is computed again
            stored = safetensors.numpy.load(content)
            for digest, row in zip(stored["digests"], stored["features"], strict=True):
                self.rows[digest.tobytes().hex()] = row

    def __contains__(self, digest: object) -> bool:
        return digest in self.rows

    def matrix(self, digests: Iterable[str]) -> NDArray[np.float32]:
        """Features [N, D] of these images, which must have been added."""
        return np.stack([self.rows[digest] for digest in digests])

    def save(self, digests: Iterable[str]) -> None:
        """Keep the rows of these digests on disk; other images have left the source."""
        kept = [digest for digest in dict.fromkeys(digests) if digest in self.rows]
        if kept:
            names = np.frombuffer(b"".join(bytes.fromhex(digest) for digest in kept), np.uint8).reshape(len(kept), -1)
            content = safetensors.numpy.save({"digests": names, "features": self.matrix(kept)})
            write_sealed(self.path, content)


class FeatureWriter:
    """Collects crops and runs them through an engine a batch at a time."""

    def __init__(self, cache: FeatureCache) -> None:
        self.cache = cache
        self._waiting: dict[str, Images] = {}

    def add(self, digest: str, crop: Images) -> None:
        """One more image; equal images are run once."""
        if digest not in self.cache.rows:
            self._waiting[digest] = crop

    @property
    def waiting(self) -> int:
        """How many images have not been run."""
        return len(self._waiting)

    def run(self, engine: Engine, *, everything: bool = False) -> int:
        """Run full batches, or everything that waits; returns how many images were run."""
        ran = 0
        while len(self._waiting) >= BATCH or (everything and self._waiting):
            digests = list(self._waiting)[:BATCH]
            answers = engine.run(np.stack([self._waiting.pop(digest) for digest in digests]))
            for digest, answer in zip(digests, answers, strict=True):
                self.cache.rows[digest] = answer
            ran += len(digests)
        return ran
