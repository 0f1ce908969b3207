"""Three nets under an equal budget on 5,000 digits, in ten minutes: python benchmarks/equal_budget.py

With the default budget, which a probe sizes. The record has the time of the whole benchmark, and its figures. The same
command goes on with one that was stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from recording import DATA, write_record

from striate import benchmark
from striate.jobs.benchmark import Benchmark
from striate.progress import Progress
from striate.storage import cache_root

IMAGES, SECONDS = 5000, 600
NETS = ("lenet5_plain", "lenet5", "resnet_tiny")


def digits(count: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """MNIST's first `count` training digits and all of its test digits, or as many."""
    held = np.load(DATA / "mnist.npz")
    train = held["xtr"].reshape(-1, 28, 28)[:count], held["ytr"].ravel()[:count].astype(np.int64)
    test = held["xte"].reshape(-1, 28, 28), held["yte"].ravel().astype(np.int64)
    return {"train": train, "test": test if count == IMAGES else tuple(part[:count] for part in test)}


class Lines(Progress):
    """Every line on its own, with the seconds since the start."""

    def __init__(self) -> None:
        self.started = time.perf_counter()

    def say(self, line: str) -> None:
        print(f"{time.perf_counter() - self.started:6.0f} s  {line}", flush=True)


def timed(folder: Path, run: Callable[[], Benchmark]) -> tuple[Benchmark, float]:
    """A result, and the seconds of all calls that it took: those of a call that was stopped are kept in the folder."""
    kept = folder / "seconds.json"
    before = json.loads(kept.read_text()) if kept.exists() else 0.0
    started = time.perf_counter()
    try:
        return run(), before + time.perf_counter() - started
    finally:
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(before + time.perf_counter() - started))


def main() -> None:
    """Measure and write the record."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", help="keep the folder of the benchmark here")
    options.add_argument("--images", type=int, default=IMAGES, help="training digits (default: %(default)s)")
    options.add_argument("--budget", help="such as 2epochs, to try the script; no record is written")
    chosen = options.parse_args()
    folder = Path(chosen.out) if chosen.out else cache_root() / "benchmarks" / f"equal-budget-{chosen.images}"
    done, taken = timed(
        folder,
        lambda: benchmark(
            NETS, digits(chosen.images), out=folder / "bench", budget=chosen.budget, progress=Lines()
        ),
    )  # fmt: skip
    found = done.outcome
    assert found is not None
    asked = {"command": f"benchmark({NETS}, 5,000 digits of MNIST), 3 seeds", "n": 1}
    whole = {"seconds": round(taken, 1), "goal": SECONDS, "budget": str(found.budget), "verdict": found.verdict()}
    rows: list[dict[str, object]] = [{"what": "3 nets, 3 seeds, 5,000 digits", **asked, **whole}]
    rows += [
        {
            "what": one.label,
            **asked,
            "accuracy": round(one.score, 4),
            "seeds": [round(score, 4) for score in one.scores],
            "epochs": one.epochs,
            "training seconds, a seed": round(one.seconds, 1),
            "ms, one image": round(1000 * one.latency[1].median, 3),
            "machine was busy": any(latency.busy for latency in one.latency.values()),
        }
        for one in found.results
    ]
    for row in rows:
        print(row)
    if (chosen.images, chosen.budget) == (IMAGES, None):
        write_record("equal-budget", rows, ("striate", "torch", "numpy"))
    if not chosen.out:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
