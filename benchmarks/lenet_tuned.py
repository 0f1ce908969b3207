"""LeNet-5 on MNIST, its recipe found by a search, against a recipe made by hand. Goal: 0.6 % test error in an hour.

    python benchmarks/lenet_tuned.py WORK [--budget 9] [--net lenet5_plain] [--small]

Three steps, each a command of striate. The search sees the 60,000 training images only: TPE over learning rate, weight
decay, batch size, label smoothing and distortions, with Hyperband ending trials of few epochs early. The best recipe is
then trained once on all 60,000, for as many epochs as the rest of the hour takes, and judged once on the 10,000 test
images. The recipe made by hand, the preset "distortions" and otherwise defaults, is trained for as many epochs; its
time does not count.

An invocation stops after `--budget` minutes, and the next one with the same WORK goes on; the seconds of all of them
are summed. The record is written when all is done. --small: tries this script on few images, without a record.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from recording import DATA, write_record

from striate.jobs.compare import summary
from striate.learning.run_folder import unfinished
from striate.tasks.metrics import difference_interval

HOUR, SEARCH, RESERVE = 3600.0, 1500.0, 120.0  # seconds: of all, of the search, and for starting and evaluating
GOAL, MOST_EPOCHS = 0.6, 120
SPACE = """\
"optimizer.lr" = {low = 0.01, high = 0.6}
"optimizer.weight_decay" = {low = 1e-6, high = 1e-3}
"train.batch" = [32, 64, 128]
"loss.label_smoothing" = {low = 0.0, high = 0.1}
"augment.rotate" = {low = 0.0, high = 15.0}
"augment.shear" = {low = 0.0, high = 15.0}
"augment.scale" = [[1.0, 1.0], [0.9, 1.1], [0.8, 1.2]]
"augment.shift" = [0, 1, 2, 3]
"augment.elastic" = {low = 0.0, high = 1.5}
"""


@dataclass(frozen=True)
class Size:
    """How much is done. trials, epochs: of the search; images: of each part that are used; None for all."""

    trials: int = 40
    epochs: int = 9
    images: int | None = None


class Work:
    """The folder of the work: its data, its commands, and the seconds that each took over all invocations."""

    def __init__(self, folder: Path, seconds: float, net: str, size: Size) -> None:
        self.folder, self.net, self.size = folder, net, size
        self.ends = time.monotonic() + seconds
        folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / "seconds.json"
        self.seconds: dict[str, float] = json.loads(self.state.read_text()) if self.state.exists() else {}

    def data(self) -> tuple[Path, Path]:
        """The training images alone, and with the test images: .npz files."""
        training, whole = self.folder / "training.npz", self.folder / "whole.npz"
        if not whole.exists():
            with np.load(DATA / "mnist.npz") as stored:
                parts = {name: stored[name][: self.size.images] for name in ("xtr", "ytr", "xte", "yte")}
            np.savez(training, images=parts["xtr"], labels=parts["ytr"])
            np.savez(whole, **parts)
        return training, whole

    def striate(self, step: str, *arguments: str | Path) -> None:
        """Run a command, whose seconds count for `step`; at the end of this invocation's time, interrupt it and end."""
        words = [sys.executable, "-m", "striate", *map(str, arguments)]
        print("striate", *words[3:], flush=True)
        started = time.monotonic()
        running = subprocess.Popen(words)
        try:
            running.wait(max(1.0, self.ends - started))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            running.send_signal(signal.SIGINT)  # the run and the trial are saved or put back
            running.wait()
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - started
        self.state.write_text(json.dumps(self.seconds))
        if running.returncode in (128 + signal.SIGINT, -signal.SIGINT):
            raise SystemExit("not done: call again with the same WORK to go on")
        if running.returncode:
            raise SystemExit(running.returncode)

    def search(self) -> Path:
        """The search; gives its folder, in which there is the best recipe and its short run."""
        folder, space = self.folder / "search", self.folder / "space.toml"
        if (folder / "result.json").exists():
            return folder
        space.write_text(SPACE)
        left = f"--budget={max(1.0, SEARCH - self.seconds.get('search', 0.0)):.0f}s"
        if (folder / "tuning.json").exists():
            self.striate("search", "tune", "--resume", folder, left)
        else:
            base = [f"--set=train.epochs={self.size.epochs}", "--set=augment.preset=none"]
            how = ["--method=tpe", "--pruner=hyperband", f"--trials={self.size.trials}", f"--space={space}", left]
            net = [f"--net={self.net}", "--strategy=scratch"]
            self.striate("search", "tune", self.data()[0], *net, *base, *how, "--out", folder)
        return folder

    def trained(self, step: str, epochs: int, *recipe: str | Path) -> Path:
        """A run on all training images, judged on the test images; gives its folder."""
        folder = self.folder / step
        if unfinished(folder):
            self.striate(step, "train", "--resume", folder)
        elif not (folder / "model.safetensors").exists():
            self.striate(step, "train", self.data()[1], *recipe, f"--epochs={epochs}", "--out", folder)
        return folder


