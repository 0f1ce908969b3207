"""Measure a training step against other libraries: python benchmarks/steps.py [--runs 5] [--nets resnet20 ...]

Run by the peers' Python, with this project on PYTHONPATH (`make peers` sets both up). ResNet-20 at 32 x 32, batch 128,
ResNet-18 at 64 x 64, batch 128, and EfficientNet-Lite0 at 128 x 128, batch 32; SGD with Nesterov momentum, float images
already in memory for the peers, uint8 for us; all train a net of the same architecture from the same catalogue, in one
process, alternating.
Rows: plain PyTorch as in its tutorials; timm's loop (its train script's defaults: optimizer factory, label smoothing)
and fastai's Learner as documented; each also with its fast flags (bfloat16, channels last); and ours as `striate train`
runs it, including augmentation (shift and flip), after its own timing trial. Of each row, the multiply-adds that it
does a second (three times those of a forward pass) as a share of the fastest matrix product in bfloat16 here.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from recording import write_record
from torch import Tensor, nn

from striate.anatomy.summary import madds
from striate.nets.build import create
from striate.recipe import Recipe
from striate.training.examples import Examples
from striate.training.loop import train_step
from striate.training.loop_state import LoopState
from striate.training.step_timing import choose_fastest
from striate.training.world import ALONE

SIZES = {"resnet20": (32, 128), "resnet18": (64, 128), "efficientnet_lite0": (128, 32)}
STEPS = 4  # per turn
CLASSES = 10

Turn = Callable[[], float]  # seconds per step


def data(size: int, batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch * STEPS, 3, size, size), dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, CLASSES, (batch * STEPS,), generator=generator)


def net_of(name: str, size: int) -> nn.Module:
    torch.manual_seed(0)
    return create(name, classes=CLASSES, in_channels=3, input_size=(size, size)).train()


def ours(name: str, compiled: str) -> tuple[Turn, str]:
    size, batch = SIZES[name]
    images, labels = data(size, batch)
    examples = Examples(images, labels, [127.5] * 3, [127.5] * 3)
    net = net_of(name, size)
    recipe = Recipe().updated(
        {
            "train": {"epochs": 100_000, "batch": batch, "compile": compiled},
            "augment": {"preset": "none", "shift": size // 16, "flip": 0.5},
        }
    )
    timing = choose_fastest(net, examples, recipe)
    recipe = recipe.updated({"train": {"precision": timing.precision, "compile": timing.compile}})
    run = LoopState(net, examples, recipe, [], None, ALONE)

    def turn() -> float:
        started = time.perf_counter()
        for step in run.batches_left():
            train_step(run, step)
        taken = time.perf_counter() - started
        run.epoch, run.batch = run.epoch + 1, 0
        return taken / STEPS

    return turn, f"{timing.precision}, compile {timing.compile}"


def plain(name: str, *, fast: bool = False) -> Turn:
    """As in the tutorials; with `fast`, their channels last and autocast."""
    size, batch = SIZES[name]
    images, labels = data(size, batch)
    x = (images.float() - 127.5) / 127.5
    net = net_of(name, size)
    if fast:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    loss_of = nn.CrossEntropyLoss()

    def turn() -> float:
        started = time.perf_counter()
        for inputs, targets in zip(x.split(batch), labels.split(batch), strict=True):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                loss = loss_of(net(inputs), targets)
            loss.backward()
            optimizer.step()
            loss.item()
        return (time.perf_counter() - started) / STEPS

    return turn


def timm_loop(name: str, *, fast: bool = False) -> Turn:
    """timm's train script around its own parts: optimizer factory, smoothed loss; `fast`: --amp --channels-last."""
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.utils import AverageMeter

    size, batch = SIZES[name]
    images, labels = data(size, batch)
    x = (images.float() - 127.5) / 127.5
    net = net_of(name, size)
    if fast:
        net = net.to(memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(net, opt="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4)
    loss_of, meter = LabelSmoothingCrossEntropy(0.1), AverageMeter()

    def turn() -> float:
        started = time.perf_counter()
        for inputs, targets in zip(x.split(batch), labels.split(batch), strict=True):
            if fast:
                inputs = inputs.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                loss = loss_of(net(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            meter.update(loss.item(), len(inputs))
        return (time.perf_counter() - started) / STEPS

    return turn


def fastai_loop(name: str, *, fast: bool = False) -> Turn:
    """fastai's Learner with its defaults over tensors in memory; `fast`: its channels-last and bfloat16 callbacks."""
    import fastai.callback.progress  # noqa: F401  (puts no_bar on its Learner)
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.optimizer import SGD

    size, batch = SIZES[name]
    images, labels = data(size, batch)
    x = (images.float() - 127.5) / 127.5
    loader = DataLoader(list(zip(x, labels, strict=True)), bs=batch, num_workers=0)
    net = net_of(name, size)
    learner = Learner(
        DataLoaders(loader, loader, device=torch.device("cpu")), net, loss_func=nn.CrossEntropyLoss(), opt_func=SGD
    )
    if fast:
        net.to(memory_format=torch.channels_last)
        plain_forward = net.forward

        def forward(inputs: Tensor) -> Tensor:  # its mixed precision needs a GPU, so autocast is used instead
            with torch.autocast("cpu", torch.bfloat16):
                return plain_forward(inputs.contiguous(memory_format=torch.channels_last)).float()

        net.forward = forward

    def turn() -> float:
        started = time.perf_counter()
        with learner.no_bar(), learner.no_logging():
            learner.fit(1, 0.1, cbs=[])
        whole = time.perf_counter() - started
        started = time.perf_counter()
        with learner.no_bar(), learner.no_logging():
            learner.validate()
        return (whole - (time.perf_counter() - started)) / STEPS  # without the validation pass that fit makes

    return turn


def peak() -> float:
    """Multiply-adds a second of the fastest of 20 products of 2048 x 2048 matrices in bfloat16."""
    a = torch.randn(2048, 2048).bfloat16()
    taken = []
    for _ in range(22):
        started = time.perf_counter()
        a @ a
        taken.append(time.perf_counter() - started)
    return float(2048**3 / min(taken[2:]))


def measure(name: str, runs: int, peers: bool, compiled: bool) -> dict[str, object]:
    turns: dict[str, Turn] = {"plain PyTorch": plain(name), "plain PyTorch, fast flags": plain(name, fast=True)}
    if peers:
        turns |= {"timm": timm_loop(name), "timm, fast flags": timm_loop(name, fast=True)}
        turns |= {"fastai": fastai_loop(name), "fastai, fast flags": fastai_loop(name, fast=True)}
    chosen = {}
    for label, choice in (("striate", "no"), *((("striate, long run", "auto"),) if compiled else ())):
        turns[label], chosen[label] = ours(name, choice)
    for turn in turns.values():
        turn()
    taken: dict[str, list[float]] = {label: [] for label in turns}
    for _ in range(runs):
        for label, turn in turns.items():
            taken[label].append(1000 * turn())
    mine, fastest = statistics.median(taken["striate"]), peak()
    size, batch = SIZES[name]
    work = 3 * batch * madds(net_of(name, size), (size, size))
    rows = {
        label: {
            "ms": round(statistics.median(times), 1),
            "least": round(min(times), 1),
            "most": round(max(times), 1),
            "times striate's": round(statistics.median(times) / mine, 2),
            "share of peak": round(1000 * work / statistics.median(times) / fastest, 3),
        }
        for label, times in taken.items()
    }
    for label, row in rows.items():
        print(f"{name:20} {label:28} {row}", flush=True)
    return {
        "command": "benchmarks/steps.py",
        "what": f"training step, {name} at {size} x {size}, batch {batch}", "unit": "ms, median", "n": runs,
        "threads": torch.get_num_threads(), "peak madds a second": round(fastest / 1e9) * 10**9,
        "chosen": chosen, "rows": rows,
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--nets", nargs="+", default=list(SIZES))
    parser.add_argument("--no-peers", action="store_true", help="plain PyTorch alone")
    parser.add_argument("--no-compile", action="store_true", help="without the row of a run long enough for compiling")
    given = parser.parse_args()
    if not given.no_peers:
        from parity import with_operators

        operators = with_operators()  # must stay alive while anything that imports torchvision is used
    found = [measure(name, given.runs, not given.no_peers, not given.no_compile) for name in given.nets]
    write_record("steps", found, ["torch", "numpy"] + ([] if given.no_peers else ["timm", "fastai"]))
