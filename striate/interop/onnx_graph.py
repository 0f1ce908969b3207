"""Export to ONNX: PyTorch's exporter writes the network, this module the preprocessing before it.

ONNX's `Resize` with antialias is equivalent to Pillow's; sizes and crops repeat `Pixels.apply` in integers.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper, numpy_helper

from striate.inference.backbones import backbone_of
from striate.interop.box_layers import BoxLayers
from striate.interop.box_onnx import append_onnx
from striate.interop.onnx_nodes import Nodes
from striate.interop.output_layers import OutputLayers, Top, distance_factors, output_names, properties
from striate.model import Ensemble, Model
from striate.pixels import LUMA, Pixels

OPSET = 18  # the first with an antialiased Resize


def onnx_graph(model: Model, backbone: onnx.ModelProto | None = None) -> onnx.ModelProto:
    """The whole model as ONNX: "images" uint8 [N, height, width, 3] -> `output_layers.output_names`.

    backbone: a graph in its place, as `onnx_backbone` returns it.
    """
    network = _network(model) if backbone is None else _topped(backbone, model)
    front = _Front(model.pixels).model(network)
    whole = compose.merge_models(front, network, io_map=[("prepared", "pixels")])
    if model.task.boxes:
        append_onnx(whole.graph, model)
    whole.producer_name = "striate"
    helper.set_model_props(whole, properties(model))
    onnx.checker.check_model(whole)
    return whole


def onnx_ensemble(ensemble: Ensemble) -> onnx.ModelProto:
    """An ensemble as one graph: its members' graphs, preprocessing included, on the same "images", and their mean."""
    members = [
        compose.add_prefix(onnx_graph(member), f"member{place}_", rename_inputs=False)
        for place, member in enumerate(ensemble.members)
    ]
    # A member's names are its own, but for its input.
    nodes = [node for member in members for node in member.graph.node]
    constants = [constant for member in members for constant in member.graph.initializer]
    factors = {ensemble.task.output_name: list(ensemble.weights), "distances": distance_factors(ensemble)}
    outputs = []
    for name in output_names(ensemble):
        added, held = _mean(name, factors[name], None if name == "distances" else ensemble.orders)
        nodes, constants = nodes + added, constants + held
        shape = ["N"] if name == "distances" else ["N", ensemble.task.outputs]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "height", "width", 3])
    graph = helper.make_graph(nodes, "ensemble", [images], outputs, constants)
    first = members[0]
    functions = {(one.domain, one.name): one for member in members for one in member.functions}
    whole = helper.make_model(
        graph, opset_imports=first.opset_import, ir_version=first.ir_version, functions=list(functions.values())
    )
    whole.producer_name = "striate"
    helper.set_model_props(whole, properties(ensemble))
    onnx.checker.check_model(whole)
    return whole


