"""Suppression in exported graphs: ONNX's and OpenVINO's operators give what `detections` gives."""

from __future__ import annotations

import numpy as np
from application_models import box_model
from onnx import TensorProto, helper

from striate.interop.box_layers import NAMES
from striate.interop.box_onnx import append_onnx
from striate.interop.box_openvino import openvino_boxes
from striate.tasks.boxes import nms
from striate.tasks.detection_arrays import CANDIDATES, FOUND_BOX, FOUND_CLASS, LEAST_SCORE, SCORE, detections_of

SIZE = (90, 130)  # height and width of the images


def candidates() -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Of two images, many candidates that overlap and a few; many of the second score too low."""
    generator = np.random.default_rng(0)
    centre, half = generator.random((2, CANDIDATES, 2)), generator.random((2, CANDIDATES, 2)) / 8 + 0.02
    boxes = np.concatenate([centre - half, centre + half], 2).clip(0, 1).astype(np.float32)
    scores = -np.sort(-generator.random((2, CANDIDATES)).astype(np.float32), axis=1)
    scores[1, 40:] = 0.04
    return boxes, scores, generator.integers(0, 3, (2, CANDIDATES))


def test_operators_suppress_as_detections_do() -> None:
    import onnxruntime
    import openvino

    given, images = candidates(), np.zeros((2, *SIZE, 3), np.uint8)
    model = box_model()
    kinds = (TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64)
    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "height", "width", 3])]
    for name, kind, values in zip(NAMES, kinds, given, strict=True):
        inputs.append(helper.make_tensor_value_info(f"{name}_in", kind, list(values.shape)))
    same = [helper.make_node("Identity", [f"{name}_in"], [name]) for name in NAMES]
    graph = helper.make_graph(same, "candidates", inputs, [])
    append_onnx(graph, model)
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    fed = {f"{name}_in": value for name, value in zip(NAMES, given, strict=True)}
    by_onnx = session.run(list(NAMES), {"images": images, **fed})

    ops = openvino.opset15
    parameters = [ops.parameter([-1, -1, -1, 3], np.uint8), *(ops.parameter(one.shape, one.dtype) for one in given)]
    results = openvino_boxes(model, [one.output(0) for one in parameters[1:]], parameters[0])
    compiled = openvino.Core().compile_model(openvino.Model(results, parameters, "boxes"), "CPU")
    by_openvino = [np.array(one) for one in compiled([images, *given]).values()]

    for found in (by_onnx, by_openvino):
        table = detections_of(found, *SIZE)
        for image, (boxes, scores, labels) in enumerate(zip(*given, strict=True)):
            sure = scores > LEAST_SCORE
            kept = nms(boxes[sure], scores[sure], 0.6, labels[sure])[:100]
            there = table[image][: len(kept)]
            assert len(kept) < sure.sum() and (table[image][len(kept) :, FOUND_CLASS] == -1).all()
            assert np.array_equal(there[:, FOUND_CLASS], labels[kept]) and np.allclose(there[:, SCORE], scores[kept])
            assert np.allclose(there[:, FOUND_BOX], boxes[kept], atol=1e-6)
            assert (found[0][image][len(kept) :] == 0).all()
