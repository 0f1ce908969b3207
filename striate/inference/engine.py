"""The interface of an engine, which runs the backbone of one model."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from striate.pixels import Images

BATCH = 32  # images per call; an engine divides them as it is fastest, and more would be decoded in vain by who stops
PRECISIONS = ("float32", "bfloat16", "int8")

Key = TypeVar("Key")
Row = TypeVar("Row")


class Engine(Protocol):
    """Runs the backbone of one model. It takes any number of images, and divides them as it is fastest.

    callers: how many threads should call `run` at a time, where many images come one by one; with 1, no more may.
    """

    name: str
    version: str
    precision: str

    @property
    def callers(self) -> int: ...

    def forget_weights(self) -> bool:
        """Let go of the model, if the engine has all of it that it needs; returns whether it has."""
        ...

    def run(self, images: Images) -> NDArray[np.float32]:
        """uint8 [N, H, W, C] -> float32 [N, D]."""
        ...


def engine_version(name: str) -> str:
    """The installed version of an engine, without importing it."""
    return importlib.metadata.version(name)


def in_batches(
    run: Callable[[Images], Iterable[Row]], crops: Iterable[tuple[Key, Images]], size: int = BATCH
) -> Iterator[tuple[Key, Row]]:
    """Each key with its row of `run`'s output, in order.

    `run`: uint8 [N, ...] of up to `size` crops of one shape -> N rows. Crops are consumed lazily.
    """
    rest = iter(crops)
    while batch := list(islice(rest, size)):
        rows = run(np.stack([crop for _, crop in batch]))
        yield from zip((key for key, _ in batch), rows, strict=True)
