"""Measure the memory of a training step by depth, with and without gradient checkpointing: python
benchmarks/recompute.py

Pre-activation ResNets of 50 to 800 layers on 32 x 32 images, through the loop that `striate train` runs, one thread.
Each runs in a separate process: its peak resident memory minus that after the imports, minus weights and gradients,
which checkpointing cannot save. The exponent is the slope of the logarithms: 1 is proportional to the depth, 0.5 to its
square root.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from densenet_memory import megabytes_at_peak
from recording import write_record

DEPTHS = (50, 98, 200, 398, 800)
BATCH = 16


def measure_here(depth: int, checkpointing: str) -> dict[str, float]:
    """A step in this process, and its CPU time."""
    import torch

    from striate.nets.preact_resnet import CifarPreActResNet
    from striate.recipe import Recipe
    from striate.training import Examples, fit

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (BATCH, 3, 32, 32), dtype=torch.uint8, generator=generator)
    examples = Examples(images, torch.arange(BATCH) % 10, [127.5] * 3, [127.5] * 3)
    recipe = Recipe().updated({
        "train": {"epochs": 1, "batch": BATCH, "clip_norm": None, "compile": "no", "precision": "float32"},
        "train.gradient_checkpointing": checkpointing, "optimizer.name": "sgd", "augment.preset": "none",
    })  # fmt: skip
    warm = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 900, 10))
    fit(warm, examples, recipe)  # loads the kernels
    before = megabytes_at_peak()
    torch.manual_seed(0)
    net = CifarPreActResNet(depth=depth)
    for parameter in net.parameters():  # gradients exist from the start, so that they can be subtracted
        parameter.grad = torch.full_like(parameter, 0.0)
    begun = time.process_time()
    loss = fit(net, examples, recipe)[0].loss
    seconds = time.process_time() - begun
    weights = 2 * 4 * sum(parameter.numel() for parameter in net.parameters()) / 2**20
    return {"kept": megabytes_at_peak() - before - weights, "weights": weights, "cpu_seconds": seconds, "loss": loss}


def measure(depth: int, checkpointing: str) -> dict[str, float]:
    """`measure_here` in a separate process, where the C library returns large blocks as soon as they are freed."""
    command = [sys.executable, str(Path(__file__)), "--one", str(depth), checkpointing]
    environment = dict(os.environ) | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure every depth with and without, and write the record."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--one", nargs=2, metavar=("DEPTH", "RECOMPUTE"), help="measure in this process")
    chosen = options.parse_args()
    if chosen.one:
        print(json.dumps(measure_here(int(chosen.one[0]), chosen.one[1])))
        return
    rows: list[dict[str, object]] = []
    for checkpointing in ("none", "sqrt"):
        found = [measure(depth, checkpointing) for depth in DEPTHS]
        row: dict[str, object] = {
            "what": f"pre-activation ResNet, gradient checkpointing {checkpointing}: activation MB of a step, by depth",
            "command": "benchmarks/recompute.py", "n": 1, "depths": list(DEPTHS),
        }  # fmt: skip
        for key, digits in (("kept", 1), ("weights", 1), ("cpu_seconds", 2), ("loss", 6)):
            row[key] = [round(one[key], digits) for one in found]
        logs = [math.log(one["kept"]) for one in found]
        row["exponent"] = round(float(np.polyfit(np.log(DEPTHS), logs, 1)[0]), 3)
        rows.append(row)
        print(json.dumps(row), flush=True)
    write_record("recompute", rows, ("striate", "torch"))


if __name__ == "__main__":
    main()
