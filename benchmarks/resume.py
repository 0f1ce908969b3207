"""Kill small runs at random moments, resume them, compare: python benchmarks/resume.py [--start fork] [--kills 100]

Runs of ten kinds, alternating, on generated drawings. A run's process is stopped by SIGKILL or SIGTERM at a random
moment: mostly while it trains and writes a checkpoint at every step or two, sometimes before or after. Then the run is
resumed, and perhaps stopped again, until it ends. Its model, its split and its predictions must then equal, byte for
byte, those of an uninterrupted run of its kind: the benchmark fails at the first difference. It ends at the given
number of kills or minutes. "spawn" starts every process from scratch; "fork" saves the imports, so that nearly all of a
process's time is the run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
from PIL import Image
from recording import write_record

from striate.cli.main import main as striate

COMMON = ("inference.engine=torch", "train.batch=8", "train.precision=float32")
SAME = ("model.safetensors", "split.csv", "evaluated.csv")  # files of a run that must be equal
# By name: the data, the net, the strategy and the settings.
KINDS = {
    "lenet5_plain, nesterov": (
        "grey", "lenet5_plain", "scratch", ("train.epochs=8", "checkpoint.steps=1", "checkpoint.keep=1"),
    ),
    "lenet5_plain, adamw, ema": (
        "grey", "lenet5_plain", "scratch",
        ("train.epochs=8", "checkpoint.steps=2", "optimizer.name=adamw", "train.ema_decay=0.9",
         "train.keep_checkpoint=best", "train.accumulate=2"),
    ),
    "resnet8, nesterov, ema": (
        "colour", "resnet8", "scratch",
        ("train.epochs=4", "checkpoint.steps=1", "train.ema_decay=0.99", "train.patience=3"),
    ),
    "resnet8, adamw, bfloat16": (
        "colour", "resnet8", "scratch",
        ("train.epochs=3", "checkpoint.steps=2", "optimizer.name=adamw", "train.precision=bfloat16"),
    ),
    "lenet5_plain, three folds": (
        "grey", "lenet5_plain", "scratch", ("train.epochs=4", "checkpoint.steps=1", "data.folds=3"),
    ),
    "lenet5_plain, learning rate found": (
        "grey", "lenet5_plain", "scratch", ("train.epochs=6", "checkpoint.steps=1", "optimizer.lr=auto"),
    ),
    "lenet5_plain, one cycle": (
        "grey", "lenet5_plain", "scratch",
        ("train.epochs=8", "checkpoint.steps=1", "schedule.name=one-cycle", "optimizer.name=sgd"),
    ),
    "resnet8, mixup": (
        "colour", "resnet8", "scratch", ("train.epochs=4", "checkpoint.steps=2", "augment.mixup=0.4"),
    ),
    "efficientnet_lite0, fine-tuned": (
        "colour", "efficientnet_lite0", "finetune", ("train.epochs=2", "checkpoint.steps=1"),
    ),
    "efficientnet_lite0, fine-tuned, two folds": (
        "colour", "efficientnet_lite0", "finetune", ("train.epochs=1", "checkpoint.steps=1", "data.folds=2"),
    ),
}  # fmt: skip
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
STOPPED = (-signal.SIGKILL, -signal.SIGTERM, 130, 143)  # exit codes of a stopped process
AGAIN = 0.6  # the probability that a resumed process is killed too
ANYWHERE = 0.2  # the share of kills at any time of a process, including its start and end


@dataclass
class Outcome:
    """The results of the runs of one kind."""

    start: str
    seconds: float = 0.0  # of an uninterrupted run
    learning: float = 0.0  # of those, from the first checkpoint on
    runs: int = 0
    equal: int = 0
    kills: int = 0
    terminated: int = 0  # of those, by SIGTERM
    resumed: int = 0
    in_a_write: int = 0
    steps: list[int] = field(default_factory=list)  # of the newest checkpoint, per kill


def main() -> None:
    """Kill, resume, compare, and write the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--start", choices=("spawn", "fork"), default="spawn")
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--note", default="", help="other load on the machine, for the record")
    chosen = options.parse_args()
    draw, outcome = random.Random(chosen.seed), {kind: Outcome(chosen.start) for kind in KINDS}
    if chosen.start == "fork":
        from striate.learning.strategies import scratch as _  # noqa: F401  (for the processes that are forked)
    end = time.monotonic() + 60 * chosen.minutes
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name, channels in (("grey", 1), ("colour", 3)):
            drawings(scratch / name, channels)
        while (kills := sum(found.kills for found in outcome.values())) < chosen.kills and time.monotonic() < end:
            kind = min(KINDS, key=lambda name: outcome[name].kills)
            one(scratch, kind, outcome[kind], draw)
            print(f"{kills} kills before; {kind}: {outcome[kind].equal} equal of {outcome[kind].runs}", flush=True)
    rows = [row(kind, found, chosen.note) for kind, found in outcome.items() if found.runs]
    write_record("resume", rows, ("striate", "torch", "numpy", "safetensors"))


