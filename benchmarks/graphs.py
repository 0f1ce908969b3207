"""Every network of the catalogue as a graph, and the graph as a network again: the largest difference of an output.

Each is made with random weights for three classes, and given two random images of its smallest size; the difference is
a share of the largest output where that is over 1. A name is equal at 1e-5 or less.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from recording import write_record
from torch import nn

from striate.interop.aten import graph_of
from striate.interop.graph_net import GraphNet
from striate.nets import catalog
from striate.nets.build import create

LIMIT = 1e-5
WORDS = {"sequence-model", "captioner"}  # kinds that take words, which no graph of images has
NO_ROW = {"espnetv2", "fcos", "faster_rcnn"}  # what they compute has no row: see tests/interop/test_graph.py


@torch.no_grad()
def difference(name: str) -> float:
    """Between a network and its graph."""
    torch.manual_seed(0)
    entry = catalog.entry(name)
    net = create(name, classes=None if entry.kind == "self-organising" else 3).eval()
    size = entry.input_size if net.input_size or entry.tiny else (net.minimum_size,) * 2
    images = torch.randn(2, net.in_channels, *size)
    if not net(images).isfinite().all():  # of a thousand layers, whose sums grow with random weights
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.mul_(0.1)
    expected, found = net(images), GraphNet(graph_of(net, images.shape[1:])).eval()(images)
    if found.shape != expected.shape:
        raise SystemExit(f"{name}: {tuple(found.shape)} instead of {tuple(expected.shape)}")
    return float((found - expected).abs().max()) / max(1.0, float(expected.abs().max()))


def main() -> None:
    """Compare all, and write the record. Exit code 1 if one differs."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nets", nargs="+", metavar="NET", help="only these networks; no record is written")
    chosen = options.parse_args()
    names = chosen.nets or [
        one.name for one in catalog.entries(tiny=True) if one.kind not in WORDS and one.file not in NO_ROW
    ]
    begun, found = time.perf_counter(), dict[str, float]()
    with ProcessPoolExecutor(2, get_context("spawn"), torch.set_num_threads, (1,)) as workers:
        for name, far in zip(names, workers.map(difference, names), strict=True):
            found[name] = far
            print(f"{name} {far:.1e}", flush=True)
    worst = max(found, key=lambda name: found[name])
    row = {
        "what": "networks of the catalogue as graphs, and back",
        "command": "benchmarks/graphs.py",
        "n": len(found),
        "equal": sum(value <= LIMIT for value in found.values()),
        "identical": sum(value == 0 for value in found.values()),
        "largest_difference": float(f"{found[worst]:.2e}"),
        "of": worst,
        "seconds": round(time.perf_counter() - begun),
    }
    if not chosen.nets:
        write_record("graphs", [row], ("torch", "numpy"))
    print(row)
    raise SystemExit(0 if row["equal"] == row["n"] else 1)


if __name__ == "__main__":
    main()
