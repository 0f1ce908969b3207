"""Several labels an image, and a number: from the manifest to the exported graph, by both ways to learn."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from drawings import Drawing, csv_manifest, draw, json_manifest, sections, split_rows, strict_json

from striate import Recipe, RequestError, evaluate, export, load, train
from striate.jobs.run import Run
from striate.model import read
from striate.tasks.multilabel import MultilabelEvaluation
from striate.tasks.regression import RegressionEvaluation

SCRATCH = Recipe().updated(
    {
        "strategy": "scratch",
        "net.name": "lenet5_plain",
        "train.epochs": 20,
        "train.batch": 16,
        "inference.engine": "torch",
        "augment": {"preset": "none"},
    }
)
FEATURES = Recipe().updated({"strategy": "features", "inference.engine": "openvino"})
COLUMNS = {"multilabel": "labels", "regression": "number"}
RECIPES = {"scratch": SCRATCH, "features": FEATURES}


@dataclass(frozen=True)
class Case:
    """A run, what it learnt from, and what was true of the images, in order."""

    kind: str
    run: Run
    data: Path
    made: list[Drawing]

    @property
    def held_out(self) -> list[Drawing]:
        return self.made[96:]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Drawing]]:
    root = tmp_path_factory.mktemp("drawings")
    return root, draw(root, 136)


def manifests(root: Path, made: list[Drawing]) -> dict[str, Path]:
    """Every kind of target in both formats; the first 96 images are trained on."""
    parts = ["train"] * 96 + ["val"] * 40
    rows = list(zip(made, parts, strict=True))
    return {
        "labels csv": csv_manifest(
            root / "labels.csv", ("path", "labels", "split"), [(d.path, "|".join(d.labels), part) for d, part in rows]
        ),
        "labels jsonl": json_manifest(
            root / "labels.jsonl", [{"path": d.path, "labels": list(d.labels), "split": part} for d, part in rows]
        ),
        "number csv": csv_manifest(
            root / "side.csv", ("path", "number:side", "split"), [(d.path, d.side, part) for d, part in rows]
        ),
        "number jsonl": json_manifest(
            root / "side.jsonl", [{"path": d.path, "number:side": d.side, "split": part} for d, part in rows]
        ),
    }


@pytest.fixture(
    scope="module",
    params=[
        "multilabel scratch csv",
        "multilabel features jsonl",
        "regression scratch jsonl",
        "regression features csv",
    ],
)
def case(
    request: pytest.FixtureRequest, made: tuple[Path, list[Drawing]], tmp_path_factory: pytest.TempPathFactory
) -> Case:
    kind, strategy, form = request.param.split()
    data = manifests(*made)[f"{COLUMNS[kind]} {form}"]
    run = train(data, out=tmp_path_factory.mktemp("run") / "run", recipe=RECIPES[strategy])
    return Case(kind, run, data, made[1])


def test_it_learns_what_was_asked(case: Case) -> None:
    measured = case.run.evaluation
    assert (measured.part, measured.total, measured.task.kind) == ("val", 40, case.kind)
    if isinstance(measured, MultilabelEvaluation):
        assert measured.task.names == ("left", "top")
        assert measured.score > 0.95
        assert measured.all_right >= 30
        assert measured.targets.tolist() == [[n in d.labels for n in ("left", "top")] for d in case.held_out]
    else:
        assert isinstance(measured, RegressionEvaluation)
        assert measured.task.names == ("side",)
        sides = np.array([drawing.side for drawing in case.held_out], float)
        assert measured.targets.tolist() == sides.tolist()
        usual = np.abs(sides - np.mean([drawing.side for drawing in case.made[:96]])).mean()
        assert measured.score < 0.5 * usual


def test_the_figures_are_those_of_the_answers(case: Case) -> None:
    told, measured = case.run.metrics, case.run.evaluation
    assert (told["task"], told["part"], told["total"]) == (case.kind, "val", 40)
    if case.kind == "multilabel":
        from sklearn.metrics import average_precision_score

        assert told["mean_average_precision"] == pytest.approx(
            average_precision_score(measured.targets, measured.predictions)
        )
        given = measured.predictions >= np.array(measured.task.decision_thresholds, np.float32)
        assert told["all_right"] == int((given == measured.targets).all(1).sum())
        assert told["per_label"]["top"]["count"] == sum("top" in drawing.labels for drawing in case.held_out)
        hits = (given[:, 1] & (measured.targets[:, 1] > 0)).sum()
        assert told["per_label"]["top"]["precision"] == pytest.approx(hits / given[:, 1].sum())
    else:
        errors = measured.predictions[:, 0] - measured.targets
        assert told["name"] == "side"
        assert told["mean_absolute_error"] == pytest.approx(np.abs(errors).mean())
        assert told["root_mean_square_error"] == pytest.approx(np.sqrt((errors**2).mean()))
        low, high = told["interval"]
        assert low < told["mean_absolute_error"] < high


def test_the_folder_it_leaves_is_strict_json_and_names_the_targets(case: Case) -> None:
    for line in (case.run.folder / "log.jsonl").read_text().splitlines():
        strict_json(line)
    told = strict_json((case.run.folder / "audit.json").read_text())
    assert told["images"] == 136
    rows = split_rows(case.run.folder)
    assert [row["part"] for row in rows] == ["train"] * 96 + ["val"] * 40
    spoken = [", ".join(d.labels) or "none" if case.kind == "multilabel" else str(d.side) for d in case.made]
    assert [row["class"] for row in rows] == spoken


def test_the_model_file_holds_the_task(case: Case) -> None:
    model = read(case.run.folder / "model.safetensors")
    assert model.task == case.run.model.task
    assert model.task.kind == case.kind
    assert len(model.task.decision_thresholds) == (2 if case.kind == "multilabel" else 0)
    assert all(0 < value < 1 for value in model.task.decision_thresholds)
    assert model.metrics["total"] == 40


def test_evaluate_gives_trains_figures(case: Case, cli) -> None:  # type: ignore[no-untyped-def]
    again = evaluate(case.run.folder, case.data).evaluation
    assert again.part == "val"
    assert np.array_equal(again.targets, case.run.evaluation.targets)
    scale = float(np.abs(case.run.evaluation.predictions).max())
    assert np.abs(again.predictions - case.run.evaluation.predictions).max() <= 1e-4 * scale
    assert again.score == pytest.approx(case.run.evaluation.score, rel=1e-3)
    code, out, _ = cli("evaluate", case.run.folder, case.data, "--part", "val", "--json")
    told = strict_json(out)
    assert (code, told["part"], told["total"], told["task"]) == (0, "val", 40, case.kind)


def test_predict_says_labels_or_a_value(case: Case, cli) -> None:  # type: ignore[no-untyped-def]
    files = [case.data.parent / drawing.path for drawing in case.held_out[:12]]
    code, out, _ = cli("predict", case.run.folder, *files, "--json")
    assert code == 0
    rows = strict_json(out)["predictions"]
    _, text, _ = cli("predict", case.run.folder, *files)
    answers = case.run.evaluation.predictions[:12]
    for row, line, answer, file in zip(rows, text.splitlines(), answers, files, strict=True):
        assert row["file"] == str(file)
        assert "in_distribution" not in row and "distance" not in row
        if case.kind == "multilabel":
            task = case.run.model.task
            limits = task.decision_thresholds
            given = [n for n, share, limit in zip(task.names, answer, limits, strict=True) if share >= limit]
            assert row["label"] == (", ".join(given) or "none")
            assert row["confidence"] == pytest.approx(float(answer.max()), abs=1e-4)
            assert row["probabilities"] == pytest.approx({"left": answer[0], "top": answer[1]}, abs=1e-4)
            assert line.startswith(f"{file}: {row['label']} (")
            assert "value" not in row
        else:
            assert row["name"] == "side"
            assert row["value"] == pytest.approx(float(answer[0]), abs=1e-3)
            assert "confidence" not in row and "probabilities" not in row
            assert line == f"{file}: side {row['value']:.4g}"
    if case.kind == "multilabel":
        right = sum(
            row["label"] == (", ".join(d.labels) or "none") for row, d in zip(rows, case.held_out, strict=False)
        )
        assert right >= 9


def test_the_page_has_the_sections_that_go_with_the_task(case: Case) -> None:
    told = sections((case.run.folder / "report.html").read_text("utf-8"))
    if case.kind == "multilabel":
        assert "Mean average precision" in told["result"]
        assert "Per-label metrics" in told["classes"] and "top" in told["classes"]
        assert "Precision-recall curves" in told["ranking"]
        absent = {"confusion", "calibration", "numbers"}
    else:
        assert "Mean absolute error: side" in told["result"]
        assert "Predicted vs. true" in told["numbers"]
        assert "Largest errors" in told["mistakes"]
        absent = {"confusion", "calibration", "classes", "ranking"}
    assert not absent & told.keys()
    assert {"input", "data", "details"} <= told.keys()


@pytest.mark.parametrize("case", ["multilabel scratch csv", "regression scratch jsonl"], indirect=True)
def test_the_exported_graph_gives_the_same_answers(case: Case, tmp_path: Path) -> None:
    import onnx
    import onnxruntime
    from PIL import Image

    done = export(case.run.folder, to="onnx", out=tmp_path / "m.onnx")
    assert done.agreement >= 0.995 and done.difference <= 0.02
    assert done.outputs == (("probabilities [N, 2]",) if case.kind == "multilabel" else ("numbers [N, 1]",))
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    paths = [case.data.parent / drawing.path for drawing in case.held_out[:8]]
    images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    (answers,) = session.run(["probabilities" if case.kind == "multilabel" else "numbers"], {"images": images})
    said = load(case.run.folder).predict(paths)
    ours = [one.probabilities if one.value is None else [one.value] for one in said]
    assert np.abs(answers - np.array(ours)).max() <= 1e-3
    facts = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert facts["task"] == case.kind
    assert json.loads(facts["classes"]) == list(case.run.model.classes)
    if case.kind == "multilabel":
        assert json.loads(facts["thresholds"]) == pytest.approx(case.run.model.task.decision_thresholds, rel=1e-5)


@pytest.mark.parametrize("strategy", ["scratch", "features"])
def test_huber_is_not_led_astray_by_wild_numbers(
    strategy: str, made: tuple[Path, list[Drawing]], tmp_path: Path
) -> None:
    root, drawings = made
    sides = [drawing.side * (1000 if number in (3, 30, 70) else 1) for number, drawing in enumerate(drawings)]
    rows = [
        (root / drawing.path, side, "train" if number < 96 else "val")
        for number, (drawing, side) in enumerate(zip(drawings, sides, strict=True))
    ]
    data = csv_manifest(tmp_path / "wild.csv", ("path", "number", "split"), rows)
    errors = {}
    for loss in ("mse", "huber"):
        recipe = RECIPES[strategy].updated({"loss.name": loss, "train.epochs": 10})
        run = train(data, out=tmp_path / loss, recipe=recipe)
        errors[loss] = run.evaluation.score
        assert Recipe.from_file(run.folder / "recipe.toml").loss.name == loss
    assert errors["huber"] < 0.5 * errors["mse"]


# Refusals: one line, before the work where that can be


def refused(words: str, data: Path, out: Path, **changes: object) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        train(data, out=out, recipe=SCRATCH.updated(changes))
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_what_does_not_go_with_the_task_is_refused(made: tuple[Path, list[Drawing]], tmp_path: Path) -> None:
    root, drawings = made
    given = manifests(root, drawings)
    by_class = csv_manifest(
        tmp_path / "c.csv", ("path", "label"), [(root / d.path, "big" if d.side > 8 else "small") for d in drawings]
    )
    out = tmp_path / "run"
    for balance in ("weights", "sampling"):
        words = f"balance '{balance}' needs single-label classification; the task here is"
        refused(f"{words} 'multilabel'", given["labels csv"], out, **{"data.balance": balance})
        refused(f"{words} 'regression'", given["number csv"], out, **{"data.balance": balance})
    for strategy, net in (("scratch", "lenet5_plain"), ("features", None)):
        changes = {"strategy": strategy, "net.name": net, "loss.name": "huber"}
        refused("huber", by_class, out, **changes)
        refused("huber", given["labels csv"], out, **changes)
    refused("ends in a linear layer; choose another one", given["number csv"], out, **{"net.name": "lenet5"})


def test_a_loss_that_does_not_go_with_the_task_is_refused_before_any_image_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from striate.data.sources.files import FileSource

    def unread(source: FileSource, item: object) -> bytes:
        raise AssertionError("an image was read")

    monkeypatch.setattr(FileSource, "read", unread)
    rows = [(drawing.path, "|".join(drawing.labels)) for drawing in draw(tmp_path, 20)]
    data = csv_manifest(tmp_path / "few.csv", ("path", "labels"), rows)
    for strategy, net in (("scratch", "lenet5_plain"), ("features", None)):
        changes = {"strategy": strategy, "net.name": net, "loss.name": "huber"}
        refused("huber", data, tmp_path / "run", **changes)


@pytest.mark.parametrize("case", ["multilabel scratch csv"], indirect=True)
def test_a_model_is_not_measured_on_another_task(case: Case, made: tuple[Path, list[Drawing]], tmp_path: Path) -> None:
    root, drawings = made
    with pytest.raises(RequestError, match=r"the model's task is 'multilabel', and that of 'side' is 'regression'"):
        evaluate(case.run.folder, manifests(root, drawings)["number csv"])
    with pytest.raises(RequestError, match=r"the model's task is 'multilabel', .* is 'classification'"):
        evaluate(
            case.run.folder,
            csv_manifest(tmp_path / "c.csv", ("path", "label"), [(root / d.path, "top") for d in drawings]),
        )
    odd = csv_manifest(
        tmp_path / "odd.csv", ("path", "labels"), [(root / "000.png", "top"), (root / "001.png", "top|bottom")]
    )
    with pytest.raises(RequestError, match=r"the model has no label 'bottom' \('.*001\.png'\)"):
        evaluate(case.run.folder, odd)
    other = csv_manifest(tmp_path / "other.csv", ("path", "labels"), [(root / "000.png", "up|down")])
    with pytest.raises(RequestError, match=r"none of the labels of .* is one of the model's \(left, top, \.\.\.\)"):
        evaluate(case.run.folder, other)
