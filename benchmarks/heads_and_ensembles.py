"""`--head auto` and an ensemble against the default, on hymenoptera and flowers17: five seeds, paired by seed.

    python benchmarks/heads_and_ensembles.py WORK [--budget 9] [--seeds 5]

Each seed has a split of its own, of which a fifth is held out; hymenoptera's two parts are joined for that. On each
split there are the default (`striate train --quick`: a logistic head on EfficientNet-Lite0), the head that is chosen
by cross-validation (`--head auto`), the heads on Lite1 and Lite2, and the ensemble of all three networks. Differences
are of two models on the same images, with the 95 % interval of their mean over the seeds. The ensemble is compared with
its best single network, too, as that has a larger backbone than the default.

An invocation ends after `--budget` minutes, and the next one with the same WORK goes on. The record has what is done.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from recording import DATA, write_record

from striate.tasks.metrics import mean_interval

NETS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
DEFAULT, LARGEST = "default", "efficientnet_lite2"
TRAININGS = {
    DEFAULT: ("--net", NETS[0]),
    "head auto": ("--net", NETS[0], "--head", "auto"),
    NETS[1]: ("--net", NETS[1]),
    NETS[2]: ("--net", NETS[2]),
}
ENSEMBLE, MEMBERS = "ensemble of three networks", (DEFAULT, NETS[1], NETS[2])
PAIRS = (("head auto", DEFAULT), (ENSEMBLE, DEFAULT), (ENSEMBLE, LARGEST))
SETS = ("hymenoptera", "flowers17")

Answer = dict[str, Any]


def striate(*words: str | Path) -> Answer:
    """The JSON answer of a command."""
    command = [sys.executable, "-m", "striate", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[2:])} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def joined(name: str, work: Path) -> Path:
    """The data set as class folders without parts."""
    source = DATA / name
    parts = [source / part for part in ("train", "val") if (source / part).is_dir()]
    if not parts:
        return source
    folder = work / name
    for part in parts if not folder.exists() else ():
        shutil.copytree(part, folder, dirs_exist_ok=True)
    return folder


class Results:
    """What is done, by data set, seed and model, in a file of the work."""

    def __init__(self, work: Path, seconds: float) -> None:
        self.work, self.ends = work, time.monotonic() + seconds
        self.path = work / "results.json"
        self.found: dict[str, Answer] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def make(self, name: str, seed: int) -> None:
        """All models of a data set and a seed that are not made yet. Ends the process when the time is up."""
        folder = self.work / f"{name}-{seed}"
        data = joined(name, self.work)
        for model, words in TRAININGS.items():
            out = folder / model.replace(" ", "-")
            if self._due(name, seed, model):
                shutil.rmtree(out, ignore_errors=True)  # of an invocation that was killed
                done = striate("train", data, "--quick", *words, "--seed", str(seed), "--out", out)
                self._keep(name, seed, model, {key: done.get(key) for key in ("accuracy", "total", "head")})
        if self._due(name, seed, ENSEMBLE):
            members = [folder / model.replace(" ", "-") for model in MEMBERS]
            done = striate("ensemble", *members, "--out", folder / "ensemble.safetensors")["evaluation"]
            kept = ("accuracy", "total", "gain_over_mean", "gain_over_best")
            self._keep(name, seed, ENSEMBLE, {key: done[key] for key in kept})

    def _due(self, name: str, seed: int, model: str) -> bool:
        if f"{name}, {seed}, {model}" in self.found:
            return False
        if time.monotonic() > self.ends:
            self.record()
            raise SystemExit("not done: call again with the same WORK to go on")
        return True

    def _keep(self, name: str, seed: int, model: str, answer: Answer) -> None:
        self.found[f"{name}, {seed}, {model}"] = answer
        self.path.write_text(json.dumps(self.found, indent=1))
        print(name, seed, model, answer, flush=True)

    def scores(self, name: str, model: str) -> dict[int, float]:
        """The accuracies in percent by seed."""
        keys = [key.split(", ", 2) for key in self.found]
        seeds = [int(seed) for data, seed, one in keys if (data, one) == (name, model)]
        return {seed: 100 * self.found[f"{name}, {seed}, {model}"]["accuracy"] for seed in sorted(seeds)}

    def record(self) -> None:
        """Write the record of all seeds that are done."""
        rows: list[dict[str, object]] = []
        for name in SETS:
            for model in (*TRAININGS, ENSEMBLE):
                scores = list(self.scores(name, model).values())
                rows += [_row(f"{model} on {name}", "accuracy", scores) | self._heads(name, model)] if scores else []
            for better, other in PAIRS:
                ours, theirs = self.scores(name, better), self.scores(name, other)
                gains = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
                if gains:
                    rows.append(_row(f"{better} against {other} on {name}", "points", gains))
        if rows:
            write_record("heads-and-ensembles", rows, ("striate", "openvino", "scikit-learn", "numpy"))

    def _heads(self, name: str, model: str) -> dict[str, object]:
        """Which kinds of heads were chosen, and how often."""
        kinds = [one.get("head") for key, one in self.found.items() if key.startswith(name) and key.endswith(model)]
        return {"heads": dict(Counter(kinds))} if model == "head auto" else {}


def _row(what: str, unit: str, values: list[float]) -> dict[str, object]:
    low, high = mean_interval(values)
    return {
        "what": what,
        "command": "python benchmarks/heads_and_ensembles.py WORK",
        "n": len(values),
        f"{unit}_by_seed": [round(value, 2) for value in values],
        unit: round(statistics.mean(values), 2),
        "interval": [round(low, 2), round(high, 2)],
    }


def main() -> None:
    """Go on with the work, and record what is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder of the work")
    parser.add_argument("--budget", type=float, default=9.0, metavar="MINUTES", help="of this invocation (default: 9)")
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    results = Results(chosen.work, 60 * chosen.budget)
    for seed in range(chosen.seeds):
        for name in SETS:
            results.make(name, seed)
    results.record()


if __name__ == "__main__":
    main()
