"""Measure captioning: python benchmarks/captioning.py [NET[+STRATEGY] ...], such as nic_lite0+finetune

flickr8k_500: 500 photographs with 5 captions each, a fifth held out, split by photograph. Each net is trained with
three seeds (which split, start and order depend on), as `striate train DATA --net NET` does, and stands beside captions
of nearest neighbours.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from recording import DATA, write_record

SEEDS = (0, 1, 2)
NETS = ("nic_lite0", "show_attend_tell_lite0")
FIGURES = ("bleu1", "bleu2", "bleu3", "bleu4", "cider_d", "distinct")


def trained(net: str, seed: int, folder: Path) -> dict[str, Any]:
    """One training: its figures."""
    from striate.jobs.train import train
    from striate.recipe import Recipe

    name, _, strategy = net.partition("+")
    chosen = Recipe().updated({"seed": seed, "net.name": name, **({"strategy": strategy} if strategy else {})})
    run = train(DATA / "flickr8k_500", out=folder / f"{net}-{seed}", recipe=chosen)
    print(net, seed, *run.evaluation.lines(), sep="\n  ", flush=True)
    return run.metrics


def measured(net: str, folder: Path) -> dict[str, object]:
    """The trainings of one net and their figures, each with its half range over the seeds."""
    with ProcessPoolExecutor(len(SEEDS), mp_context=get_context("spawn")) as pool:
        runs = list(pool.map(partial(trained, net, folder=folder), SEEDS))
    neighbours = [one["nearest_neighbour"] for one in runs]
    return {
        "what": f"captioning, flickr8k_500, {net}",
        "n": len(SEEDS),
        "command": f"striate train flickr8k_500 --net {net.replace('+', ' --strategy ')} --set seed=SEED",
        "images": [500 - runs[0]["total"], runs[0]["total"]],
        "references": runs[0]["references"],
        "tokeniser": runs[0]["tokeniser"],
        "smoothing": runs[0]["smoothing"],
        **{name: _over(runs, name) for name in FIGURES},
        "nearest_neighbour": {name: _over(neighbours, name) for name in FIGURES},
        "gain_bleu4": [_rounded(one["gain_over_nearest_neighbour"]) for one in runs],
        "seconds": [round(one["seconds"], 1) for one in runs],
        "busy": "other load on both cores: seconds not comparable" if os.getloadavg()[0] > 2.5 else "",
    }


def _over(runs: list[dict[str, Any]], name: str) -> dict[str, float]:
    values = [float(one[name]) for one in runs]
    return {"mean": round(float(np.mean(values)), 4), "half_range": round((max(values) - min(values)) / 2, 4)}


def _rounded(gain: dict[str, Any]) -> dict[str, Any]:
    return {"bleu4": round(gain["bleu4"], 4), "interval": [round(end, 4) for end in gain["interval"]]}


def main() -> None:
    """Measure and write the record."""
    for net in sys.argv[1:] or NETS:
        with tempfile.TemporaryDirectory(prefix="striate-captioning-") as folder:
            row = measured(net, Path(folder))
        print(json.dumps(row), flush=True)
        write_record("captioning", [row], ("striate", "torch", "numpy", "pillow"))


if __name__ == "__main__":
    main()
