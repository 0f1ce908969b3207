"""Measure whether the default flip follows the data: python benchmarks/mirroring.py

Digits in colour from scratch, with the default flip and with what the test of mirroring chooses; and that test on other
data. Few epochs: the difference counts, not the accuracy.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from recording import DATA, write_record

from striate import Recipe, train
from striate.learning.mirroring import mirror_test, reduced
from striate.tasks import Classification

Images = NDArray[np.uint8]
Row = dict[str, object]


def digits(count: int) -> tuple[Images, NDArray[np.int64]]:
    """MNIST's first digits as colour images."""
    held = np.load(DATA / "mnist.npz")
    grey = np.asarray(held["xtr"]).reshape(-1, 28, 28)[:count]
    grey = grey if grey.dtype == np.uint8 else (grey * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3), np.asarray(held["ytr"]).ravel()[:count].astype(np.int64)


def accuracy(flip: float | None, epochs: int, seed: int, scratch: Path) -> Row:
    """A short run on half of 2,000 digits, measured on the other half; flip None: as the test chooses."""
    recipe = Recipe().updated(
        {"strategy": "scratch", "net.name": "resnet20", "train.epochs": epochs, "seed": seed, "data.held_out": 0.5}
    )
    if flip is not None:
        recipe = recipe.updated({"augment.flip": flip})
    run = train(digits(2000), out=scratch / f"{flip}-{seed}", recipe=recipe)
    what = "digits from scratch, " + ("flip as tested" if flip is None else f"flip = {flip}")
    asked = {"command": "train(digits(2000), strategy scratch, resnet20)", "n": 1}
    return {"what": what, **asked, "seed": seed, "epochs": epochs, "accuracy": run.metrics["accuracy"]}


def main() -> None:
    """Measure and write the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--epochs", type=int, default=4)
    options.add_argument("--seeds", type=int, default=2)
    chosen = options.parse_args()
    rows: list[Row] = []
    images, targets = digits(2000)
    start = time.perf_counter()
    task = Classification(tuple("0123456789"))
    found = mirror_test(reduced(images), task, list(targets))
    seconds = round(time.perf_counter() - start, 2)
    asked = {"command": "mirror_test(reduced(images), task, targets)", "n": 1}
    rows.append({"what": "test of mirroring, 2,000 digits", **asked, "said": found.line(), "seconds": seconds})
    with tempfile.TemporaryDirectory() as scratch:
        pairs = [(flip, seed) for seed in range(chosen.seeds) for flip in (0.5, None)]
        rows += [accuracy(flip, chosen.epochs, seed, Path(scratch)) for flip, seed in pairs]
    for new in rows:
        print(json.dumps(new))
    write_record("mirroring", rows, ("striate", "torch", "numpy"))


if __name__ == "__main__":
    main()
