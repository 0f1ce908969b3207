"""striate ensemble: several models as one file, its predictions recomputed by hand, and what it gains."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawings import blocks, csv_manifest, draw, strict_json
from PIL import Image

import striate
from striate.data.augment.crops import Several
from striate.inference.averaging import AveragePredictor
from striate.inference.ood import OODDetector
from striate.inference.predictor import Predictor
from striate.inference.runtimes import import_onnxruntime, import_openvino
from striate.model import Ensemble, Model, read, read_any, write
from striate.pixels import Pixels
from striate.tasks import Classification, Multilabel
from striate.tasks.metrics import Z95
from striate.tasks.paired import paired_gain

QUICK = {"strategy": "scratch", "train.epochs": 1, "train.batch": 8, "inference.engine": "torch"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """Drawings, and three runs on them with the same split: two networks of other input sizes, and another seed."""
    root = tmp_path_factory.mktemp("ensemble")
    data = blocks(root / "data", {"low": 24, "high": 24, "left": 24})
    split = None
    folders = []
    for name, net, seed in (("a", "lenet5_plain", 0), ("b", "lenet5_plain", 1), ("c", "resnet8", 0)):
        recipe = striate.Recipe().updated({**QUICK, "net.name": net, "seed": seed, "data.split": split})
        folders.append(striate.train(data, out=root / name, recipe=recipe).folder)
        split = str(folders[0] / "split.csv")
    return data, folders


def reversed_classes(model: Model) -> Model:
    """The same model with its classes in the other order."""
    tensors = {name: array[::-1].copy() if model.in_head(name) else array for name, array in model.tensors.items()}
    task = model.task.with_names(model.task.names[::-1])
    return dataclasses.replace(model, tensors=tensors, task=task)


def enlarged(folder: Path, file: Path) -> Path:
    """The run's model for images of another size, as a file."""
    model = read(folder / "model.safetensors")
    write(file, dataclasses.replace(model, pixels=dataclasses.replace(model.pixels, height=40, width=44)))
    return file


def with_detector(model: Model) -> Model:
    embeddings = np.random.default_rng(0).random((30, model.tensors["head.weight"].shape[1]), np.float32)
    return dataclasses.replace(model, extras=OODDetector.fit(embeddings).extras())


def images(data: Path, count: int = 9) -> list[Path]:
    return sorted(data.rglob("*.png"))[::7][:count]


def test_the_file_is_the_weighted_mean_of_its_members_whatever_their_size_and_order(
    runs: tuple[Path, list[Path]], tmp_path: Path, cli
) -> None:
    data, folders = runs
    turned = tmp_path / "turned.safetensors"
    write(turned, reversed_classes(read(folders[1] / "model.safetensors")))
    out = tmp_path / "all.safetensors"
    members = (folders[0], turned, enlarged(folders[2], tmp_path / "large.safetensors"))
    code, said, err = cli("ensemble", *members, "--out", out, "--weights", "1,2,1")
    assert code == 0, err
    assert "3 networks (2 x lenet5_plain + resnet8)" in said
    ensemble = striate.load(out, engine="torch")
    assert isinstance(ensemble, AveragePredictor) and ensemble.classes == ("high", "left", "low")
    alone = [striate.load(member, engine="torch") for member in members]
    assert len({one.view.shape for one in alone}) == 2
    expected = np.zeros((9, 3))
    for one, weight in zip(alone, (0.25, 0.5, 0.25), strict=True):
        order = [one.classes.index(name) for name in ensemble.classes]
        expected += weight * np.stack([answer.probabilities for answer in one.predict(images(data))])[:, order]
    found = np.stack([answer.probabilities for answer in ensemble.predict(images(data))])
    assert np.allclose(found, expected, atol=1e-6)
    code, said, err = cli("predict", out, *images(data), "--json")
    assert code == 0 and [row["label"] for row in strict_json(said)["predictions"]] == [
        ensemble.classes[place] for place in expected.argmax(axis=1)
    ]


def test_members_and_gain_are_measured_on_images_that_none_was_trained_on(
    runs: tuple[Path, list[Path]], tmp_path: Path, cli
) -> None:
    data, folders = runs
    out = tmp_path / "all.safetensors"
    code, said, err = cli("ensemble", *folders, "--out", out, "--json")
    assert code == 0, err
    done = strict_json(said)
    found = done["evaluation"]
    split = striate.evaluate(folders[0], data, engine="torch")  # all images: the folder has no parts
    assert found["part"] == "val" and found["total"] < split.evaluation.total and done["left_out"] == 0
    for folder, score in zip(folders, found["members"], strict=True):
        assert score == pytest.approx(read(folder / "model.safetensors").metrics["accuracy"])
    assert found["gain_over_best"]["value"] == pytest.approx(found["accuracy"] - max(found["members"]))
    assert found["gain_over_mean"]["value"] == pytest.approx(found["accuracy"] - np.mean(found["members"]))
    low, high = found["gain_over_mean"]["interval"]
    assert low <= found["gain_over_mean"]["value"] <= high
    # The same images as a folder of another name: those trained on are recognised, by their content, and left out.
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    code, said, err = cli("ensemble", *folders, "--out", out, "--data", copy)
    assert code == 0 and f"of {split.evaluation.total} images are left out: a member was trained on them" in said, err
    assert striate.load(out).model.metrics["total"] == found["total"]