def _mean(
    name: str, factors: list[float], orders: tuple[tuple[int, ...], ...] | None
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and constants of the sum of the members' outputs of that name, each times its factor, reordered first."""
    nodes, constants, terms = [], [], []
    for place, factor in enumerate(factors):
        value = f"member{place}_{name}"
        if orders is not None:
            constants.append(numpy_helper.from_array(np.array(orders[place], np.int64), f"{value}_order"))
            nodes.append(helper.make_node("Gather", [value, f"{value}_order"], [f"{value}_ordered"], axis=1))
            value = f"{value}_ordered"
        constants.append(numpy_helper.from_array(np.array(factor, np.float32), f"{value}_factor"))
        nodes.append(helper.make_node("Mul", [value, f"{value}_factor"], [f"{value}_term"]))
        terms.append(f"{value}_term")
    nodes.append(helper.make_node("Sum", terms, [name]))
    return nodes, constants


def onnx_backbone(model: Model) -> onnx.ModelProto:
    """The backbone: "pixels" float32 [N, H, W, C], integers 0..255 -> "embedding"."""
    return _exported(backbone_of(model), _crops(model), ["pixels"], ["embedding"])


def _network(model: Model) -> onnx.ModelProto:
    layers = BoxLayers(model) if model.task.boxes else OutputLayers(model)
    return _exported(layers.eval(), _crops(model), ["pixels"], output_names(model))


def _topped(backbone: onnx.ModelProto, model: Model) -> onnx.ModelProto:
    """A backbone's graph with what comes above it."""
    width = backbone.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    top = _exported(Top(model).eval(), torch.zeros(2, width), ["given"], output_names(model))
    top = compose.add_prefix(top, "top_", rename_inputs=False, rename_outputs=False)
    top.ir_version = backbone.ir_version
    return compose.merge_models(backbone, top, io_map=[("embedding", "given")])


def _crops(model: Model) -> torch.Tensor:
    return torch.zeros(2, model.pixels.height, model.pixels.width, model.pixels.channels)


def _exported(module: torch.nn.Module, example: torch.Tensor, inputs: list[str], outputs: list[str]) -> onnx.ModelProto:
    """A module as ONNX, with a dynamic batch."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # its progress messages
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecations inside the exporter, not caused by the user
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=({0: torch.export.Dim("N", min=1)},),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # None only from the old exporter
    network: onnx.ModelProto = program.model_proto
    return network


class _Front(Nodes):
    """Builds the preprocessing node by node."""

    def __init__(self, pixels: Pixels) -> None:
        super().__init__("front")
        self.pixels = pixels

    def model(self, network: onnx.ModelProto) -> onnx.ModelProto:
        """The graph "images" -> "prepared", in the network's version of ONNX."""
        pixels, channels = self.pixels, self.pixels.channels
        images = "images" if channels == 3 else self._grey("images")
        if pixels.rule == "crop":
            images = self._crop(images)
        values = self.add("Transpose", self.add("Cast", images, to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
        if pixels.rule == "centre":
            values = self._centre(values, images)
        else:
            values = self._resize(values, self.whole(pixels.height), self.whole(pixels.width))
        last = self.add("Transpose", values, perm=[0, 2, 3, 1])
        self.nodes.append(helper.make_node("Identity", [last], ["prepared"]))
        graph = helper.make_graph(
            self.nodes,
            "preprocessing",
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", "height", "width", 3])],
            [
                helper.make_tensor_value_info(
                    "prepared", TensorProto.FLOAT, ["N", pixels.height, pixels.width, channels]
                )
            ],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=network.opset_import, ir_version=network.ir_version)

    def _grey(self, images: str) -> str:
        weights = self.constant(np.array(LUMA, np.int32))
        weighted = self.add("Mul", self.add("Cast", images, to=TensorProto.INT32), weights)
        total = self.add("ReduceSum", weighted, self.whole(3), keepdims=1)
        half = self.constant(np.array(32768, np.int32))
        return self.add("Div", self.add("Add", total, half), self.constant(np.array(65536, np.int32)))

    def _sides(self, images: str) -> tuple[str, str]:
        """Height and width of [N, H, W, C], each int64 [1]."""
        return self.add("Shape", images, start=1, end=2), self.add("Shape", images, start=2, end=3)

    def _crop(self, images: str) -> str:
        height, width = self._sides(images)
        side = self.add("Mul", self.add("Min", height, width), self.whole(2 * round(self.pixels.fraction * 1000)))
        side = self.add("Div", self.add("Add", side, self.whole(1000)), self.whole(2000))
        side = self.add("Max", side, self.whole(1))
        starts = [self.add("Div", self.add("Sub", length, side), self.whole(2)) for length in (height, width)]
        ends = [self.add("Add", start, side) for start in starts]
        return self.add(
            "Slice", images, self.add("Concat", *starts, axis=0), self.add("Concat", *ends, axis=0), self.whole(1, 2)
        )

    def _resize(self, values: str, height: str, width: str) -> str:
        """Pillow's resize: horizontal, then vertical, with values rounded and clipped after each."""
        mode = {"bilinear": "linear", "bicubic": "cubic"}[self.pixels.filter]
        # Pillow's cubic, which drops weights outside the image and rescales the others.
        cubic: dict[str, Any] = {"cubic_coeff_a": -0.5, "exclude_outside": 1} if mode == "cubic" else {}
        # All four axes are given: with `axes`, ONNX Runtime mixes up sizes where it moves a Transpose past a Resize.
        batch_and_channels = self.add("Shape", values, start=0, end=2)
        for down in (self.add("Shape", values, start=2, end=3), height):
            sizes = self.add("Concat", batch_and_channels, down, width, axis=0)
            values = self.add("Resize", values, "", "", sizes, mode=mode, antialias=1, **cubic)
            halves = self.add("Floor", self.add("Add", values, self.constant(np.array(0.5, np.float32))))
            low, high = (self.constant(np.array(limit, np.float32)) for limit in (0, 255))
            values = self.add("Clip", halves, low, high)
        return values

    def _centre(self, values: str, images: str) -> str:
        """Shrink to fit, never enlarge, and centre: `fitted_size`, written so that an image that fits is unchanged."""
        height, width = self._sides(images)
        to_height, to_width = self.whole(self.pixels.height), self.whole(self.pixels.width)
        binds = self.add("GreaterOrEqual", self.add("Mul", width, to_height), self.add("Mul", height, to_width))
        under = self.add("Where", binds, to_width, to_height)
        over = self.add("Max", self.add("Where", binds, width, height), under)
        sizes, before, after = [], [], []
        for side, limit in ((height, to_height), (width, to_width)):
            twice = self.add("Mul", self.add("Mul", side, under), self.whole(2))
            shrunk = self.add("Div", self.add("Add", twice, over), self.add("Mul", over, self.whole(2)))
            sizes.append(self.add("Min", self.add("Max", shrunk, self.whole(1)), limit))
            rest = self.add("Sub", limit, sizes[-1])
            before.append(self.add("Div", rest, self.whole(2)))
            after.append(self.add("Sub", rest, before[-1]))
        resized = self._resize(values, *sizes)
        fill = self.constant(np.array(self.pixels.fill, np.float32))
        none = self.whole(0, 0)
        return self.add("Pad", resized, self.add("Concat", none, *before, none, *after, axis=0), fill, mode="constant")
