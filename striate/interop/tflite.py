"""A graph as a TensorFlow Lite file: maps [N, H, W, C], operators that every runtime has, without TensorFlow.

Batch normalisation is folded into convolutions, ReLU and ReLU6 joined with what is before them, as TensorFlow's own
converter does. Padding that is not TensorFlow's SAME is an operator of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from striate.interop.graph import Graph
from striate.interop.nhwc_rows import lowered
from striate.interop.tflite_file import tflite_content


def tflite(graph: Graph, output: str, metadata: Mapping[str, bytes]) -> bytes:
    """The file's content: "images" [N, H, W, C], of the graph's type, -> `output`, the graph's one output.

    Raises RequestError for rows that TensorFlow Lite has no operator for, by their names.
    """
    return tflite_content(lowered(graph, "TensorFlow Lite"), output, metadata)
