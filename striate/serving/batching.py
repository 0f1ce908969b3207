"""Batches without a timer: while the engine runs, decoded images gather; then as many as go are run together.

An engine that takes several callers, such as OpenVINO on several cores, has a thread for each: none of them waits for
the batch of another.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from striate.decoding.budget import at_most
from striate.inference.image_predictor import ImagePredictor, Row
from striate.pixels import Images, UnreadableImage, decode
from striate.serving.metrics import Metrics
from striate.web.limits import Limits
from striate.web.refusals import Refused, overloaded

SIZES = (1, 8, 32)  # images in a batch, of which the best is measured
LONG = 0.1  # seconds: the largest size is not tried where it would take longer, so that a server starts soon
SHARE = 2  # images that each of several callers takes: with more a graph's memory grows, and no time is gained
GAIN = 0.95  # a larger batch is taken if an image then takes less than this share of the time


class Seen(NamedTuple):
    """What the predictor gives for an image, and the width and height of the image, upright."""

    row: Row
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A decoded image that waits for the engine, since a moment."""

    crop: Images
    found: asyncio.Future[Row]
    since: float


def measured_batch(predictor: ImagePredictor) -> int:
    """The number of images that a call of the engine should have: SHARE of several callers, else by its times.

    It opens the engine, and runs it at least once, on black images.
    """
    if predictor.callers > 1:
        predictor.rows(np.zeros((1, *predictor.view.shape), np.uint8))
        return SHARE
    best, least = 1, float("inf")
    for size in SIZES:
        if size == SIZES[-1] and least * size > LONG:
            break
        crops = np.zeros((size, *predictor.view.shape), np.uint8)
        predictor.rows(crops)
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            predictor.rows(crops)
            seconds.append((time.perf_counter() - start) / size)
        if min(seconds) < GAIN * least:
            best, least = size, min(seconds)
    return best


class Batcher:
    """One model behind a queue of bounded length. `size`: images in a batch, at most.

    Everything but decoding and running happens on the event loop.
    """

    def __init__(
        self, name: str, predictor: ImagePredictor, size: int, decoders: Executor, limits: Limits, metrics: Metrics
    ) -> None:
        self.name, self.predictor, self.size, self.limits = name, predictor, size, limits
        self._decoders, self._metrics = decoders, metrics
        self._free = predictor.callers
        self._engine = ThreadPoolExecutor(self._free, f"engine-{name}")
        self._waiting: deque[_Waiting] = deque()
        self.admitted = 0  # images that are waiting or being predicted

    @property
    def full(self) -> bool:
        """Whether one image more would be refused."""
        return self.admitted >= self.limits.queue

    def overloaded(self) -> Refused:
        """The refusal of an image for which the queue has no room."""
        return overloaded(f"{self.admitted} images are waiting for the model {self.name!r}")

    async def rows(self, contents: Sequence[bytes]) -> list[Seen]:
        """The predictions for encoded images, in order; see `ImagePredictor.rows`.

        Raises Refused for an image that cannot be read, and, at once, if the queue has no room for all of them.
        """
        if len(contents) > self.limits.queue:
            raise Refused(413, f"a request has at most {self.limits.queue} images; this one has {len(contents):,}")
        if self.admitted + len(contents) > self.limits.queue:
            raise self.overloaded()
        self._count(len(contents))
        try:
            if len(contents) == 1:
                return [await self._row(contents[0], 0)]
            return await _all([self._row(content, place) for place, content in enumerate(contents)])
        finally:
            self._count(-len(contents))

    def close(self) -> None:
        """End the engine's thread, once it is idle."""
        self._engine.shutdown(wait=False, cancel_futures=True)

    def _count(self, images: int) -> None:
        self.admitted += images
        self._metrics.queue(self.name, self.admitted)

    async def _row(self, content: bytes, place: int) -> Seen:
        """One image decoded, then its row; an image whose client has left is dropped before either."""
        loop, start = asyncio.get_running_loop(), time.perf_counter()
        try:
            crop, size = await loop.run_in_executor(self._decoders, self._crop, content)
        except UnreadableImage as error:
            status = 413 if error.kind == "bomb" else 400
            raise Refused(status, f"image {place} cannot be used: {error.kind}, {error}") from None
        now = time.perf_counter()
        self._metrics.seconds(self.name, "decode", now - start)
        waiting = _Waiting(crop, loop.create_future(), now)
        self._waiting.append(waiting)
        self._run()
        return Seen(await waiting.found, size)

    def _crop(self, content: bytes) -> tuple[Images, tuple[int, int]]:
        view = self.predictor.view
        with at_most(self.limits.pixels):
            found = decode(content, at_least=view.at_least)
            return view.apply(found.image), found.upright_size

    def _run(self) -> None:
        """Give those who wait to the engine's threads that have nothing to do."""
        while self._free and (batch := self._batch()):
            self._free -= 1
            start = time.perf_counter()
            for one in batch:
                self._metrics.seconds(self.name, "wait", start - one.since)
            crops = [one.crop for one in batch]
            work = asyncio.get_running_loop().run_in_executor(self._engine, self._rows, crops)
            work.add_done_callback(functools.partial(self._answer, batch, start))

    def _rows(self, crops: Sequence[Images]) -> list[Row]:
        return self.predictor.rows(np.stack(crops))

    def _batch(self) -> list[_Waiting]:
        """As many as go, and no more than the share of one of the free threads."""
        size = min(self.size, -(-len(self._waiting) // self._free))
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < size:
            one = self._waiting.popleft()
            if not one.found.done():  # else its client has left
                batch.append(one)
        return batch

    def _answer(self, batch: Sequence[_Waiting], start: float, work: asyncio.Future[list[Row]]) -> None:
        self._free += 1
        if work.cancelled():  # the server ends
            return
        error = work.exception()
        if error is None:
            self._metrics.batch(self.name, len(batch), time.perf_counter() - start)
        for place, one in enumerate(batch):  # every one of them has to be answered
            if not one.found.done():
                if error is None:
                    one.found.set_result(work.result()[place])
                else:
                    one.found.set_exception(error)
        self._run()


async def _all(work: Sequence[Coroutine[Any, Any, Seen]]) -> list[Seen]:
    """The results of coroutines; after the first error the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
