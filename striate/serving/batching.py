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
from typing import Any

from striate.decoding.budget import at_most
from striate.errors import RequestError
from striate.pixels import UnreadableImage
from striate.serving.answers import Answers, Seen
from striate.serving.asked import Asked
from striate.serving.metrics import Metrics
from striate.web.limits import Limits
from striate.web.refusals import Refused, overloaded


@dataclass(frozen=True, eq=False)
class _Waiting:
    """An opened image that waits for the engine, since a moment."""

    image: Any
    found: asyncio.Future[Any]
    since: float


class Batcher:
    """One model behind a queue of bounded length, which runs as many images together as the model says.

    Everything but decoding and running happens on the event loop.
    """

    def __init__(self, name: str, answers: Answers, decoders: Executor, limits: Limits, metrics: Metrics) -> None:
        self.name, self.answers, self.size = name, answers, answers.measured_batch()
        self.most = min(limits.queue, answers.most or limits.queue)
        self._pixels = min(limits.pixels, answers.pixels or limits.pixels)
        self._decoders, self._metrics = decoders, metrics
        self._free = answers.callers
        self._engine = ThreadPoolExecutor(self._free, f"engine-{name}")
        self._waiting: deque[_Waiting] = deque()
        self.admitted = 0  # images that are waiting or being predicted

    @property
    def full(self) -> bool:
        """Whether one image more would be refused."""
        return self.admitted >= self.most

    def overloaded(self) -> Refused:
        """The refusal of an image for which the queue has no room."""
        return overloaded(f"{self.admitted} images are waiting for the model {self.name!r}")

    async def rows(self, contents: Sequence[bytes], asked: Asked) -> list[Seen]:
        """What is found for encoded images, in order; see `Answers.rows`.

        Raises Refused for an image that cannot be read, and, at once, if the queue has no room for all of them.
        """
        if len(contents) > self.most:
            raise Refused(413, f"a request has at most {self.most} images; this one has {len(contents):,}")
        if self.admitted + len(contents) > self.most:
            raise self.overloaded()
        self._count(len(contents))
        try:
            if len(contents) == 1:
                return [await self._row(contents[0], 0, asked)]
            return await _all([self._row(content, place, asked) for place, content in enumerate(contents)])
        finally:
            self._count(-len(contents))

    def close(self) -> None:
        """End the engine's thread, once it is idle."""
        self._engine.shutdown(wait=False, cancel_futures=True)

    def _count(self, images: int) -> None:
        self.admitted += images
        self._metrics.queue(self.name, self.admitted)

    async def _row(self, content: bytes, place: int, asked: Asked) -> Seen:
        """One image opened, then its row; an image whose client has left is dropped before either."""
        loop, start = asyncio.get_running_loop(), time.perf_counter()
        try:
            image, size = await loop.run_in_executor(self._decoders, self._opened, content, asked)
        except UnreadableImage as error:
            status = 413 if error.kind == "bomb" else 400
            raise Refused(status, f"image {place} cannot be used: {error.kind}, {error}") from None
        except RequestError as error:
            raise Refused(400, f"image {place} cannot be used: {error}") from None
        now = time.perf_counter()
        self._metrics.seconds(self.name, "decode", now - start)
        waiting = _Waiting(image, loop.create_future(), now)
        self._waiting.append(waiting)
        self._run()
        return Seen(await waiting.found, size)

    def _opened(self, content: bytes, asked: Asked) -> tuple[Any, tuple[int, int]]:
        with at_most(self._pixels):
            return self.answers.opened(content, asked)

    def _run(self) -> None:
        """Give those who wait to the engine's threads that have nothing to do."""
        while self._free and (batch := self._batch()):
            self._free -= 1
            start = time.perf_counter()
            for one in batch:
                self._metrics.seconds(self.name, "wait", start - one.since)
            images = [one.image for one in batch]
            work = asyncio.get_running_loop().run_in_executor(self._engine, self.answers.rows, images)
            work.add_done_callback(functools.partial(self._answer, batch, start))

    def _batch(self) -> list[_Waiting]:
        """As many as go, and no more than the share of one of the free threads."""
        size = min(self.size, -(-len(self._waiting) // self._free))
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < size:
            one = self._waiting.popleft()
            if not one.found.done():  # else its client has left
                batch.append(one)
        return batch

    def _answer(self, batch: Sequence[_Waiting], start: float, work: asyncio.Future[list[Any]]) -> None:
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
