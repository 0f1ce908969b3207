"""`striate export --to tflite`: a model as a TensorFlow Lite file, run by OpenVINO to compare it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.inference.runtimes import import_openvino
from striate.interop.graph import Graph
from striate.interop.litert import LiteRT
from striate.interop.nhwc_rows import lowered
from striate.interop.output_layers import properties
from striate.interop.passes import same_padding
from striate.interop.tflite import tflite
from striate.interop.tflite_file import tflite_content
from striate.interop.tflite_int8 import dynamic, full, measured, typical
from striate.interop.written import Run, Written, graph_of_model, notes_on
from striate.model import Model
from striate.pixels import Images
from striate.progress import Progress
from striate.storage import json_text


def write(model: Model, path: Path) -> Written:
    """Write the file. Raises RequestError for operations that TensorFlow Lite does not have, by their names."""
    graph = graph_of_model(model, "uint8")
    path.write_bytes(tflite(graph, model.task.output_name, _metadata(model)))
    return Written(opened(path), (*notes_on(model, tflite_layout(model)), *notes_on_maps(graph)))


def tflite_layout(model: Model) -> str:
    """Of the images that the file takes."""
    return f"uint8 [N, {model.pixels.height}, {model.pixels.width}, {model.pixels.channels}]"


def int8_files(model: Model, calibration: Sequence[Images], progress: Progress) -> Iterator[tuple[str, bytes]]:
    """The file in "int8", calibrated on crops [1, H, W, C], and then in "dynamic int8"; see `tflite_int8`.

    Raises RequestError as `write` does, and where LiteRT is not installed.
    """
    steps, told = lowered(graph_of_model(model, "uint8"), "TensorFlow Lite"), _metadata(model)
    output = model.task.output_name
    floats, numbers = LiteRT(tflite_content(steps, output, told), keep_maps=True), measured(steps)
    extremes = []
    with progress.bar("Calibrating", len(calibration)) as bar:
        for crop in calibration:
            maps = floats.maps(crop, numbers)
            extremes.append({number: (float(one.min()), float(one.max())) for number, one in maps.items()})
            bar.advance()
    yield "int8", tflite_content(full(steps, typical(extremes)), output, told)
    yield "dynamic int8", tflite_content(dynamic(steps), output, told)


def _metadata(model: Model) -> dict[str, bytes]:
    return {"striate": json_text(properties(model) | {"pixels": model.pixels.as_dict()}).encode()}


def opened(path: Path) -> Run:
    """The file as OpenVINO runs it, in float32."""
    compiled = import_openvino().Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(crops: Images) -> NDArray[np.float32]:
        found: Any = compiled([crops])[0]
        return np.array(found)

    return run


def notes_on_maps(graph: Graph) -> list[str]:
    """What formats of TensorFlow have otherwise than the network."""
    found, counts = [], Counter(row.operator for row in graph.rows)
    if counts["batch_norm"]:
        found.append("batch normalisation after a convolution is folded into its weights; maps are [N, H, W, C]")
    else:
        found.append("maps are [N, H, W, C]")
    other = sum(_padded_otherwise(graph, row.name) for row in graph.rows if row.operator in ("conv", "max_pool"))
    if other:
        found.append(f"{other} layers pad where TensorFlow's SAME would not: they have a PAD before them")
    return found


def _padded_otherwise(graph: Graph, name: str) -> bool:
    row = graph[name]
    above, at = graph[row.inputs[0]].shape[1:], row.attributes
    size = row.attributes["kernel"] if row.operator == "max_pool" else graph.arrays[row.arrays["weight"]].shape[2:]
    spread = [(side - 1) * step + 1 for side, step in zip(size, at["dilation"], strict=True)]
    return any(at["padding"]) and [pad for pad, _ in same_padding(above, spread, at["stride"])] != list(at["padding"])
