"""The processes that train one network together: `ALONE`, or those that torchrun started."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.rendezvous import rendezvous

from striate.errors import RequestError, StriateError, WorkError
from striate.torchrun import Place, place

# Timeout of a collective: the first process may have to decode a large data set. A failed process is noticed at once:
# its connections close, and torchrun ends the others.
TIMEOUT = timedelta(days=2)
START = timedelta(minutes=10)  # for all processes to be there, once torchrun has started them
WAIT = timedelta(minutes=30)  # of the store for a key, afterwards; torch's default
POLL_SECONDS = 0.02  # seconds between two polls of the store


@dataclass(frozen=True)
class World:
    """This process's place. rank: from 0; size: number of processes; device: of this process; local: rank on its
    machine.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, validates and logs."""
        return self.rank == 0

    def broadcast(self, value: Any) -> Any:
        """The first process's `value`, in every process."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)  # type: ignore[no-untyped-call, unused-ignore]
        return box[0]

    def sum(self, numbers: list[float]) -> list[float]:
        """The numbers summed over all processes."""
        return numbers if self.size == 1 else self._reduced(numbers, dist.ReduceOp.SUM)

    def max(self, number: int) -> int:
        """The maximum over all processes."""
        return number if self.size == 1 else int(self._reduced([number], dist.ReduceOp.MAX)[0])

    def broadcast_buffers(self, net: nn.Module) -> None:
        """Broadcast the first process's buffers: until now each process has its own running statistics."""
        if self.size > 1:
            for buffer in net.buffers():
                dist.broadcast(buffer, src=0)

    def barrier(self) -> None:
        """Barrier: continue once every process is here."""
        if self.size > 1:
            self.sum([0.0])

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Run the block in the first process of each machine, then in the others, which find its caches filled."""
        if self.local:
            self.barrier()
        yield
        if not self.local:
            self.barrier()

    @property
    def on_gpu(self) -> bool:
        """Whether this process computes on a GPU."""
        return self.device.type == "cuda"

    def _reduced(self, numbers: list[float] | list[int], how: dist.ReduceOp.RedOpType) -> list[float]:
        found = torch.tensor(numbers, dtype=torch.float64, device=self.device if self.on_gpu else "cpu")
        dist.all_reduce(found, how)
        return cast("list[float]", found.tolist())


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Join the process group that torchrun started, or run alone without torchrun; the group is destroyed at the end.

    One GPU per process, over NCCL, where there are GPUs; otherwise CPU, over gloo.
    Raises WorkError if another process fails while this one waits for it.
    """
    gpu, mine = torch.cuda.is_available(), place()
    if mine.size == 1:
        yield World(device=torch.device("cuda" if gpu else "cpu"))
        return
    if gpu and mine.local >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise RequestError(f"{mine.local + 1} processes on a machine with {count} GPUs: start one process per GPU")
    device = torch.device("cuda", mine.local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(
            "nccl" if gpu else "gloo", store=_store(mine), rank=mine.rank, world_size=mine.size, timeout=TIMEOUT
        )
        yield World(mine.rank, mine.size, device, mine.local)
    except RuntimeError as error:
        if isinstance(error, StriateError) or not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
            raise
        raise WorkError("another process has ended or cannot be reached; its error message gives the cause") from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _store(mine: Place) -> Any:
    """The rendezvous store: a prefix of torchrun's store that no earlier start has used.

    torchrun (2.13) keeps its store, with the addresses of ended processes, when it restarts processes; and each machine
    counts restarts separately, so no counter identifies a start. So the first process draws a random name and publishes
    it with the marks it has read from the others, until each of them has found its own mark there.
    """
    try:
        store, *_ = next(rendezvous("env://", mine.rank, mine.size, timeout=START))
    except ValueError as error:  # MASTER_ADDR or MASTER_PORT is missing, or no port
        raise RequestError(
            f"RANK and WORLD_SIZE are set, but torchrun's other variables do not fit: {error}; start with torchrun, or "
            "unset them to run as a single process"
        ) from error
    named = _named(mine, store)
    store.set_timeout(WAIT)
    return named


def _named(mine: Place, store: Any) -> Any:
    """The store under the random name."""
    mark, end = uuid4().hex, time.monotonic() + START.total_seconds()
    others = range(1, mine.size)
    if mine.rank:
        store.set(f"mark/{mine.rank}", mark)
        while mark not in (published := json.loads(store.get("published")))["marks"]:
            _wait(mine, end)
        store.set(f"{published['name']}/{mine.rank}", "found")
        return dist.PrefixStore(published["name"], store)  # type: ignore[attr-defined, unused-ignore]
    while not store.check([f"{mark}/{rank}" for rank in others]):
        marks = [store.get(f"mark/{rank}").decode() for rank in others]
        store.set("published", json.dumps({"name": mark, "marks": marks}))
        _wait(mine, end)
    return dist.PrefixStore(mark, store)  # type: ignore[attr-defined, unused-ignore]


def _wait(mine: Place, end: float) -> None:
    """A moment. Raises WorkError after `end`."""
    if time.monotonic() > end:
        raise WorkError(f"{mine}: the others did not start within {START.total_seconds():.0f} s")
    time.sleep(POLL_SECONDS)
