"""Quantize: a model's backbone in int8, calibrated on training images, kept only if it predicts as float32 does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.looking import look
from striate.data.opening import Data
from striate.data.sources.base import Item, Source
from striate.errors import RequestError, WorkError
from striate.inference.engine import in_batches
from striate.inference.evaluation import in_the_models_order, shared_names
from striate.inference.int8 import CALIBRATION, int8_folder, quantized
from striate.inference.int8_check import ENOUGH, Int8Check, compared
from striate.inference.openvino_engine import OpenVinoEngine, convert, save_graph
from striate.inference.predictor import Predictor
from striate.inference.runtimes import import_nncf, import_onnxruntime
from striate.jobs.model_data import images_of, split_beside
from striate.model import Model
from striate.pixels import Images
from striate.progress import Progress
from striate.tasks.values import Targets
from striate.weights.models import open_model

PURPOSE = "int8 is first calibrated on images"
MOST = 1000  # images that are compared
TRAINED = ("", "train")  # parts


def quantize(model: str | os.PathLike[str], data: Data | None = None, *, progress: Progress | None = None) -> Int8Check:
    """Quantise a model's backbone to int8 on this machine; `precision="int8"` then uses it.

    data: labelled images, by default those the model was trained on, with the split of its run. Up to 300 training
    images calibrate; at least 500 others, held-out ones first, or all there are, are predicted in float32 and int8.
    The graph is kept in the cache. Raises WorkError, and keeps nothing, if int8 loses more than one point or predicts
    otherwise on more than 2 % of the images that float32 is sure of; RequestError without NNCF or labelled images.
    """
    progress, opened = progress or Progress(), open_model(model)
    source = images_of(opened, data, purpose=PURPOSE, option="--calibrate", split=split_beside(model))
    backbone = int8_backbone(opened, "openvino", source, progress)
    folder = int8_folder(opened)
    shutil.rmtree(folder, ignore_errors=True)
    save_graph(backbone.graph, folder)
    progress.say(backbone.check.line())
    return backbone.check


class Int8Backbone(NamedTuple):
    """graph: of OpenVINO or ONNX, from crops to embeddings. run: it, on uint8 crops [N, H, W, C] -> [N, D]."""

    graph: Any
    run: Callable[[Images], NDArray[np.float32]]
    check: Int8Check


def int8_backbone(model: Model, form: str, source: Source, progress: Progress) -> Int8Backbone:
    """The backbone in int8 as "openvino" or "onnx", calibrated and compared with float32 on labelled images.

    Raises WorkError, with the figures, if int8 is refused; RequestError without NNCF or labelled images.
    """
    model.task.require_vectors("int8 is for no masks and no boxes")
    import_nncf()  # an error before anything is decoded
    sample = sampled(model, source, progress)
    progress.say(f"Quantising {model.net} to int8, calibrated on {len(sample.calibration)} images")
    graph, run = (_openvino if form == "openvino" else _onnx)(model, sample.calibration)
    check = checked(model, sample, run)
    if not check.passed:
        raise WorkError(check.refusal())
    return Int8Backbone(graph, run, check)


def _openvino(model: Model, crops: list[Images]) -> tuple[Any, Callable[[Images], NDArray[np.float32]]]:
    from striate.inference.backbones import backbone_of

    graph = quantized(convert(backbone_of(model), model.pixels), crops)
    return graph, OpenVinoEngine(model, "int8", many=True, graph=graph).run


def _onnx(model: Model, crops: list[Images]) -> tuple[Any, Callable[[Images], NDArray[np.float32]]]:
    onnxruntime = import_onnxruntime()  # before the exporter, which may import it, too
    from striate.interop.onnx_graph import onnx_backbone

    graph = quantized(onnx_backbone(model), [crop.astype(np.float32) for crop in crops])
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return graph, lambda images: np.asarray(session.run(None, {"pixels": images.astype(np.float32)})[0])


@dataclass(frozen=True)
class Sample:
    """calibration: crops, each [1, H, W, C]. compared, targets: of the images to compare; held_out: not trained on."""

    calibration: list[Images]
    compared: list[Images]
    targets: Targets
    held_out: int


def checked(model: Model, sample: Sample, run: Callable[[Images], NDArray[np.float32]]) -> Int8Check:
    """The comparison of float32 with `run`, crops -> embeddings in int8."""
    floating = Predictor(model, engine="openvino", precision="float32", many=True)

    def predictions(embed: Callable[[Images], NDArray[np.float32]]) -> NDArray[np.float32]:
        rows = [row for _, row in in_batches(embed, enumerate(sample.compared))]
        return floating.finite_predictions(np.stack(rows))

    reference, other = predictions(floating.embed), predictions(run)
    return compared(model.task, sample.targets, reference, other, held_out=sample.held_out)


def sampled(model: Model, source: Source, progress: Progress) -> Sample:
    """The images to calibrate with and to compare on. Raises RequestError if there are too few."""
    task, index = model.task, shared_names(model.task, source)
    to_calibrate, to_compare = _chosen(source)
    calibrating = {item.key for item in to_calibrate}
    calibration: list[Images] = []
    compared_on: list[tuple[Item, Images]] = []
    with progress.bar("Decoding images", len(to_calibrate) + len(to_compare)) as bar:
        for looked in look(source, model.pixels, items=[*to_calibrate, *to_compare]):
            bar.advance()
            if looked.crop is None:
                continue  # unreadable
            if looked.item.key in calibrating:
                calibration.append(looked.crop[None])
            else:
                compared_on.append((looked.item, looked.crop))
    if not calibration or not compared_on:
        raise RequestError(
            f"int8 needs labelled images to calibrate with, and others to compare on; {source.name!r} has too few"
        )
    targets = task.collate(in_the_models_order(item, source.task, index, task) for item, _ in compared_on)
    held_out = sum(item.part not in TRAINED for item, _ in compared_on)
    return Sample(calibration, [crop for _, crop in compared_on], targets, held_out)


def _chosen(source: Source) -> tuple[list[Item], list[Item]]:
    """Images to calibrate with, of training, and to compare on: held-out ones, and up to 500 with others of training.

    Without held-out images, or without any for training, half of them calibrate at most.
    """
    trained = [item for item in source.items if item.part in TRAINED]
    held_out = [item for item in source.items if item.part not in TRAINED]
    most = len(trained) if trained and held_out else -(-len(source.items) // 2)
    calibration = _spread(trained or held_out, min(CALIBRATION, most))
    chosen = {item.key for item in calibration}
    compared_on = _spread([item for item in held_out if item.key not in chosen], MOST)
    others = [item for item in trained if item.key not in chosen]
    return calibration, compared_on + _spread(others, max(0, ENOUGH - len(compared_on)))


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the items, at equal distances."""
    if len(items) <= count:
        return list(items)
    return [items[place * len(items) // count] for place in range(count)]
