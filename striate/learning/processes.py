"""The processes that torchrun started, as a job uses them; without importing torch if there is only one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from striate.torchrun import place

if TYPE_CHECKING:
    from striate.training.world import World

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """world: the process group; None for a single process.

    restarted: whether torchrun restarted them because one failed.
    """

    world: World | None = None
    restarted: bool = False

    @property
    def first(self) -> bool:
        """Whether this process owns the run folder and prints."""
        return self.world is None or self.world.first

    def broadcast(self, value: T) -> T:
        """The first process's `value`, in every process."""
        received: T = value if self.world is None else self.world.broadcast(value)
        return received

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Run the block in the first process of each machine, then in the others, which find its caches filled."""
        if self.world is None:
            yield
            return
        with self.world.in_turn():
            yield

    def others_end(self) -> None:
        """End every process but the first successfully: raises SystemExit(0) there."""
        if not self.first:
            raise SystemExit(0)


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """The processes that torchrun started, joined; imports torch if there are several."""
    mine = place()
    if mine.size == 1:
        yield Processes(restarted=mine.restarts > 0)
        return
    from striate.training.world import joined

    try:
        with joined() as world:
            # A machine only counts the restarts that its own processes caused.
            yield Processes(world, restarted=world.max(mine.restarts) > 0)
    except SystemExit as done:
        # At once: torch 2.13's threads can abort the interpreter's shutdown, which torchrun takes for a failure.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(done.code or 0))
