"""A pool of threads that maps over items in order, with bounded memory: for reading and decoding images."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import TypeVar

CHUNK = 8  # items a task: large enough that handing tasks over costs nothing, small enough that few results wait

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work` of each item, in order, on one thread a core (Pillow decodes outside Python's lock).

    At most a window of results is computed ahead of the reader. What `work` raises is raised here, in its place.
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
