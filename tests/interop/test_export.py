"""Exported graphs reproduce Pillow and the network, and are refused if they do not."""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from PIL import Image
from torch import nn

from striate.errors import RequestError, WorkError
from striate.inference.runtimes import import_openvino
from striate.interop import onnx_graph, openvino_graph
from striate.jobs import export as job
from striate.jobs.load import load
from striate.jobs.run import Run
from striate.jobs.train import train
from striate.model import write
from striate.pixels import Pixels

SIZES = [(50, 37), (37, 50), (24, 24), (61, 20), (8, 9), (33, 32), (1, 1), (64, 5)]
RULES = [
    Pixels(24, 24, fraction=0.875, filter="bilinear"),
    Pixels(24, 24, fraction=0.875, filter="bicubic"),
    Pixels(20, 30, rule="squash", filter="bicubic"),
    Pixels(32, 40, rule="centre", fill=7),
    Pixels(32, 32, 1, rule="centre", mean=(0.0,), std=(1.0,)),
]


def picture(width: int, height: int) -> Image.Image:
    """A photograph-like picture: smooth, with edges and a little noise."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(width * height).integers(0, 20, (height, width, 3))
    base = np.stack([120 + 80 * np.sin(x / 9), 100 + 90 * (y > height / 2), 90 + 60 * np.cos((x + y) / 7)], axis=-1)
    return Image.fromarray((base + noise).clip(0, 255).astype(np.uint8))


def onnx_front(pixels: Pixels) -> Any:
    empty = helper.make_model(
        helper.make_graph([], "empty", [], []), opset_imports=[helper.make_opsetid("", onnx_graph.OPSET)], ir_version=10
    )
    content = onnx_graph._Front(pixels).model(empty).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def openvino_front(pixels: Pixels) -> Any:
    openvino, ops = import_openvino(), importlib.import_module("openvino.opset15")
    images = ops.parameter([-1, -1, -1, 3], np.uint8, name="images")
    graph = openvino.Model([openvino_graph._Front(ops, pixels).prepared(images)], [images], "front")
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda given: compiled([given])[0]


@pytest.mark.parametrize("pixels", RULES, ids=lambda pixels: f"{pixels.rule}-{pixels.filter}-{pixels.channels}")
@pytest.mark.parametrize("front", [onnx_front, openvino_front])
def test_preprocessing_in_the_graph_matches_pillow(pixels: Pixels, front: Any) -> None:
    answer = front(pixels)
    for width, height in SIZES:
        image = picture(width, height)
        found = answer(np.asarray(image)[None])[0].astype(np.int64)
        expected = pixels.apply(image).astype(np.int64)
        assert found.shape == expected.shape
        # Within 1 nearly everywhere; up to 4 if width grows and height shrinks: Pillow then resizes vertically first.
        assert np.abs(found - expected).mean() <= 0.3, (width, height)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A grey net of a few steps, with images of several sizes: the hardest preprocessing."""
    folder = tmp_path_factory.mktemp("digits")
    generator = np.random.default_rng(1)
    images = np.where(np.arange(60)[:, None, None] % 2, 200, 30) + generator.integers(0, 50, (60, 28, 28))
    np.savez(folder / "data.npz", images=images.astype(np.uint8), labels=np.arange(60) % 2)
    return train(folder / "data.npz", out=folder / "run", net="lenet5_lecture", epochs=2)


@pytest.mark.parametrize(("to", "suffix"), [("onnx", ".onnx"), ("openvino", ".xml")])
def test_exported_file_predicts_like_predict(digits: Run, tmp_path: Path, to: str, suffix: str) -> None:
    done = job.export(digits.folder, to=to, out=tmp_path / f"model{suffix}")
    assert done.images >= 100 and done.agreement >= 0.995 and done.difference <= 0.02
    batch = np.stack([np.asarray(picture(40, 30)), np.asarray(picture(40, 30).rotate(180))])
    if to == "onnx":
        onnx.checker.check_model(str(done.path))
        session = onnxruntime.InferenceSession(str(done.path), providers=["CPUExecutionProvider"])
        found = session.run(["probabilities"], {"images": batch})[0]
    else:
        compiled = import_openvino().Core().compile_model(str(done.path), "CPU")
        found = compiled([batch])["probabilities"]
    expected = [prediction.probabilities for prediction in load(digits.folder).predict(list(batch))]
    assert np.abs(found - np.stack(expected)).max() <= 0.02
    assert np.allclose(found.sum(axis=1), 1, atol=1e-4)


def precisions(compiled: Any) -> set[str]:
    """Of all operations but padding: it moves pixels, whole numbers up to 255, which bfloat16 holds exactly."""
    facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    moving = ("Pad", "Reorder", "Reshape")
    return {str(one["runtimePrecision"].value) for one in facts if str(one["layerType"].value) not in moving}


def test_openvino_computes_an_export_in_float32_without_being_told(digits: Run, tmp_path: Path) -> None:
    # By default it takes bfloat16 where the processor has it.
    done = job.export(digits.folder, to="openvino", out=tmp_path / "model.xml")
    compiled = import_openvino().Core().compile_model(str(done.path), "CPU")
    assert "f32" in precisions(compiled) and not precisions(compiled) & {"bf16", "f16"}


