"""Networks for telephones on this processor: one image in LiteRT, in floats and int8, OpenVINO and ONNX Runtime.

    python benchmarks/mobile_latency.py [--runs 25] [--threads 1]

MobileNetV1, MobileNetV2, NASNet-A (mobile) and MnasNet-A1 with random weights, which the time does not depend on; batch
normalisation has the statistics of photographs. The backbone alone, on uint8 [1, 224, 224, 3] in memory. The runtimes
take turns; the first three turns warm up; medians. The size of a .tflite file is its bytes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from recording import DATA, write_record
from torch import nn

from striate.inference.backbones import backbone_of, normalised
from striate.inference.openvino_engine import convert
from striate.inference.runtimes import import_onnxruntime, import_openvino
from striate.interop.litert import LiteRT
from striate.interop.onnx_graph import onnx_backbone
from striate.interop.tflite_export import int8_files
from striate.model import Model
from striate.nets.build import create
from striate.nets.state import arrays_of
from striate.pixels import Images
from striate.progress import Progress
from striate.tasks import Classification
from striate.weights.models import published_model

NETS = ("mobilenet_v1", "mobilenet_v2", "nasnet_a_mobile", "mnasnet_a1")
WARM = 3
CALIBRATION = 8


def model_of(name: str, photographs: list[Images]) -> Model:
    """A network of the catalogue with random weights, its batch normalisation fitted to the photographs."""
    torch.manual_seed(0)
    net, pixels = create(name), published_model("efficientnet_lite0").pixels
    names = Classification(tuple(map(str, range(1000))))

    def model() -> Model:
        tensors, aliases = arrays_of(net)
        return Model(name, net.options, names, pixels, tensors, "head", aliases=aliases)

    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net.train()(normalised(np.concatenate(photographs), model()))
    net.eval()
    return model()


def runtimes(
    model: Model, photographs: list[Images], threads: int
) -> tuple[dict[str, Callable[[], Any]], dict[str, int]]:
    """What computes one image in each runtime, and the bytes of the .tflite files."""
    image = photographs[0]
    files = dict(
        zip(
            ("int8", "dynamic int8"),
            (content for _, content in int8_files(model, photographs, Progress())),
            strict=True,
        )
    )
    files["float32"] = tflite_of(model)
    found: dict[str, Callable[[], Any]] = {}
    for form, content in files.items():
        run = LiteRT(content, threads=threads)
        found[f"LiteRT {form}"] = lambda run=run: run.predictions(image)
    precision = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = import_openvino().Core().compile_model(convert(backbone_of(model), model.pixels), "CPU", precision)
    found["OpenVINO float32"] = lambda: compiled([image])
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    graph = onnx_backbone(model)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    floats = image.astype(np.float32)
    found["ONNX Runtime float32"] = lambda: session.run(None, {graph.graph.input[0].name: floats})
    return found, {form: len(content) for form, content in files.items()}


def tflite_of(model: Model) -> bytes:
    """The file in floats."""
    from striate.interop.tflite import tflite
    from striate.interop.written import graph_of_model

    return tflite(graph_of_model(model, "uint8"), model.task.output_name, {})


def measure(name: str, runs: int, threads: int) -> dict[str, object]:
    """A row of the table."""
    pixels = published_model("efficientnet_lite0").pixels
    files = sorted((DATA / "imagenet_samples").glob("*.jpg"))[:CALIBRATION]
    photographs = [pixels.apply(pixels.decode(file.read_bytes()).image)[None] for file in files]
    model = model_of(name, photographs)
    computes, sizes = runtimes(model, photographs, threads)
    taken: dict[str, list[float]] = {runtime: [] for runtime in computes}
    for turn in range(runs + WARM):
        for runtime, compute in computes.items():
            begun = time.perf_counter()
            compute()
            if turn >= WARM:
                taken[runtime].append(1000 * (time.perf_counter() - begun))
    return {
        "what": f"{name}, one image, {threads} thread{'s' if threads > 1 else ''}",
        "command": "benchmarks/mobile_latency.py",
        "n": runs,
        "median_ms": {runtime: round(statistics.median(times), 2) for runtime, times in taken.items()},
        "tflite_bytes": sizes,
    }


def main() -> None:
    """Measure all networks, and write the record."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=25)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--nets", nargs="+", default=NETS)
    chosen, rows = options.parse_args(), []
    torch.set_num_threads(chosen.threads)
    for name in chosen.nets:
        rows.append(measure(name, chosen.runs, chosen.threads))
        print(rows[-1], flush=True)
    write_record("mobile-latency", rows, ("ai-edge-litert", "openvino", "onnxruntime", "torch"))


if __name__ == "__main__":
    main()
