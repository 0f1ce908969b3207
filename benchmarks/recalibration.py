"""The FractalNets of the study `fractal` as they were trained, recalibrated, and by their deepest column alone.

    python benchmarks/studies.py WORK fractal --scale cpu
    python benchmarks/recalibration.py WORK

In evaluation a batch norm uses the running averages of training; global drop-path trains with one column at a time as
well as with all of them, so that the averages fit neither. `striate.recalibrate` takes the statistics of the training
images again, with all columns. Errors are of the test images, in per cent.
"""

from __future__ import annotations

import argparse
import statistics
import tomllib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from recording import DATA, write_record
from torch import nn

import striate
from striate.nets.fractalnet import FractalNet
from striate.studies.published.fractal import FORMS, STUDY
from striate.tasks.metrics import mean_interval

CPU = STUDY.at("cpu")
Arrays = dict[str, NDArray[np.uint8]]


@torch.no_grad()
def errors(model: Path, images: Arrays) -> dict[str, float]:
    """Of a model file: as trained, of the deepest column, and recalibrated on the training images."""
    predictor = striate.load(model)
    net = predictor.net
    assert isinstance(net, FractalNet)
    test, training = predictor.transform(list(images["xte"])), predictor.transform(list(images["xtr"]))

    def error(one: nn.Module) -> float:
        return 100 * float(np.mean(one.eval()(test).argmax(1).numpy() != images["yte"]))

    found = {"as trained": error(net), "deepest column": error(net.column(1))}
    striate.recalibrate(net, training.split(64))
    return found | {"recalibrated": error(net)}


def main() -> None:
    """Measure all runs of WORK, print and record them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("work", type=Path, help="folder of the study")
    work = options.parse_args().work
    with np.load(DATA / "cifar10_lossless_5k.npz") as held:
        images = dict(held)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in FORMS}
    for run in sorted((work / "runs").glob("fractalnet20-*")):
        recipe = tomllib.loads((run / "recipe.toml").read_text("utf-8"))
        if recipe["train"]["epochs"] == CPU.recipe["train.epochs"]:
            chosen = recipe["net"]["options"]
            name = next(name for name in FORMS if CPU.changes[name]["net.options"] == chosen)
            found[name].append(errors(run / "model.safetensors", images))
    rows: list[dict[str, object]] = []
    for name, seeds in found.items():
        row: dict[str, object] = {"what": name, "command": "python benchmarks/recalibration.py WORK", "n": len(seeds)}
        for key in seeds[0]:
            values = [one[key] for one in seeds]
            row[key] = {
                "mean": round(statistics.fmean(values), 2),
                "interval": [round(end, 2) for end in mean_interval(values)],
                "by_seed": [round(value, 2) for value in values],
            }
        rows.append(row)
        print(row, flush=True)
    write_record("recalibration", rows, ("striate", "torch", "numpy"))


if __name__ == "__main__":
    main()
