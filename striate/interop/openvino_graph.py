"""Export to OpenVINO: its converter writes the network, this module the preprocessing before it.

OpenVINO has resize modes equivalent to Pillow's; sizes and crops repeat `Pixels.apply` in integers.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch

from striate.inference.openvino_engine import convert, converted
from striate.inference.runtimes import import_openvino
from striate.interop.box_layers import BoxLayers
from striate.interop.box_openvino import openvino_boxes
from striate.interop.output_layers import OutputLayers, Top, distance_factors, output_names, properties
from striate.model import AnyModel, Ensemble, Model
from striate.pixels import LUMA, Pixels


def openvino_graph(model: Model, backbone: Any = None) -> Any:
    """The whole model as an OpenVINO graph: "images" uint8 [N, height, width, 3] -> `output_layers.output_names`.

    backbone: a graph in its place, from uint8 crops to embeddings.
    """
    openvino = import_openvino()
    layers = BoxLayers(model) if model.task.boxes else OutputLayers(model)
    graph = convert(layers.eval(), model.pixels) if backbone is None else _topped(backbone, model)
    ops = importlib.import_module("openvino.opset15")
    images = ops.parameter([-1, -1, -1, 3], np.uint8, name="images")
    images.output(0).set_names({"images"})
    prepared = _Front(ops, model.pixels).prepared(images)
    inside = graph.get_parameters()[0]
    for target in list(inside.output(0).get_target_inputs()):
        target.replace_source_output(prepared.output(0))
    results = graph.get_results()
    if model.task.boxes:
        results = openvino_boxes(model, [result.input_value(0) for result in results], images)
    whole = openvino.Model(results, [images], "striate")
    for output, name in zip(whole.outputs, output_names(model), strict=True):
        output.set_names({name})
    for name, value in properties(model).items():
        whole.set_rt_info(value, ["striate", name])
    return whole


def openvino_ensemble(ensemble: Ensemble) -> Any:
    """An ensemble as one graph: its members' graphs, preprocessing included, on the same "images", and their mean."""
    openvino, ops = import_openvino(), importlib.import_module("openvino.opset15")
    images = ops.parameter([-1, -1, -1, 3], np.uint8, name="images")
    images.output(0).set_names({"images"})
    members = [openvino_graph(member) for member in ensemble.members]
    for member in members:
        for target in list(member.get_parameters()[0].output(0).get_target_inputs()):
            target.replace_source_output(images.output(0))
    names = output_names(ensemble)
    factors = {ensemble.task.output_name: ensemble.weights, "distances": distance_factors(ensemble)}
    results = []
    for place, name in enumerate(names):
        terms = []
        for member, order, factor in zip(members, ensemble.orders, factors[name], strict=True):
            value = member.get_results()[place].input_value(0)
            if name != "distances":
                value = ops.gather(value, np.array(order, np.int64), np.array(1, np.int64))
            terms.append(ops.multiply(value, np.array(factor, np.float32)))
        results.append(ops.result(functools.reduce(ops.add, terms)))
    whole = openvino.Model(results, [images], "striate")
    for output, name in zip(whole.outputs, names, strict=True):
        output.set_names({name})
    for key, text in properties(ensemble).items():
        whole.set_rt_info(text, ["striate", key])
    return whole


def _topped(backbone: Any, model: Model) -> Any:
    """A backbone's graph with what comes above it."""
    width = backbone.output(0).get_partial_shape()[1].get_length()
    top = converted(Top(model).eval(), torch.zeros(2, width))
    (embedding,) = (result.input_value(0) for result in backbone.get_results())
    for target in list(top.get_parameters()[0].output(0).get_target_inputs()):
        target.replace_source_output(embedding)
    return import_openvino().Model(top.get_results(), backbone.get_parameters(), "striate")


