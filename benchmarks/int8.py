"""int8 beside bfloat16 and float32: seconds of an engine's call, in one process, alternating.

    python benchmarks/int8.py [--runs 15]

ResNet-18 and -50, MobileNetV2 (weights drawn at random: the time does not depend on them) and EfficientNet-Lite0, one
image and 16 of the network's size, on all cores, as `striate predict` runs them. Calibrated on photographs of
imagenet_samples. What int8 costs in accuracy is told by `striate predict --precision int8`, for the model that it has.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from recording import DATA, write_record

from striate.inference.backbones import backbone_of
from striate.inference.int8 import quantized
from striate.inference.openvino_engine import OpenVinoEngine, convert
from striate.model import Model
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Images
from striate.tasks import Classification
from striate.weights.models import published_model

GOALS = {"resnet18": 1.6, "resnet50": 1.6, "mobilenet_v2": 1.2, "efficientnet_lite0": 1.2}
CALIBRATION = 100


def model_of(name: str) -> Model:
    """A model of a network of the catalogue for 224 x 224 pixels."""
    published = published_model("efficientnet_lite0")
    if name == published.net:
        return published
    torch.manual_seed(0)
    net = create(name)
    tensors, aliases = arrays_of(net)
    names = Classification(tuple(map(str, range(1000))))
    return Model(name, net.options, names, published.pixels, tensors, "head", aliases=aliases)


def photographs(model: Model, count: int) -> list[Images]:
    """Crops of the network's size, each [1, H, W, C]."""
    files: list[Path] = sorted((DATA / "imagenet_samples").glob("*.jpg"))[:count]
    return [model.pixels.apply(model.pixels.decode(file.read_bytes()).image)[None] for file in files]


def measure(name: str, runs: int) -> list[dict[str, object]]:
    model = model_of(name)
    crops = photographs(model, CALIBRATION)
    graph = quantized(convert(backbone_of(model), model.pixels), crops)
    engines = {precision: OpenVinoEngine(model, precision) for precision in ("float32", "bfloat16")}
    engines["int8"] = OpenVinoEngine(model, "int8", graph=graph)
    rows: list[dict[str, object]] = []
    for batch in (1, 16):
        images = np.concatenate(crops[:batch])
        taken: dict[str, list[float]] = {precision: [] for precision in engines}
        for turn in range(runs + 2):
            for precision, engine in engines.items():
                begun = time.perf_counter()
                for _ in range(16 // batch):
                    engine.run(images)
                if turn >= 2:  # two turns warm up
                    taken[precision].append(1000 * (time.perf_counter() - begun) * batch / 16)
        middle = {precision: statistics.median(times) for precision, times in taken.items()}
        rows.append(
            {
                "what": f"{name}, {batch} image{'s' if batch > 1 else ''}",
                "command": "benchmarks/int8.py",
                "n": runs,
                "ms": {precision: round(value, 2) for precision, value in middle.items()},
                "times bfloat16's speed": round(middle["bfloat16"] / middle["int8"], 2),
                "times float32's speed": round(middle["float32"] / middle["int8"], 2),
                "goal over bfloat16": GOALS[name],
            }
        )
        print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    write_record("int8", [row for name in GOALS for row in measure(name, given.runs)], ["openvino", "nncf", "torch"])
