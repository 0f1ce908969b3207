"""int8: calibrated on training images, kept only where it predicts as float32 does, and refused with figures else."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cli
from PIL import Image

from striate.errors import RequestError, WorkError
from striate.inference.int8 import int8_folder
from striate.inference.int8_check import compared
from striate.inference.runtimes import import_onnxruntime, import_openvino
from striate.jobs.export import export
from striate.jobs.load import load
from striate.jobs.quantize import quantize
from striate.jobs.run import Run
from striate.jobs.train import train
from striate.model import write
from striate.tasks import Classification, Regression

if importlib.util.find_spec("nncf") is None:
    pytest.skip("NNCF is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small residual net that tells vertical from horizontal and diagonal bars."""
    folder = tmp_path_factory.mktemp("shapes")
    generator = np.random.default_rng(0)
    labels = np.arange(640) % 3
    y, x = np.mgrid[:16, :16]
    phases = generator.uniform(0, 6, 640)
    bars = np.stack([np.sin((x, y, x + y)[label] / 2 + phase) for label, phase in zip(labels, phases, strict=True)])
    images = (120 + 70 * bars[..., None] + generator.normal(0, 20, (640, 16, 16, 3))).clip(0, 255)
    np.savez(folder / "data.npz", images=images.astype(np.uint8), labels=labels)
    return train(folder / "data.npz", out=folder / "run", net="resnet8", epochs=3)


@pytest.fixture
def unquantized(shapes: Run) -> Run:
    """The run without an int8 graph in the cache."""
    shutil.rmtree(int8_folder(shapes.model), ignore_errors=True)
    return shapes


def kinds(graph: Any) -> set[str]:
    """The precisions that a compiled graph's convolutions compute in."""
    ops = [op for op in graph.get_runtime_model().get_ops() if "onvolution" in str(op.get_rt_info()["layerType"].value)]
    return {str(op.get_rt_info()["runtimePrecision"].value) for op in ops}


def test_int8_is_calibrated_compared_and_kept(unquantized: Run) -> None:
    check = quantize(unquantized.folder)
    assert check.passed and check.images == 340 and 0 < check.held_out < 340
    assert check.int8 >= check.float32 - 0.01 and check.agreement >= 0.98
    assert check.interval[0] <= check.int8 <= check.interval[1]
    graph = import_openvino().Core().read_model(str(int8_folder(unquantized.model) / "backbone.xml"))
    assert kinds(import_openvino().Core().compile_model(graph, "CPU")) <= {"u8", "i8"}
    images = np.load(unquantized.folder.parent / "data.npz")["images"][:20]
    ours, theirs = (load(unquantized.folder, precision=kind) for kind in ("float32", "int8"))
    near = np.stack([one.probabilities for one in theirs.predict(list(images))])
    exact = np.stack([one.probabilities for one in ours.predict(list(images))])
    assert 0 < np.abs(near - exact).max() < 0.2


def test_without_being_quantized_int8_says_what_to_do(unquantized: Run) -> None:
    with pytest.raises(RequestError, match=r"striate\.quantize"):
        load(unquantized.folder, precision="int8").predict([np.zeros((16, 16, 3), np.uint8)])
    with pytest.raises(RequestError, match="torch"):
        load(unquantized.folder, engine="torch", precision="int8")