def test_the_interval_is_paired() -> None:
    task = Classification(("a", "b"))
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 2, 200)
    first, second = (np.eye(2, dtype=np.float32)[(targets + (generator.random(200) < 0.2)) % 2] for _ in range(2))
    gain = paired_gain(task.evaluate("", first, targets), [task.evaluate("", second, targets)])
    difference = (first.argmax(1) == targets).astype(float) - (second.argmax(1) == targets)
    half = Z95 * difference.std(ddof=1) / np.sqrt(200)
    mean = difference.mean()
    assert (gain.value, gain.low, gain.high) == pytest.approx((mean, mean - half, mean + half))
    labels = Multilabel(("a", "b"))
    table = np.eye(2, dtype=np.float32)[targets]
    noisy = (table + generator.normal(0, 1, table.shape)).astype(np.float32)
    clean = (table + generator.normal(0, 0.3, table.shape)).astype(np.float32)
    gain = paired_gain(labels.evaluate("", clean, table), [labels.evaluate("", noisy, table)])
    assert 0 < gain.low < gain.value < gain.high and gain.clear


@pytest.mark.parametrize("form", [pytest.param("onnx", marks=pytest.mark.slow), "openvino"])
def test_it_is_exported_as_one_graph(runs: tuple[Path, list[Path]], tmp_path: Path, cli, form: str) -> None:
    data, folders = runs
    turned, out = tmp_path / "turned.safetensors", tmp_path / "all.safetensors"
    write(turned, with_detector(reversed_classes(read(folders[1] / "model.safetensors"))))
    large = enlarged(folders[2], tmp_path / "large.safetensors")
    write(large, with_detector(read(large)))
    striate.ensemble([large, turned], out, weights=[1, 2])
    code, said, err = cli("export", out, "--to", form, "--images", data)  # writes only what predicts as it does
    assert code == 0 and "100.0 % of the predictions agree" in said and "and distances [N] out" in said, err
    image = np.array(Image.open(images(data)[0]).convert("RGB"))[None]
    expected = striate.load(out, engine="torch").predict(images(data)[0])[0]
    if form == "onnx":
        session = import_onnxruntime().InferenceSession(
            str(out.with_suffix(".onnx")), providers=["CPUExecutionProvider"]
        )
        found, distances = session.run(["probabilities", "distances"], {"images": image})
        facts = session.get_modelmeta().custom_metadata_map
        assert (facts["classes"], facts["ood_threshold"]) == ('["high", "left", "low"]', "1")
    else:
        graph = import_openvino().Core().compile_model(str(out.with_suffix(".xml")), "CPU")
        answer = graph([image])
        found, distances = answer["probabilities"], answer["distances"]
    assert np.allclose(found[0], expected.probabilities, atol=1e-3)
    assert distances[0] == pytest.approx(expected.distance, abs=1e-2)


def test_ensembles_of_ensembles_are_flat_and_round_trip(runs: tuple[Path, list[Path]], tmp_path: Path) -> None:
    _, folders = runs
    pair, three = tmp_path / "pair.safetensors", tmp_path / "three.safetensors"
    striate.ensemble(folders[:2], pair, weights=[1, 3])
    done = striate.ensemble([pair, folders[2]], three)
    assert done.evaluation is not None and done.names == tuple(map(str, folders))
    read_back = read_any(three)
    assert isinstance(read_back, Ensemble) and read_back.weights == pytest.approx((0.125, 0.375, 0.5))
    for member, folder in zip(read_back.members, folders, strict=True):
        original = read(folder / "model.safetensors")
        assert member.checksums == original.checksums and member.pixels == original.pixels
        assert (member.task, member.metrics, member.training) == (original.task, original.metrics, original.training)