def write_openvino(model: AnyModel, path: Path, backbone: Any = None) -> None:
    """Write `openvino_graph` as an .xml file, with its weights as a .bin file beside it, to be computed in float32.

    By default OpenVINO would compute in bfloat16 where the processor has it, and some predictions would change. It
    reads no such choice for a whole file; it does for each operation, by the attribute "precise".
    """
    openvino = import_openvino()
    graph = openvino_ensemble(model) if isinstance(model, Ensemble) else openvino_graph(model, backbone)
    optimise = importlib.import_module("openvino._offline_transformations").apply_moc_transformations
    # What compiling would replace is replaced first: a new operation would lack the attribute of the old one.
    for _ in range(2):  # the first optimisation makes further constants
        _replace(graph)
        optimise(graph, True)
    openvino.save_model(graph, str(path), compress_to_fp16=False)
    tree = ElementTree.parse(path)
    for layer in tree.iterfind("layers/layer"):
        if layer.get("type") not in ("Parameter", "Result"):
            info = ElementTree.Element("rt_info")
            ElementTree.SubElement(info, "attribute", name="precise", version="0")
            layer.insert(0 if layer.find("data") is None else 1, info)
    tree.write(path, "utf-8", xml_declaration=True)


def _replace(graph: Any) -> None:
    """Replace operations by others with the same result that the processor's plugin leaves as they are."""
    for op in graph.get_ordered_ops():
        replaced = _REPLACEMENTS.get(op.get_type_name())
        new = replaced(op) if replaced else None
        if new is not None and new.get_output_partial_shape(0) == op.get_output_partial_shape(0):
            for target in list(op.output(0).get_target_inputs()):
                target.replace_source_output(new.output(0))


def _constant(op: Any) -> Any:
    """The second input of an operation as a float32 array; None if it is not constant."""
    node = op.input_value(1).get_node()
    return np.array(node.data) if node.get_type_name() == "Constant" and node.data.dtype == np.float32 else None


def _multiplied(op: Any) -> Any:
    """A division by a constant as a multiplication."""
    constant = _constant(op)
    ops = importlib.import_module("openvino.opset1")
    return None if constant is None else ops.multiply(op.input_value(0), (1 / constant).astype(np.float32))


def _added(op: Any) -> Any:
    """A subtraction of a constant, or of a mean, as an addition."""
    constant, ops, mean = _constant(op), importlib.import_module("openvino.opset1"), op.input_value(1).get_node()
    if constant is not None:
        return ops.add(op.input_value(0), -constant)
    if mean.get_type_name() != "ReduceMean" or mean.get_element_type().get_type_name() != "f32":
        return None
    # A mean of negatives, because the optimisation turns the addition of a negative back into a subtraction.
    negatives = ops.multiply(mean.input_value(0), np.array(-1, np.float32))
    kept = mean.get_attributes()["keep_dims"]
    return ops.add(op.input_value(0), ops.reduce_mean(negatives, mean.input_value(1), kept))


def _convolved(op: Any) -> Any:
    """A multiplication of rows by a constant matrix as a 1x1 convolution."""
    constant, ops, given = _constant(op), importlib.import_module("openvino.opset1"), op.input_value(0)
    if constant is None or constant.ndim != 2 or given.get_partial_shape().rank.get_length() != 2:
        return None
    weight = constant if op.get_attributes()["transpose_b"] else np.ascontiguousarray(constant.T)
    one, none = np.array([1, 1], np.int64), np.array([0, 0], np.int64)
    images = ops.reshape(given, np.array([0, weight.shape[1], 1, 1], np.int64), special_zero=True)
    values = ops.convolution(images, weight[:, :, None, None], one, none, none, one)
    return ops.reshape(values, np.array([0, len(weight)], np.int64), special_zero=True)


def _pooled(op: Any) -> Any:
    """A pooling in the form of the first set of operations, if it has no dilation and nothing uses its indices."""
    ops, found = importlib.import_module("openvino.opset1"), op.get_attributes()
    used = [output for output in op.outputs() if output.get_target_inputs()]
    if len(used) != 1 or used[0].get_index() or any(step != 1 for step in found.get("dilations", [])):
        return None
    rounding = "floor" if found["rounding_type"] == "floor" else "ceil"
    shape = [found["strides"], found["pads_begin"], found["pads_end"], found["kernel"]]
    if op.get_type_name() == "MaxPool":
        return ops.max_pool(op.input_value(0), *shape, rounding, found["auto_pad"])
    return ops.avg_pool(op.input_value(0), *shape, found["exclude-pad"], rounding, found["auto_pad"])


_REPLACEMENTS: dict[str, Callable[[Any], Any]] = {
    "Divide": _multiplied, "Subtract": _added, "MatMul": _convolved, "MaxPool": _pooled, "AvgPool": _pooled,
}  # fmt: skip


