"""A pool of threads that maps over items in order, with bounded memory: for reading and decoding images."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import TypeVar

CHUNK = 8  # items per task: large enough for little overhead, small enough for few waiting results

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work` of each item, in order, on one thread per core (Pillow releases the GIL while decoding).

    A bounded number of results is computed in advance. An exception of `work` is raised here, in order.
    """
    workers = min(8, os.cpu_count() or 1)
    pending: deque[Future[list[Result]]] = deque()
    stopped = Event()

    def chunk(some: list[Item]) -> list[Result]:
        return [work(item) for item in some if not stopped.is_set()]

    with ThreadPoolExecutor(workers) as pool:
        try:
            rest = iter(items)
            while some := list(islice(rest, CHUNK)):
                pending.append(pool.submit(chunk, some))
                if len(pending) >= 2 * workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            stopped.set()  # the reader stopped early, or an item raised: do not work on the rest
            for future in pending:
                future.cancel()
