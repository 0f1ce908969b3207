"""Suppression behind an exported detector, of OpenVINO's operators: see `box_layers`."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from striate.model import Model
from striate.tasks.detection_arrays import CANDIDATES, LEAST_SCORE, MOST, OVERLAP


def openvino_boxes(model: Model, candidate: list[Any], images: Any) -> list[Any]:
    """The results NAMES, behind the candidates' outputs and the parameter `images`."""
    ops = importlib.import_module("openvino.opset15")
    boxes, scores, labels = candidate

    def whole(values: Any) -> Any:
        return ops.constant(np.array(values, np.int64))

    labels = ops.convert(labels, "i64")
    own = ops.equal(ops.unsqueeze(labels, whole(1)), whole(np.arange(model.task.outputs)[None, :, None]))
    zero = ops.constant(np.array(0, np.float32))
    by_class = ops.select(own, ops.unsqueeze(scores, whole(1)), zero)
    chosen = ops.non_max_suppression(
        boxes, by_class, whole(CANDIDATES), ops.constant(np.float32(OVERLAP)),
        ops.constant(np.float32(LEAST_SCORE)), box_encoding="corner", sort_result_descending=False, output_type="i64",
    ).output(0)  # fmt: skip
    image = ops.gather(chosen, whole([0]), whole(1))
    real = ops.greater_equal(image, whole(0))  # behind the last one, rows of -1
    places = ops.select(real, ops.gather(chosen, whole([0, 2]), whole(1)), whole([0, 0]))
    # Additions, so that rows of -1, which are places of the first candidate here, change nothing.
    ones = ops.squeeze(ops.convert(real, "f32"), whole(1))
    added = ops.scatter_nd_update(ops.multiply(scores, zero), places, ones, reduction="sum")
    kept = ops.multiply(scores, added)
    best = ops.topk(kept, whole(MOST), 1, "max", "value", "i64")
    values, order = best.output(0), best.output(1)
    there = ops.greater(values, zero)
    named = ops.select(there, ops.gather_elements(labels, order, 1), whole(-1))
    taken = ops.gather_nd(boxes, ops.unsqueeze(order, whole(2)), 1)
    sides = ops.convert(ops.gather(ops.shape_of(images, "i64"), whole([2, 1, 2, 1]), whole(0)), "f32")
    clear = ops.multiply(taken, ops.unsqueeze(ops.convert(there, "f32"), whole(2)))
    return [ops.result(one) for one in (ops.multiply(clear, sides), values, named)]