class _Front:
    """Builds the preprocessing."""

    def __init__(self, ops: Any, pixels: Pixels) -> None:
        self.ops = ops
        self.pixels = pixels

    def prepared(self, images: Any) -> Any:
        """uint8 [N, H, W, 3] -> uint8 [N, height, width, channels], as `Pixels.apply` returns it."""
        ops, pixels = self.ops, self.pixels
        if pixels.channels == 1:
            images = self._grey(images)
        height, width = self._sides(images)
        if pixels.rule == "crop":
            images = self._crop(images, height, width)
        values = ops.transpose(ops.convert(images, "f32"), np.array([0, 3, 1, 2]))
        if pixels.rule == "centre":
            values = self._centre(values, height, width)
        else:
            values = self._resize(values, self._whole(pixels.height), self._whole(pixels.width))
        whole = ops.convert(ops.transpose(values, np.array([0, 2, 3, 1])), "u8")
        target = np.array([0, pixels.height, pixels.width, pixels.channels], np.int64)
        return ops.reshape(whole, target, special_zero=True)  # fixes the shape that the network was converted for

    def _whole(self, value: int) -> Any:
        return self.ops.constant(np.array([value], np.int64))

    def _grey(self, images: Any) -> Any:
        """Pillow's integer luma, in float32: the largest sum, 255 * 65536 + 32768, is still exact there."""
        ops = self.ops
        weighted = ops.multiply(ops.convert(images, "f32"), np.array(LUMA, np.float32))
        total = ops.reduce_sum(weighted, np.array([3]), keep_dims=True)
        shifted = ops.multiply(ops.add(total, np.array(32768, np.float32)), np.array(1 / 65536, np.float32))
        return ops.floor(shifted)

    def _sides(self, images: Any) -> tuple[Any, Any]:
        """Height and width of [N, H, W, C], each [1]."""
        shape, axis = self.ops.shape_of(images, "i64"), np.array(0, np.int64)
        return tuple(self.ops.gather(shape, np.array([place], np.int64), axis) for place in (1, 2))

    def _crop(self, images: Any, height: Any, width: Any) -> Any:
        ops, whole = self.ops, self._whole
        side = ops.multiply(ops.minimum(height, width), whole(2 * round(self.pixels.fraction * 1000)))
        side = ops.maximum(ops.divide(ops.add(side, whole(1000)), whole(2000)), whole(1))
        starts = [ops.divide(ops.subtract(length, side), whole(2)) for length in (height, width)]
        ends = [ops.add(start, side) for start in starts]
        return ops.slice(
            images, ops.concat(starts, 0), ops.concat(ends, 0), np.array([1, 1], np.int64), np.array([1, 2], np.int64)
        )

    def _resize(self, values: Any, height: Any, width: Any) -> Any:
        """Pillow's resize: horizontal, then vertical, with values rounded and clipped after each."""
        ops, mode = self.ops, f"{self.pixels.filter}_pillow"
        for axis, size in ((3, width), (2, height)):
            values = ops.interpolate(values, size, mode, "sizes", axes=np.array([axis], np.int64), cube_coeff=-0.5)
            values = ops.clamp(ops.floor(ops.add(values, np.array(0.5, np.float32))), 0.0, 255.0)
        return values

    def _centre(self, values: Any, height: Any, width: Any) -> Any:
        """Shrink to fit, never enlarge, and centre: `fitted_size`, written so that an image that fits is unchanged."""
        ops, whole = self.ops, self._whole
        to_height, to_width = whole(self.pixels.height), whole(self.pixels.width)
        binds = ops.greater_equal(ops.multiply(width, to_height), ops.multiply(height, to_width))
        under = ops.select(binds, to_width, to_height)
        over = ops.maximum(ops.select(binds, width, height), under)
        sizes, before, after = [], [whole(0), whole(0)], [whole(0), whole(0)]
        for side, limit in ((height, to_height), (width, to_width)):
            twice = ops.multiply(ops.multiply(side, under), whole(2))
            shrunk = ops.divide(ops.add(twice, over), ops.multiply(over, whole(2)))
            sizes.append(ops.minimum(ops.maximum(shrunk, whole(1)), limit))
            rest = ops.subtract(limit, sizes[-1])
            before.append(ops.divide(rest, whole(2)))
            after.append(ops.subtract(rest, before[-1]))
        resized = self._resize(values, *sizes)
        fill = np.array(self.pixels.fill, np.float32)
        return ops.pad(resized, ops.concat(before, 0), ops.concat(after, 0), "constant", fill)
