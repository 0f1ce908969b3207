"""Suppression behind an exported detector, of ONNX's operators: see `box_layers`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from striate.interop.box_layers import NAMES
from striate.interop.onnx_nodes import Nodes
from striate.model import Model
from striate.tasks.detection_arrays import CANDIDATES, LEAST_SCORE, MOST, OVERLAP


def append_onnx(graph: onnx.GraphProto, model: Model) -> None:
    """Put suppression behind a graph "images" -> NAMES, which are candidates, and what is left in their place."""
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name in NAMES:
                    names[place] = f"{name}_candidates"
    made = Nodes("boxes")
    add = made.add

    def constant(values: Any, kind: Any) -> str:
        return made.constant(np.array(values, kind))

    boxes, scores, labels = (f"{name}_candidates" for name in NAMES)
    one = constant([1], np.int64)
    classes = constant(np.arange(model.task.outputs)[None, :, None], np.int64)
    own = add("Equal", add("Unsqueeze", labels, one), classes)
    by_class = add("Where", own, add("Unsqueeze", scores, one), constant(0, np.float32))  # [N, classes, candidates]
    every = constant([CANDIDATES], np.int64)
    limits = constant([OVERLAP], np.float32), constant([LEAST_SCORE], np.float32)
    chosen = add("NonMaxSuppression", boxes, by_class, every, *limits)  # [M, 3]: image, class, candidate
    places = add("Gather", chosen, constant([0, 2], np.int64), axis=1)
    nothing = add("Mul", scores, constant(0, np.float32))
    count = add("Shape", places, start=0, end=1)
    ones = add("ConstantOfShape", count, value=numpy_helper.from_array(np.ones(1, np.float32)))
    kept = add("Mul", scores, add("ScatterND", nothing, places, ones))
    order = "boxes_order"
    made.nodes.append(helper.make_node("TopK", [kept, constant([MOST], np.int64)], ["scores", order], axis=1))
    there = add("Greater", "scores", constant(0, np.float32))
    add("Where", there, add("GatherElements", labels, order, axis=1), constant(-1, np.int64), name="labels")
    last = constant([2], np.int64)
    best = add("GatherND", boxes, add("Unsqueeze", order, last), batch_dims=1)
    height, width = (add("Shape", "images", start=side, end=side + 1) for side in (1, 2))
    sides = add("Cast", add("Concat", width, height, width, height, axis=0), to=TensorProto.FLOAT)
    shown = add("Mul", best, add("Unsqueeze", add("Cast", there, to=TensorProto.FLOAT), last))
    add("Mul", shown, sides, name="boxes")
    graph.node.extend(made.nodes)
    graph.initializer.extend(made.constants)
    del graph.output[:]
    graph.output.extend([
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["N", MOST, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", MOST]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["N", MOST]),
    ])  # fmt: skip
