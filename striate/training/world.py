"""The processes that train one network together: `ALONE`, or those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import nn

from striate.errors import RequestError


@dataclass(frozen=True)
class World:
    """This process's place. rank: from 0; size: how many there are; device: what this one computes on."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, judges and speaks for all."""
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
        if self.size == 1:
            return numbers
        total = torch.tensor(numbers, dtype=torch.float64, device=self.device if self.on_gpu else "cpu")
        dist.all_reduce(total)
        return cast("list[float]", total.tolist())

    def align(self, net: nn.Module) -> None:
        """Give every process the first one's buffers: running statistics are each process's own until now."""
        if self.size > 1:
            for buffer in net.buffers():
                dist.broadcast(buffer, src=0)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            self.summed([0.0])

    @property
    def on_gpu(self) -> bool:
        """Whether this process computes on a GPU."""
        return self.device.type == "cuda"


ALONE = World()


def expected() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


@contextmanager
def joined() -> Iterator[World]:
    """This process among those that torchrun started; alone without torchrun. The group is left again at the end.

    One process has one GPU, where there are GPUs; they speak over NCCL then, else over gloo.
    """
    gpu = torch.cuda.is_available()
    if expected() == 1:
        yield World(device=torch.device("cuda" if gpu else "cpu"))
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if gpu and local >= torch.cuda.device_count():
        raise RequestError(f"{local + 1} processes on a machine of {torch.cuda.device_count()} GPUs: start one a GPU")
    if gpu:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), torch.device("cuda", local) if gpu else torch.device("cpu"))
    finally:
        dist.destroy_process_group()
