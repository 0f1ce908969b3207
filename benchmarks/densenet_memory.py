"""Measure the memory of a training step of a DenseNet by depth: python benchmarks/densenet_memory.py

Growth rate 12, 32 x 32 images, one thread; plain networks and BC ones, with and without the memory-efficient
implementation. Each runs in a separate process: its peak resident memory minus that after the imports, minus weights
and gradients. The C library is configured to return large blocks to the system as soon as they are freed, so that the
peak is what the step needs; its default, which fragments and needs more, is measured too. Linear means that a parabola
through the points is hardly below its chord.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from recording import write_record

DEPTHS = (40, 100, 160, 220, 250)
# BC or not, memory-efficient or not, large blocks returned or not
WAYS = (
    (True, True, True),
    (True, False, True),
    (False, True, True),
    (False, False, True),
    (True, True, False),
)
GROWTH_RATE, BATCH = 12, 8


def megabytes_at_peak() -> float:
    """The peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_here(depth: int, compact: bool, saving: bool) -> dict[str, float]:
    """A step in this process, and its CPU time."""
    import torch
    import torch.nn.functional as F

    from striate.nets.densenet import CifarDenseNet

    torch.set_num_threads(1)
    F.conv2d(torch.zeros(1, 1, 8, 8, requires_grad=True), torch.zeros(1, 1, 3, 3)).sum().backward()  # loads the kernels
    before = megabytes_at_peak()
    torch.manual_seed(0)
    compression = 0.5 if compact else 1.0
    net = CifarDenseNet(
        depth=depth, growth_rate=GROWTH_RATE, bottleneck=compact, compression=compression, memory_efficient=saving
    )
    # Gradients exist from the start, so that they are part of the peak, whenever that is, and can be subtracted.
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 0.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, labels = torch.randn(BATCH, 3, 32, 32), torch.arange(BATCH)
    begun = time.process_time()
    loss = F.cross_entropy(net(x), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    seconds = time.process_time() - begun
    weights = 2 * 4 * sum(parameter.numel() for parameter in net.parameters()) / 2**20
    peak = megabytes_at_peak() - before
    return {"peak": peak, "weights": weights, "kept": peak - weights, "cpu_seconds": seconds, "loss": loss.item()}


def measure(depth: int, compact: bool, saving: bool, returning: bool) -> dict[str, float]:
    """`measure_here` in a separate process; `returning` fixes glibc's threshold, which otherwise grows with use."""
    environment = dict(os.environ) | ({"MALLOC_MMAP_THRESHOLD_": "65536"} if returning else {})
    command = [sys.executable, str(Path(__file__)), "--one", str(depth), str(int(compact)), str(int(saving))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def curve(kept: list[float]) -> dict[str, float]:
    """How linear the memory is in the depth: the residual of a line, and the curvature of a parabola."""
    depths = np.array(DEPTHS, float)
    line = np.polyfit(depths, kept, 1)
    off = np.abs(np.polyval(line, depths) - kept).max()
    bend = np.polyfit(depths, kept, 2)[0] * (depths[-1] - depths[0]) ** 2 / 4  # of the middle below the chord
    return {
        "megabytes_a_layer": round(line[0], 3),
        "largest_distance_from_line": round(off / kept[-1], 4),
        "sag_of_parabola": round(bend / kept[-1], 4),
    }


def main() -> None:
    """Measure every depth, network and setting, and write the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--one", nargs=3, type=int, help="DEPTH BC EFFICIENT: measure in this process")
    chosen = options.parse_args()
    if chosen.one:
        depth, compact, saving = chosen.one
        print(json.dumps(measure_here(depth, bool(compact), bool(saving))))
        return
    rows: list[dict[str, object]] = []
    for compact, saving, returning in WAYS:
        found = [measure(depth, compact, saving, returning) for depth in DEPTHS]
        name = f"DenseNet{'-BC' if compact else ''} k=12, {'memory-efficient' if saving else 'default'}"
        name += "" if returning else ", default malloc"
        row: dict[str, object] = {"what": f"{name}: megabytes of activations in a step of {BATCH} images, by depth"}
        row |= {"command": "benchmarks/densenet_memory.py", "n": 1, "depths": list(DEPTHS)}
        for key, digits in (("kept", 1), ("peak", 1), ("weights", 1), ("cpu_seconds", 2), ("loss", 6)):
            row[key] = [round(one[key], digits) for one in found]
        rows.append(row | curve([one["kept"] for one in found]))
        print(json.dumps(rows[-1]), flush=True)
    write_record("densenet-memory", rows, ("striate", "torch"))


if __name__ == "__main__":
    main()