def drawings(root: Path, channels: int) -> None:
    """Two classes of 24 images of 32 x 32 pixels: a bright block above or below, in noise."""
    generator = np.random.default_rng(channels)
    for place, name in ((4, "above"), (20, "below")):
        (root / name).mkdir(parents=True)
        for number in range(24):
            image = generator.integers(0, 120, (32, 32, channels), dtype=np.uint8)
            image[place : place + 8, 12:20] = generator.integers(140, 256)
            Image.fromarray(image.squeeze()).save(root / name / f"{number:02d}.png")


def one(scratch: Path, kind: str, outcome: Outcome, draw: random.Random) -> None:
    """A run that is killed at least once, and its comparison with an uninterrupted one."""
    whole = scratch / "whole" / kind.replace(", ", "-")
    for _ in range(0 if whole.exists() else 2):  # the first also packs the images
        shutil.rmtree(whole, ignore_errors=True)
        begun, process = time.monotonic(), started(scratch, kind, whole, outcome.start)
        while process.is_alive() and not checkpoints(whole):
            time.sleep(0.005)
        learning = time.monotonic()
        process.join()
        require(process.exitcode == 0, "the uninterrupted run failed", scratch)
        outcome.seconds, outcome.learning = time.monotonic() - begun, time.monotonic() - learning
    run, struck = scratch / "killed", 0
    shutil.rmtree(run, ignore_errors=True)
    while not (run / "model.safetensors").exists():
        process = started(scratch, kind, run, outcome.start)
        outcome.resumed += (run / "recipe.toml").exists()
        if not struck or draw.random() < AGAIN:
            struck += strike(process, run, outcome, draw)
        process.join()
        require(process.exitcode in (0, *STOPPED), "a resumed run failed", scratch)
    outcome.runs += struck > 0
    for name in SAME:
        equal = (run / name).read_bytes() == (whole / name).read_bytes()
        require(equal, f"{kind}: the resumed run gave another {name}", scratch)
    outcome.equal += struck > 0


def started(scratch: Path, kind: str, run: Path, start: str) -> BaseProcess:
    """A process that starts the run, or resumes it."""
    data, net, strategy, settings = KINDS[kind]
    if (run / "recipe.toml").exists():
        words = ["--resume", str(run)]
    else:
        words = [str(scratch / data), "--out", str(run), "--net", net, "--strategy", strategy]
        words += [word for setting in (*COMMON, *settings) for word in ("--set", setting)]
    process = get_context(start).Process(target=work, args=(["train", *words], scratch))
    process.start()
    return process


def work(words: list[str], scratch: Path) -> None:
    """The command line, with its output saved for debugging."""
    os.environ["STRIATE_CACHE"] = str(scratch / "cache")
    with open(scratch / "words.txt", "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.exit(striate(words))


def strike(process: BaseProcess, run: Path, outcome: Outcome, draw: random.Random) -> bool:
    """Kill the process at a random moment of its life or, more often, of its training; returns whether it was in
    time."""
    before = checkpoints(run)
    if draw.random() < ANYWHERE:
        moment = draw.uniform(0, outcome.seconds)
    else:
        while checkpoints(run) == before and process.is_alive():
            time.sleep(0.002)
        moment = draw.uniform(0, outcome.learning / 2)  # half, or many would have ended before
    process.join(moment)
    chosen = draw.choice(SIGNALS)
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, chosen)
    process.join()
    if process.exitcode not in STOPPED:
        return False  # it had ended before
    outcome.kills += 1
    outcome.terminated += chosen == signal.SIGTERM
    outcome.in_a_write += any(run.rglob(".*.part"))
    outcome.steps.append(max((int(name[5:14]) for name in checkpoints(run)), default=-1))
    return True


def checkpoints(run: Path) -> list[str]:
    """The names of a run's checkpoints."""
    return sorted(path.name for path in run.glob("checkpoints/*/*.checkpoint"))


def row(kind: str, outcome: Outcome, note: str) -> dict[str, object]:
    """The record of a kind."""
    found: dict[str, object] = {
        "what": f"{kind}, {outcome.start}",
        "command": f"benchmarks/resume.py --start {outcome.start}",
        "settings": " ".join((*COMMON, *KINDS[kind][3])),
        "n": outcome.runs,
        "equal": outcome.equal,
        "kills": outcome.kills,
        "kills_by_sigterm": outcome.terminated,
        "kills_in_a_write": outcome.in_a_write,
        "kills_before_a_checkpoint": outcome.steps.count(-1),
        "different_steps": len(set(outcome.steps)),
        "median_step": statistics.median(outcome.steps) if outcome.steps else None,
        "processes_resumed": outcome.resumed,
        "seconds_of_a_run_never_stopped": round(outcome.seconds, 1),
        "seconds_that_it_learns": round(outcome.learning, 1),
    }
    print(json.dumps(found))
    return found | ({"note": note} if note else {})


def require(true: bool, what: str, scratch: Path) -> None:
    """Stop the benchmark, with the last process's output, if a condition does not hold."""
    if not true:
        raise SystemExit(f"{what}; the last process's output:\n{(scratch / 'words.txt').read_text()}")


if __name__ == "__main__":
    main()
