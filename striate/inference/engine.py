"""What an engine is: it runs the trunk of one model."""

from __future__ import annotations

import importlib.metadata
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from striate.pixels import Images

BATCH = 8  # images a call; measured on two cores: larger batches fall out of the cache and are slower
PRECISIONS = ("float32", "bfloat16")


class Engine(Protocol):
    """Runs the trunk of one model."""

    name: str
    version: str
    precision: str

    def run(self, images: Images) -> NDArray[np.float32]:
        """uint8 [N, H, W, C] -> float32 [N, D]."""
        ...


def engine_version(name: str) -> str:
    """The installed version of an engine, without importing it."""
    return importlib.metadata.version(name)


def in_batches(engine: Engine, images: Images) -> NDArray[np.float32]:
    """`engine.run` over any number of images, a batch at a time."""
    parts = [engine.run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
