"""The environment variables that torchrun sets for its processes, read without importing torch."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A process among `size`: its `rank` from 0, and `local`, its rank on its machine.

    restarts: how often torchrun restarted the processes because one on this machine failed.
    """

    rank: int = 0
    size: int = 1
    local: int = 0
    restarts: int = 0

    def __str__(self) -> str:
        return f"process {self.rank + 1} of {self.size}"


def place() -> Place:
    """This process's place; alone without torchrun."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Place()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RESTART_COUNT")
    rank, size, local, restarts = (int(os.environ.get(name, "0")) for name in names)
    return Place(rank, size, local, restarts)
