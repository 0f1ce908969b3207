"""A folder of OOD images, from training to predict's output and the exported graph."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from drawings import blocks, sections, strict_json
from PIL import Image
from scenes import scene

from striate import Recipe, RequestError, evaluate, export, load, train
from striate.inference.ood import OODDetector
from striate.inference.predictor import OUT_OF_DISTRIBUTION
from striate.jobs.predict import predict
from striate.jobs.run import Run
from striate.model import read
from striate.tasks.metrics import auroc

FEATURES = Recipe().updated({"strategy": "features", "inference.engine": "openvino"})
SCRATCH = Recipe().updated(
    {
        "strategy": "scratch",
        "net.name": "lenet5_plain",
        "train.epochs": 12,
        "train.batch": 16,
        "inference.engine": "torch",
        "augment": {"preset": "none"},
    }
)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blocks(tmp_path_factory.mktemp("known") / "set", {"low": 60, "high": 60})


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of no class, some in subfolders, and a file that is not an image."""
    root = tmp_path_factory.mktemp("strange") / "others"
    (root / "deep" / "er").mkdir(parents=True)
    for number in range(16):
        scene(number % 2, number, (40, 32)).save((root if number % 2 else root / "deep" / "er") / f"{number:02d}.jpg")
    (root / "notes.txt").write_text("not an image")
    return root


