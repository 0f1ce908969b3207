"""Runs two processes to compare with one: a program for each process that writes its results to files.

python together.py FOLDER PORT PORT PORT, with RANK and WORLD_SIZE as torchrun sets them
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from training_cases import examples, flat, noise, same, small_net, some

from striate.errors import StriateError
from striate.recipe import Recipe
from striate.training.checkpoints import Checkpoints
from striate.training.hooks import Hook
from striate.training.loop import fit
from striate.training.loop_state import EpochReport, LoopState
from striate.training.world import ALONE, World, joined

QUICK = Recipe().updated(
    {
        "train.epochs": 3,
        "train.batch": 32,
        "optimizer.lr": 0.05,
        "schedule.warmup_epochs": 0,
        "augment": {"preset": "none", "shift": 1, "mixup": 0.4},
        "seed": 3,
    }
)


class TwoHeads(nn.Module):
    """A net with an auxiliary head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.side = small_net(norm=False), nn.Linear(196, 10)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.body(x)
        return answer

    def forward_aux(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self.body(x), [self.side(x.flatten(1))]


class LeavesOut(nn.Module):
    """A net with a layer that most micro-batches skip."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.more = small_net(norm=False), nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.body(x)
        return scores + self.more(scores) if not self.training or torch.rand(()) < 0.4 else scores


@dataclasses.dataclass(frozen=True)
class Case:
    """A run of n images, by two processes or by one with twice as many micro-batches."""

    net: Callable[[], nn.Module]
    n: int
    recipe: Recipe = QUICK
    chances: bool = False

    def run(self, world: World = ALONE, **more: Any) -> tuple[nn.Module, list[EpochReport]]:
        recipe, images = self.recipe, some(self.n + 20)
        if world.size == 1 and "hooks" not in more:
            recipe = recipe.updated({"train.accumulate": 2 * recipe.train.accumulate})
        chances = np.arange(1.0, self.n + 1) if self.chances else None
        trained, held = (
            examples(images[0][: self.n], images[1][: self.n], sampling_weights=chances),
            examples(images[0][self.n :], images[1][self.n :]),
        )
        torch.manual_seed(0)
        net = self.net()
        return net, fit(net, trained, recipe, held_out=held, world=world, **more)


CASES = {
    # 65 images: two batches of 32, and one that is smaller than the number of processes.
    "a last batch of one": Case(lambda: small_net(norm=False), 65),
    "a multiple of the batch": Case(lambda: small_net(norm=False), 64),
    "dropout, accumulate": Case(lambda: small_net(norm=False, dropout=0.5), 67, QUICK.updated({"train.accumulate": 2})),
    "batch norm": Case(small_net, 67),  # the last batch of 3 is one micro-batch for both
    "two heads, sampling weights, average": Case(
        TwoHeads, 61, QUICK.updated({"train.ema_decay": 0.9, "loss.aux_weight": 0.3}), chances=True
    ),
    "best epoch": Case(
        lambda: small_net(norm=False),
        61,
        QUICK.updated(
            {"train.epochs": 9, "train.patience": 1, "train.keep_checkpoint": "best", "optimizer.name": "adam"}
        ),
    ),
    "a layer left out": Case(LeavesOut, 64),
}


class Bad(nn.Module):
    """The identity, until it corrupts its input in the second process's third step."""

    def __init__(self, rank: int, spoil: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rank, self.spoil, self.seen = rank, spoil, 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return self.spoil(x) if self.rank == 1 and self.seen >= 3 else x


def _no_memory(x: Tensor) -> Tensor:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")


class _Counts(Hook):
    def __init__(self) -> None:
        self.steps = 0

    def step_done(self, loop: LoopState) -> None:
        self.steps += 1


def trained(world: World, folder: Path) -> dict[str, Any]:
    """Every case's curve and weights."""
    facts = {}
    for number, (name, case) in enumerate(CASES.items()):
        net, reports = case.run(world)
        np.save(folder / f"weights-{number}-{world.rank}.npy", flat(net).numpy())
        facts[name] = [[report.loss, report.score, report.held_out_loss] for report in reports]
    return facts


def stopped(world: World, folder: Path) -> dict[str, Any]:
    """A run stopped by a signal to the second process in its second epoch, resumed, and an uninterrupted one."""
    case, told = Case(lambda: small_net(dropout=0.5), 90, QUICK.updated({"optimizer.name": "adam"})), {}
    counts = _Counts()

    def asked() -> int:
        return 15 if world.rank == 1 and counts.steps == 4 else 0

    whole, curve = case.run(world, hooks=[])
    try:
        case.run(world, hooks=[counts, Checkpoints(folder / "checkpoints", stop=asked, advice="; resume")])
    except StriateError as error:
        told = {"said": str(error), "code": error.exit_code, "steps": counts.steps}
    resumed, again = case.run(world, hooks=[Checkpoints(folder / "checkpoints")])
    parameters = zip(whole.parameters(), resumed.parameters(), strict=True)
    timeless = [[dataclasses.replace(one, seconds=0, images_per_second=0) for one in some] for some in (curve, again)]
    return told | {
        "equal": all(torch.equal(one, other) for one, other in parameters),
        "same": same(whole, resumed),
        "curves": timeless[0] == timeless[1],
    }


def words(world: World, folder: Path) -> dict[str, Any]:
    """Broadcasts and reductions between the processes."""
    with world.in_turn():
        if world.local == 0:
            (folder / "cached").write_text("by the first")
        seen = (folder / "cached").read_text()
    return {
        "broadcast": world.broadcast(f"of process {world.rank}"),
        "sum": world.sum([world.rank + 1.0, 0.5]),
        "max": world.max(world.rank * 15),
        "in turn": seen,
    }


def not_finite(world: World, folder: Path) -> dict[str, Any]:
    """The second process's loss is not finite."""
    return _failing(world, lambda x: x / 0.0)


def no_memory(world: World, folder: Path) -> dict[str, Any]:
    """The second process runs out of memory."""
    return _failing(world, _no_memory)


def other_data(world: World, folder: Path) -> dict[str, Any]:
    """The second process is given other images."""
    hook = Checkpoints(folder / "other", identity={"data": f"digest {world.rank}"})
    fit(small_net(), noise(64), QUICK, hooks=[hook], world=world)
    return {}


def _failing(world: World, spoil: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    net = small_net(norm=False)
    net.insert(0, Bad(world.rank, spoil))
    fit(net, noise(64), QUICK.updated({"augment": {"preset": "none"}}), world=world)
    return {}


PARTS = (words, trained, stopped, not_finite, no_memory, other_data)


def main(folder: Path, ports: list[str]) -> None:
    """Each part in a separate process, forked after torch is imported."""
    torch.set_num_threads(1)
    for part, port in zip(PARTS, ports, strict=True):
        if child := os.fork():
            os.waitpid(child, 0)
            continue
        os.environ["MASTER_PORT"] = port
        try:
            with joined() as world:
                found = part(world, folder)
        except StriateError as error:
            found = {"error": type(error).__name__, "said": str(error)}
        (folder / f"{part.__name__}-{os.environ['RANK']}.json").write_text(json.dumps(found))
        os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
