"""What a writer of a format gives back, and what its user is told: the traps that were met on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from striate.interop.aten import graph_of
from striate.interop.graph import Graph
from striate.interop.graph_net import GraphNet
from striate.interop.output_layers import ACTIVATIONS, Predictions, ood_threshold
from striate.model import Model
from striate.pixels import Images, Pixels

Run = Callable[[Images], NDArray[np.float32]]  # crops [N, H, W, C] -> predictions [N, outputs]


@dataclass(frozen=True)
class Written:
    """run: the written file on images that `Pixels.apply` made. notes: what was changed on the way, a sentence each."""

    run: Run
    notes: tuple[str, ...]


def graph_of_model(model: Model, kind: str = "float32") -> Graph:
    """The graph from images [C, H, W], 0..255, cropped to the network's input, to the task's predictions."""
    pixels = model.pixels
    return graph_of(Predictions(model).eval(), (pixels.channels, pixels.height, pixels.width), kind=kind)


def notes_on(model: Model, layout: str) -> list[str]:
    """What every such file has in common. layout: of the images, such as "uint8 [N, 28, 28, 1]"."""
    inside = "contrast normalisation" if model.pixels.contrast else "mean and standard deviation"
    if model.task.activation != "identity":
        inside += f" and {model.task.activation}"
    colours = "grey" if model.pixels.channels == 1 else "RGB"
    found = [
        f"images are {layout}, {colours}, 0 to 255; {inside} are in the file",
        f"not in the file: {cropping(model.pixels)}",
    ]
    if ood_threshold(model) is not None:
        found.append("not in the file: the distances of the OOD detector (onnx and openvino have them)")
    return found


def cropping(pixels: Pixels) -> str:
    """How an image becomes one of the network's size, in words."""
    size, filtered = f"{pixels.width} x {pixels.height}", f"Pillow's {pixels.filter} filter"
    if pixels.rule == "crop":
        part = f", of {pixels.fraction:g} of the shorter side," if pixels.fraction != 1 else ""
        return f"the centre square{part} is cut out and resized to {size} by {filtered}"
    if pixels.rule == "squash":
        return f"the whole image is resized to {size} by {filtered}"
    return f"larger images are shrunk to fit {size} by {filtered}, then centred on {pixels.fill}"


def read_back(model: Model, graph: Graph) -> Run:
    """A file's rows, as its reader gives them, run by torch: for formats that nothing here can run.

    A reader leaves the activation at the end to the task, which it is taken from.
    """
    net = GraphNet(graph).eval()
    ended = graph[graph.outputs[0]].operator == model.task.activation

    def run(crops: Images) -> NDArray[np.float32]:
        with torch.inference_mode():
            found = net(torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))).float())
            assert isinstance(found, torch.Tensor)
            return (found if ended else ACTIVATIONS[model.task.activation](found)).numpy()

    return run
