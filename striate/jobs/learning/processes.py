"""The processes that torchrun started, as a job sees them: without torch, and silent, where there is but one."""

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
    """world: of those that train together; None where one trains alone.

    restarted: whether torchrun started them anew because one was lost.
    """

    world: World | None = None
    restarted: bool = False

    @property
    def first(self) -> bool:
        """Whether this is the process that owns the run folder and speaks."""
        return self.world is None or self.world.first

    def told(self, value: T) -> T:
        """The first process's `value`, in every process."""
        told: T = value if self.world is None else self.world.told(value)
        return told

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process of each machine goes through the block, then the others: what it caches is there then."""
        if self.world is None:
            yield
            return
        with self.world.in_turn():
            yield

    def others_end(self) -> None:
        """End every process but the first, as one whose work is done: raises SystemExit(0) there."""
        if not self.first:
            raise SystemExit(0)


@contextmanager
def together() -> Iterator[Processes]:
    """The processes that torchrun started, joined; imports torch where there are several."""
    mine = place()
    if mine.size == 1:
        yield Processes(restarted=mine.restarts > 0)
        return
    from striate.training.world import joined

    try:
        with joined() as world:
            # A machine knows only of the restarts that its own processes caused.
            yield Processes(world, restarted=world.highest(mine.restarts) > 0)
    except SystemExit as done:
        # At once, for torch 2.13's threads can abort the interpreter's ending, which torchrun takes for a lost process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(done.code or 0))