@pytest.mark.slow
def test_an_export_for_photographs_is_computed_in_float32(trained: Run, photos: Path, tmp_path: Path) -> None:
    # In bfloat16, probabilities here would differ by up to 0.04.
    done = job.export(trained.folder, to="openvino", out=tmp_path / "model.xml", images=photos)
    assert done.difference <= 0.005
    compiled = import_openvino().Core().compile_model(str(done.path), "CPU")
    assert "f32" in precisions(compiled) and not precisions(compiled) & {"bf16", "f16"}
    paths = sorted((photos / "val").rglob("*.jpg"))
    found = np.stack([compiled([np.asarray(Image.open(path).convert("RGB"))[None]])[0][0] for path in paths])
    expected = np.stack([one.probabilities for one in load(trained.folder).predict(paths)])
    assert np.abs(found - expected).max() <= 0.02


@pytest.mark.parametrize(
    "layer",
    [
        nn.MaxPool2d(3, 2), nn.MaxPool2d(2, 2, ceil_mode=True), nn.MaxPool2d(3, 1, dilation=2), nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), nn.Sequential(nn.Flatten(), nn.Linear(243, 5)),
        nn.Sequential(nn.Flatten(), nn.Linear(243, 5, bias=False), nn.ReLU(), nn.Linear(5, 3)),
    ],
    ids=["max", "max-ceil", "max-dilated", "average", "average-ceil", "linear", "two-linear"],
)  # fmt: skip
def test_replaced_operations_give_the_same_result(layer: nn.Module) -> None:
    openvino, x = import_openvino(), torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = layer((x - 0.5) / 3).numpy()
    graph = openvino.convert_model(torch.nn.Sequential(Shifted(), layer).eval(), example_input=x)
    openvino_graph._replace(graph)
    found = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x.numpy())[0]
    assert found.shape == expected.shape and np.allclose(found, expected, atol=1e-5)


class Shifted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - 0.5) / 3


def test_a_graph_that_disagrees_is_not_written(digits: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = job._write_openvino

    def wrong(model: Any, path: Path, backbone: Any) -> Any:
        answers = honest(model, path, backbone)
        return lambda images: [answer[:, ::-1] for answer in answers(images)]

    monkeypatch.setattr(job, "_write_openvino", wrong)
    with pytest.raises(WorkError, match="not written"):
        job.export(digits.folder, to="openvino", out=tmp_path / "model.xml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("share", "agreement"), [(0.509, 1.0), (0.53, 0.0)])
def test_a_tie_broken_differently_is_no_disagreement(digits: Run, share: float, agreement: float) -> None:
    ours, theirs = np.float32([[share, 1 - share]]), np.float32([[0.499, 0.501]])
    same, apart = job._agreement(digits.model.task, [[row] for row in ours], [[row] for row in theirs])
    assert same == agreement and apart == pytest.approx(share - 0.499, abs=1e-6)


def named(path: Path, to: str) -> Any:
    """The class names in an exported file, as its user reads them."""
    if to == "onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    return json.loads(import_openvino().Core().read_model(str(path)).get_rt_info(["striate", "classes"]).value)


@pytest.mark.parametrize(("to", "suffix"), [("onnx", ".onnx"), ("openvino", ".xml")])
@pytest.mark.parametrize(
    "names",
    [("ants\nred", "bees, wasps"), ('"a"\\n', "[<b>&'"), ("\x00\x1f\x7f\u2028", "\udcff"), ("Ämter", "蜂")],
    ids=["lines-and-commas", "quotes", "controls", "letters"],
)
def test_class_names_can_be_parted(digits: Run, tmp_path: Path, names: tuple[str, str], to: str, suffix: str) -> None:
    write(tmp_path / "m.safetensors", dataclasses.replace(digits.model, task=digits.model.task.with_names(names)))
    job.export(tmp_path / "m.safetensors", to=to, out=tmp_path / f"m{suffix}")
    assert named(tmp_path / f"m{suffix}", to) == list(names)


def test_the_handed_names_with_line_breaks_can_be_parted(test_data: Path, tmp_path: Path) -> None:
    table = test_data.parent / "cases" / "class_with_newline" / "labels.csv"
    if not table.is_file():
        pytest.skip(f"no file {table}")
    run = train(table, out=tmp_path / "run", strategy="features")
    assert run.model.classes == ("ants\nred", "bees\nred")
    assert named(job.export(run.folder, to="onnx").path, "onnx") == ["ants\nred", "bees\nred"]


def test_unsupported_exports_are_refused(digits: Run, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="onnx"):
        job.export(digits.folder, to="onxx")
    with pytest.raises(RequestError, match=r"\.onnx"):
        job.export(digits.folder, to="onnx", out=tmp_path / "model.pb")
    with pytest.raises(RequestError, match="nowhere"):
        job.export(digits.folder, to="onnx", out=tmp_path / "m.onnx", images=tmp_path / "nowhere")
