"""The environment variables that torchrun sets for its processes, read without importing torch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from striate.errors import RequestError


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
    """This process's place; alone without torchrun. Raises RequestError for variables that no torchrun sets."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Place()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RESTART_COUNT")
    rank, size, local, restarts = map(_number, names)
    if not (0 <= rank < size and 0 <= local < size and restarts >= 0):
        raise _nonsense(f"RANK is {rank}, LOCAL_RANK {local} and WORLD_SIZE {size}")
    return Place(rank, size, local, restarts)


def _number(name: str) -> int:
    text = os.environ.get(name, "0")
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 10):
        raise _nonsense(f"{name} is {text[:60]!r}")
    return int(text)


def _nonsense(what: str) -> RequestError:
    return RequestError(f"{what} in the environment, which torchrun sets; unset them to run as a single process")
