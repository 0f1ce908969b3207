"""Suppression in exported graphs: ONNX's and OpenVINO's operators give what `detections` gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from application_models import NAMES as NAMES_OF_CLASSES
from application_models import box_model, photograph
from onnx import TensorProto, helper
from PIL import Image

from striate import RequestError, export
from striate.interop.box_layers import NAMES
from striate.interop.box_onnx import append_onnx
from striate.interop.box_openvino import openvino_boxes
from striate.model import write
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


def test_a_graph_that_could_not_be_compared_on_any_object_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "labels").mkdir()
    (tmp_path / "data" / "classes.txt").write_text("\n".join(NAMES_OF_CLASSES))
    for number in range(100):  # as many as are compared: fewer would be run at other sizes, too
        Image.fromarray(photograph(number, (64, 64))).save(tmp_path / "data" / "images" / f"{number}.png")
        (tmp_path / "data" / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.4 0.4")
    model = box_model()
    unsure = {"head.classes.bias": np.full_like(model.tensors["head.classes.bias"], -20)}
    write(tmp_path / "m.safetensors", replace(model, tensors={**model.tensors, **unsure}))
    with pytest.raises(RequestError, match=r"no object of a score above 0\.42 is found"):
        export(tmp_path / "m.safetensors", to="openvino", images=tmp_path / "data", out=tmp_path / "m.xml")
    assert not (tmp_path / "m.xml").exists()
