"""Features of images under a frozen backbone, computed once and cached on disk under a key of everything they depend
on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from striate.data.sources.base import Source
from striate.inference.engine import engine_version
from striate.model import Model
from striate.storage import cache_root, read_checked, sha256_of, write_checked


class FeatureCache:
    """Features by image hash, for one backbone, preprocessing, engine, version, precision and source."""

    def __init__(self, source: Source, model: Model, engine: str, precision: str) -> None:
        facts = [model.backbone_key, model.pixels.as_dict(), engine, engine_version(engine), precision, source.identity]
        name = sha256_of(json.dumps(facts, sort_keys=True).encode())
        self.path: Path = cache_root() / "features" / f"{name[:32]}.safetensors"
        self.rows: dict[str, NDArray[np.float32]] = {}
        content = read_checked(self.path)
        if content is not None:  # otherwise every feature is computed again
            stored = safetensors.numpy.load(content)
            for digest, row in zip(stored["digests"], stored["features"], strict=True):
                self.rows[digest.tobytes().hex()] = row

    def __contains__(self, digest: object) -> bool:
        return digest in self.rows

    def matrix(self, digests: Iterable[str]) -> NDArray[np.float32]:
        """Features [N, D] of these images, which must have been added."""
        return np.stack([self.rows[digest] for digest in digests])

    def save(self, digests: Iterable[str]) -> None:
        """Write the rows of these digests to disk; other images are no longer in the source."""
        kept = [digest for digest in dict.fromkeys(digests) if digest in self.rows]
        if kept:
            names = np.frombuffer(b"".join(bytes.fromhex(digest) for digest in kept), np.uint8).reshape(len(kept), -1)
            content = safetensors.numpy.save({"digests": names, "features": self.matrix(kept)})
            write_checked(self.path, content)
