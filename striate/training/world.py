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

# How long one may wait for another, such as for the first to decode a large data set. Who is lost is not waited for:
# its connections close, and torchrun ends the others.
PATIENCE = timedelta(days=2)
PAUSE = 0.02  # seconds between two looks at who has come


@dataclass(frozen=True)
class World:
    """This process's place. rank: from 0; size: how many there are; device: what this one computes on; local: its
    number among those of its machine."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, validates and speaks for all."""
        return self.rank == 0

    def told(self, value: Any) -> Any:
        """The first process's `value`, in every process."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)  # type: ignore[no-untyped-call, unused-ignore]
        return box[0]

    def summed(self, numbers: list[float]) -> list[float]:
        """The sums of every process's numbers."""
        return numbers if self.size == 1 else self._reduced(numbers, dist.ReduceOp.SUM)

    def highest(self, number: int) -> int:
        """The highest of every process's number."""
        return number if self.size == 1 else int(self._reduced([number], dist.ReduceOp.MAX)[0])

    def align(self, net: nn.Module) -> None:
        """Give every process the first one's buffers: running statistics are each process's own until now."""
        if self.size > 1:
            for buffer in net.buffers():
                dist.broadcast(buffer, src=0)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            self.summed([0.0])

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process of each machine goes through the block, then the others: what it caches is there then."""
        if self.local:
            self.wait()
        yield
        if not self.local:
            self.wait()

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
    """This process among those that torchrun started; alone without torchrun. The group is left again at the end.

    One process has one GPU, where there are GPUs; they speak over NCCL then, else over gloo.
    Raises WorkError where another process is lost while this one waits for it.
    """
    gpu, mine = torch.cuda.is_available(), place()
    if mine.size == 1:
        yield World(device=torch.device("cuda" if gpu else "cpu"))
        return
    if gpu and mine.local >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise RequestError(f"{mine.local + 1} processes on a machine of {count} GPUs: start one a GPU")
    device = torch.device("cuda", mine.local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(
            "nccl" if gpu else "gloo", store=_store(mine), rank=mine.rank, world_size=mine.size, timeout=PATIENCE
        )
        yield World(mine.rank, mine.size, device, mine.local)
    except RuntimeError as error:
        if isinstance(error, StriateError) or not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
            raise
        raise WorkError("another process has ended, or cannot be reached; where it had words, they say why") from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _store(mine: Place) -> Any:
    """Where the processes find each other's addresses: a part of torchrun's store that no earlier start has used.

    torchrun (2.13) keeps its store when it starts processes anew, with the addresses of the dead in it; and machines
    count restarts each for itself, so no number tells one start from another. So the first process draws a name, and
    tells it together with the marks that it finds of the others, until each has found its own among them.
    """
    store, *_ = next(rendezvous("env://", mine.rank, mine.size))
    mark = uuid4().hex
    others = range(1, mine.size)
    if mine.rank:
        store.set(f"mark/{mine.rank}", mark)
        while mark not in (told := json.loads(store.get("told")))["marks"]:
            time.sleep(PAUSE)
        store.set(f"{told['name']}/{mine.rank}", "found")
        return dist.PrefixStore(told["name"], store)  # type: ignore[attr-defined, unused-ignore]
    while not store.check([f"{mark}/{rank}" for rank in others]):
        marks = [store.get(f"mark/{rank}").decode() for rank in others]
        store.set("told", json.dumps({"name": mark, "marks": marks}))
        time.sleep(PAUSE)
    return dist.PrefixStore(mark, store)  # type: ignore[attr-defined, unused-ignore]