def affordable_epochs(work: Work, search: Path) -> int:
    """Epochs of all training images in the rest of the hour, by the seconds of the short run's epochs."""
    note = work.folder / "epochs.json"
    if not note.exists():
        lines = [json.loads(line) for line in (search / "best" / "log.jsonl").read_text().splitlines()]
        times = [line["time"] for line in lines if line["event"] == "epoch"]
        each = (times[-1] - times[0]) / (len(times) - 1) / (1 - 0.2)  # of it a fifth is held out
        left = HOUR - RESERVE - work.seconds["search"]
        note.write_text(json.dumps(max(1, min(MOST_EPOCHS, int(left / each)))))
    return int(json.loads(note.read_text()))


def rows(work: Work, search: Path, runs: dict[str, Path], epochs: int) -> list[dict[str, Any]]:
    """What is recorded."""
    trials = json.loads((search / "result.json").read_text())
    states = [one["state"] for one in trials["trials"]]
    found, hand = (summary(folder) for folder in runs.values())
    common = [name for name in found.outcomes if name in hand.outcomes]
    fewer = np.array([found.outcomes[name][1] - hand.outcomes[name][1] for name in common])  # errors
    command = "python benchmarks/lenet_tuned.py WORK"
    seconds = {name: round(value) for name, value in work.seconds.items()}
    return [
        {
            "what": f"{work.net} on MNIST, recipe found by a search",
            "command": command,
            "n": 1,
            "error_percent": error(found.score),
            "interval": [error(side) for side in reversed(found.interval or ())],
            "goal": GOAL,
            "test_images": found.images,
            "epochs": epochs,
            "trials": {state: states.count(state) for state in sorted(set(states))},
            "validation_error_percent": error(trials["best"]["score"]),
            "values": trials["best"]["values"],
            "seconds_of_search": seconds["search"],
            "seconds_of_training": seconds["tuned"],
            "seconds": seconds["search"] + seconds["tuned"],
        },
        {
            "what": f"{work.net} on MNIST, recipe made by hand",
            "command": command,
            "n": 1,
            "recipe": "augment.preset = distortions, else defaults",
            "error_percent": error(hand.score),
            "interval": [error(side) for side in reversed(hand.interval or ())],
            "epochs": epochs,
            "seconds": seconds["hand"],
        },
        {
            "what": f"{work.net} on MNIST, errors fewer by the search, paired",
            "command": command,
            "n": 1,
            "points": round(100 * float(fewer.mean()), 3),
            "interval": [round(100 * side, 3) for side in difference_interval(fewer)],
        },
    ]


def error(share: float) -> float:
    """The error in percent of an accuracy."""
    return round(100 * (1 - share), 3)


def main() -> None:
    """Go on with the work, and record it if it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder of the work")
    parser.add_argument("--budget", type=float, default=9.0, metavar="MINUTES", help="of this invocation (default: 9)")
    parser.add_argument("--net", default="lenet5_plain")
    parser.add_argument("--small", action="store_true", help="few images and trials, and no record")
    chosen = parser.parse_args()
    size = Size(3, 2, 600) if chosen.small else Size()
    work = Work(chosen.work.resolve(), 60 * chosen.budget, chosen.net, size)
    search = work.search()
    epochs = 2 if chosen.small else affordable_epochs(work, search)
    by_hand = [f"--net={chosen.net}", "--strategy=scratch", "--set=augment.preset=distortions"]
    runs = {
        "tuned": work.trained("tuned", epochs, "--recipe", search / "best.toml"),
        "hand": work.trained("hand", epochs, *by_hand),
    }
    found = rows(work, search, runs, epochs)
    print(json.dumps(found, indent=1))
    if not chosen.small:
        write_record("lenet-tuned", found, ("striate", "torch", "optuna", "numpy"))


if __name__ == "__main__":
    main()
