"""Measure the accuracy of training from scratch: python benchmarks/learning.py [--parts mnist distortions cifar]

mnist: LeNet-5 on all of MNIST, 20 epochs, without augmentation, three seeds; distortions: the same with `--augment
distortions`. cifar: ResNet-20 on CIFAR-10-JPEG, 18 epochs, within 20 minutes on two idle cores. Each run is a
`striate train` process, saved under --runs; an interrupted one is resumed, a finished one is not repeated.
`--folder` names the unpacked folder of CIFAR-10-JPEG.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from recording import DATA, write_record

LENET = ("--net", "lenet5_plain", "--strategy", "scratch", "--epochs", "20", "--set", "train.batch=128")
CIFAR = (
    "--net",
    "resnet20",
    "--strategy",
    "scratch",
    "--epochs",
    "18",
    "--set",
    "train.batch=128",
    "--augment",
    "none",
    "shift=4",
    "flip=0.5",
)
PARTS = {
    "mnist": ("LeNet-5 on MNIST, no augmentation", (*LENET, "--augment", "none"), (0, 1, 2)),
    "distortions": ("LeNet-5 on MNIST, distortions", (*LENET, "--augment", "distortions"), (0, 1, 2)),
    "cifar": ("ResNet-20 on CIFAR-10-JPEG, 18 epochs", CIFAR, (0,)),
}


def mnist(runs: Path) -> Path:
    """All of MNIST, as a file of arrays with the names that Striate reads."""
    path = runs / "mnist.npz"
    if not path.exists():
        data = np.load(DATA / "mnist.npz")
        np.savez(path, x_train=data["xtr"], y_train=data["ytr"], x_test=data["xte"], y_test=data["yte"])
    return path


def run(data: Path, out: Path, options: tuple[str, ...], seed: int) -> dict[str, float]:
    """Accuracy and seconds of a run, new or existing."""
    done = _done(out)
    if not done:
        begin = [str(data), "--out", str(out), "--seed", str(seed), *options]
        words = ["--resume", str(out)] if (out / "recipe.toml").exists() else begin
        subprocess.run([sys.executable, "-m", "striate", "train", *words], check=True)
        done = _done(out)
    return done


def _done(out: Path) -> dict[str, float]:
    log = out / "log.jsonl"
    events = [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.exists() else []
    if not events or events[-1]["event"] != "done":
        return {}
    # A resumed run logs its seconds per part; those of its epochs are complete.
    learning = sum({row["epoch"]: row["seconds"] for row in events if row["event"] == "epoch"}.values())
    return {"accuracy": events[-1]["accuracy"], "seconds": events[-1]["seconds"], "learning": learning}


def main() -> None:
    """Do the missing runs, and write the record."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    options.add_argument("--runs", type=Path, default=Path("runs") / "learning")
    options.add_argument("--folder", type=Path, default=Path("cifar10-jpeg"), help="CIFAR-10-JPEG, unpacked")
    options.add_argument("--note", default="", help="other load on the machine")
    chosen = options.parse_args()
    chosen.runs.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for part in chosen.parts:
        what, words, seeds = PARTS[part]
        data = chosen.folder if part == "cifar" else mnist(chosen.runs)
        found = [run(data, chosen.runs / f"{part}-{seed}", words, seed) for seed in seeds]
        errors = [round(100 * (1 - one["accuracy"]), 3) for one in found]
        rows.append(
            {
                "what": what, "command": f"benchmarks/learning.py --parts {part}", "n": len(seeds),
                "options": " ".join(words), "test_error_percent": errors,
                "mean_test_error_percent": round(statistics.mean(errors), 3),
                "seconds": [round(one["seconds"]) for one in found],
                "seconds_of_learning": [round(one["learning"]) for one in found],
                **({"note": chosen.note} if chosen.note else {}),
            }
        )  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    write_record("learning", rows, ("striate", "torch"))


if __name__ == "__main__":
    main()