def test_models_that_do_not_go_together_are_refused_in_one_line(
    runs: tuple[Path, list[Path]], tmp_path: Path, cli
) -> None:
    data, folders = runs
    out, one = tmp_path / "all.safetensors", folders[0] / "model.safetensors"
    other = tmp_path / "other.safetensors"
    model = read(one)
    write(other, dataclasses.replace(model, task=Classification(("high", "left", "middle"))))

    def refused(*arguments: object) -> str:
        code, _, err = cli("ensemble", *arguments)
        assert code == 2 and err.count("\n") == 1, err
        return err

    assert f"low only in {one}; middle only in {other}" in refused(one, other, "--out", out)
    assert "2 to 1,000 members, not 1" in refused(one, "--out", out)
    assert "one positive number for each of 2 models, not 1.0, -1.0" in refused(
        one, folders[1], "--out", out, "--weights", "1,-1"
    )
    assert "ending in .safetensors" in refused(one, folders[1], "--out", tmp_path / "x.bin")
    assert "is a member of the ensemble, and is not overwritten" in refused(one, folders[1], "--out", one)
    trained = tmp_path / "trained"
    shutil.copytree(data, trained)
    for line in (folders[0] / "split.csv").read_text("utf-8").splitlines():
        if line.split(",")[2:3] == ["val"]:
            (trained / line.split(",")[0]).unlink()
    assert "trained on each of the" in refused(one, folders[1], "--out", out, "--data", trained)
    assert not out.exists()
    write(other, dataclasses.replace(model, task=Multilabel(model.task.names)))
    assert "an ensemble has one task" in refused(one, other, "--out", out)
    striate.ensemble(folders[:2], out)
    for arguments in (("train", data, "--net", out), ("compare", out, folders[0])):
        code, _, err = cli(*arguments)
        assert code == 2 and err.count("\n") == 1, err
    assert "an ensemble of 2 networks, where one network is needed" in cli("train", data, "--net", out)[2]
    code, _, err = cli("predict", out, images(data)[0], "--precision", "int8")
    assert code == 2 and "an ensemble is not quantised to int8" in err
    content = bytearray(out.read_bytes())
    content[-3] ^= 1
    other.write_bytes(content)
    code, _, err = cli("predict", other, images(data)[0])
    assert code == 2 and "member 2 is damaged: tensor" in err and err.count("\n") == 1


def test_thresholds_and_detectors_are_the_means_of_the_members(runs: tuple[Path, list[Path]], tmp_path: Path) -> None:
    data, folders = runs
    members, files = [], []
    for place, folder in enumerate(folders[:2]):
        model = read(folder / "model.safetensors")
        task = Multilabel(model.task.names, (0.2, 0.4, 0.6) if place else (0.4, 0.4, 0.8))
        members.append(dataclasses.replace(with_detector(model), task=task))
        files.append(tmp_path / f"{place}.safetensors")
        write(files[-1], members[-1])
    done = striate.ensemble(files, tmp_path / "both.safetensors")
    assert done.evaluation is None and "give labelled images" in done.notes[0]
    both = striate.load(done.path, engine="torch")
    assert both.task.decision_thresholds == pytest.approx((0.3, 0.4, 0.7)) and both.ood_threshold == 1
    alone = [Predictor(member, engine="torch") for member in members]
    found = both.predict(images(data))
    for place, one in enumerate(found):
        near = [predictor.predict(images(data))[place] for predictor in alone]
        relative = [x.distance / p.ood_threshold for x, p in zip(near, alone, strict=True)]  # type: ignore[operator]
        assert one.distance == pytest.approx(np.mean(relative), rel=1e-4)
        assert one.in_distribution is (one.distance <= 1)
        assert np.allclose(one.probabilities, np.mean([x.probabilities for x in near], axis=0), atol=1e-6)
    write(files[1], dataclasses.replace(members[1], extras={}))
    striate.ensemble(files, done.path)
    assert striate.load(done.path, engine="torch").predict(images(data)[0])[0].distance is None


def test_regression_is_averaged_in_the_targets_units(tmp_path: Path) -> None:
    drawings = draw(tmp_path / "images", 40)
    rows = [(f"images/{one.path}", 100 + 10 * one.side) for one in drawings]
    data = csv_manifest(tmp_path / "sides.csv", ("path", "number"), rows)
    folders = []
    for seed in (0, 1):
        recipe = striate.Recipe().updated({**QUICK, "net.name": "lenet5_plain", "seed": seed})
        folders.append(striate.train(data, out=tmp_path / f"run{seed}", recipe=recipe).folder)
    done = striate.ensemble(folders, tmp_path / "both.safetensors", data=data)
    files = [tmp_path / name for name, _ in rows[:5]]
    each = [[one.value for one in striate.load(folder, engine="torch").predict(files)] for folder in folders]
    found = [one.value for one in striate.load(done.path, engine="torch").predict(files)]
    assert np.allclose(found, np.mean(each, axis=0), rtol=1e-5)
    assert done.evaluation is not None and done.left_out > 20  # the seeds have different splits
    assert done.evaluation.over_mean.value >= -1e-6  # a mean is never further off than its members on average


def test_prediction_needs_no_torch(runs: tuple[Path, list[Path]], tmp_path: Path) -> None:
    data, folders = runs
    striate.ensemble(folders[::2], tmp_path / "all.safetensors", engine="openvino")
    script = (
        "import sys, striate; sys.modules['torch'] = None; "
        f"print(len(striate.load({str(tmp_path / 'all.safetensors')!r}, engine='openvino')"
        f".predict({str(images(data)[0])!r})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "1", done.stderr


def test_pixels_of_a_member_are_its_own() -> None:
    small, large = Pixels(8, 8), Pixels(20, 16, rule="squash")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8))
    several = Several.of([small, large, small])
    assert several.shape == (8 * 8 * 3 + 20 * 16 * 3,) and several.at_least == 20
    parts = several.parts(np.stack([several.apply(image)] * 2))
    assert np.array_equal(parts[small][1], small.apply(image)) and np.array_equal(parts[large][0], large.apply(image))