def test_the_command_line_calibrates_once(unquantized: Run, tmp_path: Path, cli: Cli) -> None:
    Image.fromarray(np.full((16, 16, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    code, out, said = cli("predict", unquantized.folder, tmp_path / "grey.png", "--precision", "int8")
    assert code == 0 and "Quantising" in said and "in int8" in said and "grey.png" in out
    again, same, quiet = cli("predict", unquantized.folder, tmp_path / "grey.png", "--precision", "int8")
    assert again == 0 and same == out and "Quantising" not in quiet
    code, out, _ = cli(
        "evaluate", unquantized.folder, unquantized.folder.parent / "data.npz", "--precision", "int8", "--json"
    )
    assert code == 0 and json.loads(out)["precision"] == "int8"


def test_a_model_that_8_bits_ruin_is_refused_with_the_figures(unquantized: Run, tmp_path: Path) -> None:
    # One channel's activations are made a million times the others', and the layers after take that back: in floats
    # nothing changes, and eight bits for all channels together leave the others none.
    tensors = {name: np.array(value) for name, value in unquantized.model.tensors.items()}
    first, second = "stage1.0.conv1", "stage1.0.conv2"
    tensors[f"{first}.norm.weight"][0] *= 1e6
    tensors[f"{first}.norm.bias"][0] *= 1e6
    tensors[f"{second}.conv.weight"][:, 0] /= 1e6
    stretched = dataclasses.replace(unquantized.model, tensors=tensors)
    write(tmp_path / "stretched.safetensors", stretched)
    data = unquantized.folder.parent / "data.npz"
    with pytest.raises(WorkError, match=r"int8 is refused: accuracy .* in int8 .* in float32, on 340 images"):
        quantize(tmp_path / "stretched.safetensors", data)
    assert not int8_folder(stretched).exists()
    with pytest.raises(WorkError, match="refused"):
        export(tmp_path / "stretched.safetensors", to="onnx", images=data, precision="int8")
    assert not (tmp_path / "stretched.onnx").exists()


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_an_export_in_int8_predicts_as_it_was_checked(shapes: Run, tmp_path: Path, to: str) -> None:
    done = export(shapes.folder, to=to, out=tmp_path / f"model{'.onnx' if to == 'onnx' else '.xml'}", precision="int8")
    assert done.int8 is not None and done.int8.passed and done.agreement >= 0.98
    assert done.as_dict()["int8"]["images"] == 340
    images = np.load(shapes.folder.parent / "data.npz")["images"][:200]
    if to == "onnx":
        session = import_onnxruntime().InferenceSession(str(done.path), providers=["CPUExecutionProvider"])
        found = session.run(["probabilities"], {"images": images})[0]
        assert b"QuantizeLinear" in done.path.read_bytes()
    else:
        compiled = import_openvino().Core().compile_model(str(done.path), "CPU")
        found = compiled([images])["probabilities"]
        assert kinds(compiled) <= {"u8", "i8", "f32"} and kinds(compiled) != {"f32"}  # the head stays in floats
    expected = np.stack([one.probabilities for one in load(shapes.folder, precision="float32").predict(list(images))])
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.98


def test_a_damaged_int8_graph_is_made_again(shapes: Run, cli: Cli) -> None:
    quantize(shapes.folder)
    (int8_folder(shapes.model) / "backbone.xml").write_text("<net")
    image = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(RequestError, match="not quantised"):
        load(shapes.folder, precision="int8").predict([image])
    quantize(shapes.folder)
    assert load(shapes.folder, precision="int8").predict([image])


def test_without_nncf_the_extra_is_named(shapes: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "nncf" else found(name, *rest))
    with pytest.raises(RequestError, match=r"striate\[int8\]"):
        quantize(shapes.folder)


def test_int8_needs_labelled_images_of_the_models_classes(shapes: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", images=np.zeros((1, 16, 16, 3), np.uint8), labels=np.array([0]))
    with pytest.raises(RequestError, match="too few"):
        quantize(shapes.folder, tmp_path / "one.npz")
    with pytest.raises(RequestError, match="nowhere"):
        quantize(shapes.folder, tmp_path / "nowhere")


def test_the_limits_of_int8() -> None:
    task = Classification(("a", "b"))
    rows = np.float32([[0.9, 0.1]] * 100)
    targets = np.zeros(100, np.int64)
    lost = rows.copy()
    lost[:1] = [0.4, 0.6]
    assert compared(task, targets, rows, lost, held_out=100).passed  # one point, and 99 %
    lost[:2] = [0.4, 0.6]
    two = compared(task, targets, rows, lost, held_out=100)
    assert not two.passed and two.float32 - two.int8 == pytest.approx(0.02) and "1 point" in two.refusal()
    # Predictions that float32 is not sure of may change, if as many become right as wrong.
    unsure = np.float32([[0.34, 0.33, 0.33], [0.33, 0.34, 0.33]] * 50)
    three = Classification(("a", "b", "c"))
    swapped = compared(three, np.zeros(100, np.int64), unsure, unsure[::-1], held_out=0)
    assert swapped.passed and swapped.sure == 0
    quantity = Regression(("age",))
    ages = np.float32(np.linspace(20, 60, 100))[:, None]
    near, off = ages + 1, ages + 1.2
    targets = quantity.collate(ages[:, 0].tolist())
    assert compared(quantity, targets, near, near + 0.01, held_out=0).passed
    assert not compared(quantity, targets, near, off, held_out=0).passed
