"""Three nets under an equal budget on 5,000 digits, in ten minutes: python benchmarks/equal_budget.py

With the default budget, which a probe sizes. The record has the time of the whole benchmark, and its figures.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from recording import DATA, write_record

from striate import benchmark

IMAGES, SECONDS = 5000, 600
NETS = ("lenet5_plain", "lenet5", "resnet_tiny")


def digits() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """MNIST's first 5,000 training digits and all of its test digits."""
    held = np.load(DATA / "mnist.npz")
    train = held["xtr"].reshape(-1, 28, 28)[:IMAGES], held["ytr"].ravel()[:IMAGES].astype(np.int64)
    return {"train": train, "test": (held["xte"].reshape(-1, 28, 28), held["yte"].ravel().astype(np.int64))}


def main() -> None:
    """Measure and write the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--out", help="keep the folder of the benchmark here")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        started = time.perf_counter()
        done = benchmark(NETS, digits(), out=Path(chosen.out or scratch) / "bench")
        taken = time.perf_counter() - started
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
    write_record("equal-budget", rows, ("striate", "torch", "numpy"))


if __name__ == "__main__":
    main()
