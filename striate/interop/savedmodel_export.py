"""`striate export --to savedmodel`: a SavedModel of TensorFlow, written without it, run by OpenVINO to compare it.

Its weights are constants of the graph: there are no variables, and nothing in it is trained on. Source:
tensorflow/core/protobuf/{saved_model,meta_graph}.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from striate.errors import RequestError
from striate.interop.graph import Graph
from striate.interop.nhwc_rows import lowered
from striate.interop.protobuf import message, number
from striate.interop.tensorflow_nodes import TYPES, Nodes, shape_proto
from striate.interop.tflite_export import notes_on_maps, opened, tflite_layout
from striate.interop.written import Written, graph_of_model, notes_on
from striate.model import Model

FILE = "saved_model.pb"
LARGEST = 2**31 - 1  # bytes of a protocol buffer
_PRODUCER = 1882  # the version of graphs of TensorFlow 2.17; later ones read it


def write(model: Model, path: Path) -> Written:
    """Write the folder. Raises RequestError for rows that TensorFlow has no operator for, by their names."""
    graph = graph_of_model(model, "uint8")
    path.mkdir()
    (path / FILE).write_bytes(saved_model(graph, model.task.output_name))
    notes = (
        *notes_on(model, tflite_layout(model)),
        *notes_on_maps(graph),
        "weights are constants: the model cannot be trained on",
    )
    return Written(opened(path), notes)


def saved_model(graph: Graph, output: str) -> bytes:
    """The content of saved_model.pb: "images" [N, H, W, C], of the graph's type, -> `output`, the one of the graph.

    Raises RequestError for rows that TensorFlow has no operator for, by their names, and for over 2 GB of weights.
    """
    steps = lowered(graph, "TensorFlow")
    nodes, kind = Nodes(steps), TYPES[graph.input.type]
    sides = (-1, *steps.shape(steps.images))
    nodes.names[steps.images] = nodes.add(
        "images", "Placeholder", (), {"dtype": kind, "shape": message(7, shape_proto(sides))}
    )
    for one in steps.operators:
        nodes.operator(one)
    ended = nodes.add(f"{output}_output", "Identity", [nodes.names[steps.result]], {"T": TYPES["float32"]})
    signature = _signature({"images": ("images", kind, sides)}, {output: (ended, 1, (-1, *steps.shape(steps.result)))})
    information = message(4, "serve") + message(5, "2.17.0")
    meta = message(1, information) + message(2, b"".join(nodes.written) + message(4, number(1, _PRODUCER)))
    meta += message(5, message(1, "serving_default") + message(2, signature))
    content = number(1, 1) + message(2, meta)
    if len(content) > LARGEST:
        raise RequestError(f"a saved_model.pb holds at most {LARGEST:,} bytes, and this one has {len(content):,}")
    return content


Named = Mapping[str, tuple[str, int, Sequence[int]]]  # by its name outside: node, type and shape


def _signature(inputs: Named, outputs: Named) -> bytes:
    """A SignatureDef."""
    held = b""
    for field, named in ((1, inputs), (2, outputs)):
        for name, (node, kind, sides) in named.items():
            tensor = message(1, f"{node}:0") + number(2, kind) + message(3, shape_proto(sides))
            held += message(field, message(1, name) + message(2, tensor))
    return held + message(3, "tensorflow/serving/predict")
