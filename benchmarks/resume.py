"""Kill small runs at random moments, resume them, compare: python benchmarks/resume.py [--start fork] [--kills 100]

Runs of four kinds, taking turns, on drawings that the script makes. A process of a run is killed by SIGKILL at a random
moment: most of them while it learns and writes a checkpoint at every step or two, some of them before and after. Then
the run is resumed, and perhaps killed again, until it ends. Its model.safetensors must then equal, byte for byte, that
of a run of its kind that was never stopped: the benchmark fails at the first that does not. The record
is of what was done when the kills or the minutes were reached. "spawn" starts every process from nothing; "fork" spares
it the imports, so that nearly all of its short life is the run.
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
KINDS = {
    "lenet5_plain, nesterov": (
        "grey", "lenet5_plain", ("train.epochs=8", "checkpoint.steps=1", "checkpoint.keep=1"),
    ),
    "lenet5_plain, adamw, ema": (
        "grey", "lenet5_plain",
        ("train.epochs=8", "checkpoint.steps=2", "optimizer.name=adamw", "train.ema_decay=0.9",
         "train.keep_checkpoint=best", "train.accumulate=2"),
    ),
    "resnet8, nesterov, ema": (
        "colour", "resnet8", ("train.epochs=4", "checkpoint.steps=1", "train.ema_decay=0.99", "train.patience=3"),
    ),
    "resnet8, adamw, bfloat16": (
        "colour", "resnet8",
        ("train.epochs=3", "checkpoint.steps=2", "optimizer.name=adamw", "train.precision=bfloat16"),
    ),
}  # fmt: skip
AGAIN = 0.6  # the chance that a process which resumes is killed, too
ANYWHERE = 0.2  # the share of kills that fall anywhere in a process's life, its start and its end included


@dataclass
class Told:
    """What came of the runs of one kind."""

    start: str
    seconds: float = 0.0  # of a whole run
    learning: float = 0.0  # of those, from the first checkpoint on
    runs: int = 0
    equal: int = 0
    kills: int = 0
    resumed: int = 0
    in_a_write: int = 0
    steps: list[int] = field(default_factory=list)  # of the newest checkpoint, kill by kill


def main() -> None:
    """Kill, resume, compare, and write the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--start", choices=("spawn", "fork"), default="spawn")
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--minutes", type=float, default=60)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--note", default="", help="what else ran on the machine, for the record")
    chosen = options.parse_args()
    draw, told = random.Random(chosen.seed), {kind: Told(chosen.start) for kind in KINDS}
    if chosen.start == "fork":
        from striate.learning import scratch as _  # noqa: F401  (for the processes that are forked)
    end = time.monotonic() + 60 * chosen.minutes
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name, channels in (("grey", 1), ("colour", 3)):
            drawings(scratch / name, channels)
        while (kills := sum(found.kills for found in told.values())) < chosen.kills and time.monotonic() < end:
            kind = min(KINDS, key=lambda name: told[name].kills)
            one(scratch, kind, told[kind], draw)
            print(f"{kills} kills before; {kind}: {told[kind].equal} equal of {told[kind].runs}", flush=True)
    rows = [row(kind, found, chosen.note) for kind, found in told.items() if found.runs]
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


def one(scratch: Path, kind: str, told: Told, draw: random.Random) -> None:
    """A run that is killed at least once, and its comparison with one that was never stopped."""
    whole = scratch / "whole" / kind.replace(", ", "-")
    for _ in range(0 if whole.exists() else 2):  # the first also packs the images
        shutil.rmtree(whole, ignore_errors=True)
        begun, process = time.monotonic(), started(scratch, kind, whole, told.start)
        while process.is_alive() and not checkpoints(whole):
            time.sleep(0.005)
        learning = time.monotonic()
        process.join()
        require(process.exitcode == 0, "the run that is never stopped failed", scratch)
        told.seconds, told.learning = time.monotonic() - begun, time.monotonic() - learning
    run, struck = scratch / "killed", 0
    shutil.rmtree(run, ignore_errors=True)
    while not (run / "model.safetensors").exists():
        process = started(scratch, kind, run, told.start)
        told.resumed += (run / "recipe.toml").exists()
        if not struck or draw.random() < AGAIN:
            struck += strike(process, run, told, draw)
        process.join()
        require(process.exitcode in (0, -signal.SIGKILL), "a resumed run failed", scratch)
    told.runs += struck > 0
    equal = (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    require(equal, f"{kind}: the resumed run ended with another model", scratch)
    told.equal += struck > 0


def started(scratch: Path, kind: str, run: Path, start: str) -> BaseProcess:
    """A process that begins the run, or goes on with it."""
    data, net, settings = KINDS[kind]
    if (run / "recipe.toml").exists():
        words = ["--resume", str(run)]
    else:
        words = [str(scratch / data), "--out", str(run), "--net", net, "--strategy", "scratch"]
        words += [word for setting in (*COMMON, *settings) for word in ("--set", setting)]
    process = get_context(start).Process(target=work, args=(["train", *words], scratch))
    process.start()
    return process


def work(words: list[str], scratch: Path) -> None:
    """The command line; what it says is kept for who looks into a failure."""
    os.environ["STRIATE_CACHE"] = str(scratch / "cache")
    with open(scratch / "words.txt", "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.exit(striate(words))


def strike(process: BaseProcess, run: Path, told: Told, draw: random.Random) -> bool:
    """Kill the process at a random moment of its life or, more often, of the time that it learns; whether in time."""
    before = checkpoints(run)
    if draw.random() < ANYWHERE:
        moment = draw.uniform(0, told.seconds)
    else:
        while checkpoints(run) == before and process.is_alive():
            time.sleep(0.002)
        moment = draw.uniform(0, told.learning / 2)  # less than all, or many would be done before
    process.join(moment)
    process.kill()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        return False  # it was done before
    told.kills += 1
    told.in_a_write += any(run.rglob(".*.part"))
    told.steps.append(max((int(name[5:14]) for name in checkpoints(run)), default=-1))
    return True


def checkpoints(run: Path) -> list[str]:
    """The names of a run's checkpoints."""
    return sorted(path.name for path in run.glob("checkpoints/*/*.checkpoint"))


def row(kind: str, told: Told, note: str) -> dict[str, object]:
    """What the record says of a kind."""
    found: dict[str, object] = {
        "what": f"{kind}, {told.start}",
        "command": f"benchmarks/resume.py --start {told.start}",
        "settings": " ".join((*COMMON, *KINDS[kind][2])),
        "n": told.runs,
        "equal": told.equal,
        "kills": told.kills,
        "kills_in_a_write": told.in_a_write,
        "kills_before_a_checkpoint": told.steps.count(-1),
        "different_steps": len(set(told.steps)),
        "median_step": statistics.median(told.steps) if told.steps else None,
        "processes_resumed": told.resumed,
        "seconds_of_a_run_never_stopped": round(told.seconds, 1),
        "seconds_that_it_learns": round(told.learning, 1),
    }
    print(json.dumps(found))
    return found | ({"note": note} if note else {})


def require(true: bool, what: str, scratch: Path) -> None:
    """Stop the benchmark where something is not as it must be, with the last process's words."""
    if not true:
        raise SystemExit(f"{what}; the last process said:\n{(scratch / 'words.txt').read_text()}")


if __name__ == "__main__":
    main()