@pytest.fixture(scope="module", params=["features", "scratch"])
def run(request: pytest.FixtureRequest, known: Path, strange: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = FEATURES if request.param == "features" else SCRATCH
    out = tmp_path_factory.mktemp("run") / "run"
    return train(known, out=out, recipe=recipe.updated({"data.ood": str(strange)}))


def test_a_new_head_without_ood_images_does_not_keep_the_detector(run: Run, known: Path, tmp_path: Path) -> None:
    assert OODDetector.of(run.model) is not None
    again = train(known, out=tmp_path / "run", net=str(run.folder), strategy="features")
    assert OODDetector.of(read(again.folder / "model.safetensors")) is None


def test_ood_images_are_evaluated(run: Run) -> None:
    met, told = run.result.evidence.ood, run.metrics["ood"]
    assert met is not None and told == met.as_dict() == run.model.metrics["ood"]
    assert (told["folder"], told["images"]) == ("others", 16)
    assert len(met.in_distribution) == run.evaluation.total == 24
    assert told["auroc"] == pytest.approx(auroc(met.out_of_distribution, met.in_distribution))
    assert told["auroc"] > 0.95
    assert told["ood_rejected"] == (met.out_of_distribution > told["threshold"]).mean() >= 0.9
    assert told["in_distribution_accepted"] == (met.in_distribution <= told["threshold"]).mean() >= 0.75
    assert set(met.predicted) <= {"low", "high"} and len(met.paths) == 16
    assert "deep/er/00.jpg" in met.paths
    for line in (run.folder / "log.jsonl").read_text().splitlines():
        strict_json(line)


def test_predict_marks_out_of_distribution_images(run: Run, known: Path, strange: Path, cli) -> None:  # type: ignore[no-untyped-def]
    assert run.result.evidence.ood is not None
    code, out, _ = cli("predict", run.folder, strange, "--json")
    rows = strict_json(out)["predictions"]
    assert code == 0 and len(rows) == 16
    limit = run.result.evidence.ood.threshold
    for row in rows:
        assert row["in_distribution"] == (row["distance"] <= limit)
        assert (row["label"] == OUT_OF_DISTRIBUTION) == (not row["in_distribution"])
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert sum(not row["in_distribution"] for row in rows) >= 14
    assert sorted(row["distance"] for row in rows) == pytest.approx(
        sorted(run.result.evidence.ood.out_of_distribution.tolist()), abs=1e-4
    )
    mine = predict(run.folder, [known]).predictions
    assert sum(answer.label == Path(answer.source).parent.name for answer in mine) >= 100
    assert sum(answer.in_distribution is True for answer in mine) >= 100
    code, out, _ = cli("predict", run.folder, *(row["file"] for row in rows if not row["in_distribution"]))
    assert all(": out of distribution, otherwise " in line for line in out.splitlines())


def test_the_model_file_holds_the_detector(run: Run, known: Path) -> None:
    model = read(run.folder / "model.safetensors")
    assert {"ood.bank", "ood.threshold"} <= model.extras.keys()
    assert model.extras["ood.bank"].dtype == np.float16
    assert len(model.extras["ood.bank"]) == 96  # the training images
    for name, tensor in run.model.extras.items():
        assert np.array_equal(tensor, model.extras[name])
    paths = sorted(known.rglob("*.png"))[:6]
    one, two = run.predictor.predict(paths), load(run.folder).predict(paths)
    assert [answer.distance for answer in one] == pytest.approx([answer.distance for answer in two], abs=1e-6)


def test_evaluating_counts_every_image_as_one_of_the_classes(run: Run, known: Path) -> None:
    measured = evaluate(run.folder, known).evaluation
    assert measured.total == 120 and measured.score > 0.9


def test_the_report_shows_ood_detection(run: Run) -> None:
    told = sections((run.folder / "report.html").read_text("utf-8"))["ood"]
    assert "Out-of-distribution detection" in told and "others" in told


def test_the_threshold_depends_on_training_images_only(
    run: Run, known: Path, strange: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # OOD images that look like the classes would move the threshold if they were used to set it.
    others = tmp_path_factory.mktemp("like") / "strangers"
    shutil.copytree(known / "low", others)
    recipe = FEATURES if run.model.strategy == "features" else SCRATCH
    again = train(known, out=others.parent / "run", recipe=recipe.updated({"data.ood": str(others)}))
    assert again.result.evidence.ood is not None and run.result.evidence.ood is not None
    assert again.result.evidence.ood.threshold == run.result.evidence.ood.threshold
    assert np.array_equal(again.model.extras["ood.bank"], run.model.extras["ood.bank"])
    assert np.array_equal(again.result.evidence.ood.in_distribution, run.result.evidence.ood.in_distribution)
    assert again.result.evidence.ood.auroc < 0.8


def test_without_ood_images_nothing_is_rejected(known: Path, strange: Path, tmp_path: Path) -> None:
    plain = train(known, out=tmp_path / "run", recipe=FEATURES)
    assert plain.result.evidence.ood is None and not plain.model.extras and "ood" not in plain.metrics
    answers = predict(plain.folder, [strange]).predictions
    assert {answer.in_distribution for answer in answers} == {None}
    assert {answer.label for answer in answers} <= {"low", "high"}
    assert "ood" not in sections((plain.folder / "report.html").read_text("utf-8"))


def test_the_exported_graph_gives_the_distances(known: Path, strange: Path, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    recipe = SCRATCH.updated({"data.ood": str(strange)})
    run = train(known, out=tmp_path / "run", recipe=recipe)
    done = export(run.folder, to="onnx", out=tmp_path / "m.onnx")
    assert done.outputs == ("probabilities [N, 2]", "distances [N]")
    assert done.agreement >= 0.995 and done.difference <= 0.02
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    paths = [*sorted(known.rglob("*.png"))[:6], *sorted(strange.rglob("*.jpg"))[:6]]
    said = load(run.folder).predict(paths)
    for path, ours in zip(paths, said, strict=True):
        image = np.asarray(Image.open(path).convert("RGB"))[None]
        probabilities, distances = session.run(["probabilities", "distances"], {"images": image})
        assert distances.shape == (1,)
        assert distances[0] == pytest.approx(ours.distance, abs=0.01)
        assert np.abs(probabilities[0] - ours.probabilities).max() <= 0.02
    facts = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert run.result.evidence.ood is not None
    assert float(facts["ood_threshold"]) == pytest.approx(run.result.evidence.ood.threshold, rel=1e-5)


# Refusals


@pytest.mark.parametrize("recipe", [FEATURES, SCRATCH], ids=["features", "scratch"])
def test_unusable_ood_folders_are_refused(recipe: Recipe, known: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("x")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"x")
    before = sorted(tmp_path.iterdir())
    for name, words in (
        ("nothing", r"--ood takes a folder of images that show none of the classes; '.*nothing' is not a folder"),
        ("empty", "no image"),
        ("text", "no image"),
        ("broken", "no image of the OOD folder 'broken' can be read"),
    ):
        with pytest.raises(RequestError, match=words) as caught:
            train(known, out=tmp_path / "run", recipe=recipe.updated({"data.ood": str(tmp_path / name)}))
        assert "\n" not in str(caught.value)
    # Training done before the OOD folder failed is saved: with a readable folder the run is resumed.
    kept = [tmp_path / "run"] if recipe is SCRATCH else []
    assert sorted(tmp_path.iterdir()) == sorted(before + kept)


def test_a_net_without_a_linear_head_is_refused(known: Path, strange: Path, tmp_path: Path) -> None:
    changes = {"net.name": "lenet5", "data.ood": str(strange), "train.epochs": 1}
    with pytest.raises(RequestError, match="lenet5 does not end in a linear layer, so it has no feature space"):
        train(known, out=tmp_path / "run", recipe=SCRATCH.updated(changes))
    assert list(tmp_path.iterdir()) == []
