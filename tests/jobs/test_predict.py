"""Predict and evaluate: every file is answered or named, in the order asked."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from drawings import strict_json

from striate import RequestError, evaluate, load
from striate.data.sources import walk
from striate.data.sources.names import natural
from striate.jobs.predict import predict
from striate.jobs.run import Run
from striate.model import write
from striate.tasks import Answer, Classification


def images(photos: Path) -> list[Path]:
    return sorted((photos / "val").rglob("*.jpg"))


def test_files_and_folders_in_the_order_asked(trained: Run, photos: Path) -> None:
    paths = sorted(images(photos), key=lambda path: (path.parent.name, natural(path.name)))
    done = predict(trained.folder, [paths[5], paths[0], photos / "val"])
    assert [answer.source for answer in done.predictions] == [str(path) for path in (paths[5], paths[0], *paths)]
    assert done.failed == []
    assert np.array_equal(done.predictions[1].probabilities, done.predictions[2].probabilities) or np.allclose(
        done.predictions[1].probabilities, done.predictions[2].probabilities, atol=1e-5
    )


def test_predict_agrees_with_the_runs_own_answers(trained: Run, photos: Path) -> None:
    done = predict(trained.folder, [photos / "val"])
    rows = np.stack([answer.probabilities for answer in done.predictions])
    keys = [entry.item.key for entry in trained.audit.usable if entry.item.part == "val"]
    assert [answer.source for answer in done.predictions] == [str(photos / key) for key in keys]
    assert np.allclose(rows, trained.evaluation.predictions, atol=1e-4)


def test_engines_and_precisions_agree(trained: Run, photos: Path) -> None:
    paths = images(photos)[:4]
    rows = {
        (engine, precision): np.stack(
            [a.probabilities for a in predict(trained.folder, paths, engine=engine, precision=precision).predictions]
        )
        for engine, precision in [("openvino", "float32"), ("torch", "float32"), ("openvino", "bfloat16")]
    }
    right = rows["openvino", "float32"]
    assert np.abs(rows["torch", "float32"] - right).max() <= 1e-4
    assert np.abs(rows["openvino", "bfloat16"] - right).max() <= 0.1


def test_files_that_cannot_be_used_cost_nothing_else(trained: Run, photos: Path, tmp_path: Path, cli) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text\n.jpg").write_text("x")
    good = images(photos)[0]
    bad = [tmp_path / "empty.jpg", tmp_path / "text\n.jpg", tmp_path / "missing.jpg"]
    code, out, _ = cli("predict", trained.folder, bad[0], good, *bad[1:3], "--json")
    answer = json.loads(out)
    assert code == 1
    assert [row["file"] for row in answer["predictions"]] == [str(good)]
    assert [row["file"] for row in answer["failed"]] == [str(path) for path in bad[:3]]
    code, out, _ = cli("predict", trained.folder, *bad[:3])
    assert code == 2 and len(out.splitlines()) == 3 and all("not predicted: " in line for line in out.splitlines())


def test_a_folder_without_images_and_no_files_at_all(trained: Run, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no images in the folder"):
        predict(trained.folder, [tmp_path])
    with pytest.raises(RequestError, match="no image files were given"):
        predict(trained.folder, [])


def test_published_weights_predict_by_name(trained: Run, photos: Path) -> None:
    predictor = load("efficientnet_lite0")
    assert len(predictor.classes) == 1000
    assert predictor.predict(images(photos)[0])[0].probabilities.shape == (1000,)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("efficientnet_lite", "did you mean 'efficientnet_lite"),
        ("zzz", "nets with weights here"),
        ("x" * 5000, "cannot read|no model file"),
    ],
    ids=["near", "far", "long"],
)
def test_a_model_that_is_not_there(name: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        load(name)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"has no model\.safetensors"):
        load(tmp_path)


def test_a_damaged_model_is_one_line(trained: Run, photos: Path, tmp_path: Path, cli) -> None:
    content = bytearray((trained.folder / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "m.safetensors").write_bytes(content)
    code, out, err = cli("predict", tmp_path / "m.safetensors", images(photos)[0])
    assert code == 2 and out == "" and len(err.splitlines()) == 1 and "checksum" in err


@pytest.fixture(scope="module")
def broken(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose weights are finite and whose outputs are not."""
    path = tmp_path_factory.mktemp("broken") / "model.safetensors"
    tensors = {name: np.full_like(value, 3e38) if name == "head.weight" else value
               for name, value in trained.model.tensors.items()}  # fmt: skip
    write(path, dataclasses.replace(trained.model, tensors=tensors))
    return path


@pytest.mark.parametrize("verb", ["predict", "evaluate", pytest.param("export", marks=pytest.mark.slow)])
def test_outputs_that_are_not_numbers_are_refused_in_one_line(
    verb: str, broken: Path, photos: Path, tmp_path: Path, cli
) -> None:
    given: dict[str, list[object]] = {
        "predict": [images(photos)[0], images(photos)[1], "--csv", tmp_path / "out.csv"],
        "evaluate": [photos],
        "export": ["--to", "onnx", "--images", photos, "--out", tmp_path / "out.onnx"],
    }
    code, out, err = cli(verb, broken, *given[verb], "--json")
    assert code == 2 and set(strict_json(out)) == {"error"}
    assert "NaN or infinite: its weights are damaged" in err.splitlines()[-1] and "Warning" not in err
    assert list(tmp_path.iterdir()) == []
    if verb == "predict":
        assert repr(str(images(photos)[0])) in err


def test_json_on_standard_output_has_no_nan(trained: Run, photos: Path, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classification, "answer", lambda self, row: Answer(
        "ants", float("nan"), row, None, "ants", {"confidence": float("nan"), "probabilities": {"ants": float("inf")}}
    ))  # fmt: skip
    code, out, _ = cli("predict", trained.folder, images(photos)[0], "--json")
    (row,) = strict_json(out)["predictions"]
    assert code == 0 and row["confidence"] is None and row["probabilities"] == {"ants": None}


# Evaluate


def test_evaluate_takes_the_part_asked_for(trained: Run, photos: Path) -> None:
    done = evaluate(trained.folder, photos, part="train")
    assert done.evaluation.total == 40 and done.evaluation.part == "train"
    with pytest.raises(RequestError, match="has no part 'test'; it has train, val"):
        evaluate(trained.folder, photos, part="test")
    flat = evaluate(trained.folder, photos / "val")
    assert flat.evaluation.total == 16 and flat.evaluation.correct == trained.evaluation.correct


def test_classes_go_by_name_not_by_place(trained: Run, photos: Path, tmp_path: Path) -> None:
    second = trained.model.classes[1]
    shutil.copytree(photos / "val" / second, tmp_path / second)
    (tmp_path / "aaa").mkdir()  # an empty class before it
    done = evaluate(trained.folder, tmp_path)
    assert done.evaluation.total == 8 and done.evaluation.confusion[0].sum() == 0
    assert done.as_dict()["per_class"][second]["count"] == 8
    assert json.dumps(done.as_dict(), allow_nan=False)


def test_classes_that_the_model_does_not_know(trained: Run, photos: Path, tmp_path: Path) -> None:
    name = trained.model.classes[0]
    shutil.copytree(photos / "val" / name, tmp_path / "set" / "wasps")
    with pytest.raises(RequestError, match="none of the classes"):
        evaluate(trained.folder, tmp_path / "set")
    shutil.copytree(photos / "val" / name, tmp_path / "set" / name)
    with pytest.raises(RequestError, match="the model has no class 'wasps'"):
        evaluate(trained.folder, tmp_path / "set")


def test_evaluating_tells_what_was_set_aside(trained: Run, photos: Path, tmp_path: Path, cli) -> None:
    shutil.copytree(photos / "val", tmp_path / "set")
    (tmp_path / "set" / trained.model.classes[0] / "bad.jpg").write_bytes(b"")
    code, out, _ = cli("evaluate", trained.folder, tmp_path / "set")
    assert code == 0 and out.splitlines()[-1].startswith("Set aside: 1 empty")
    code, out, _ = cli("evaluate", trained.folder, tmp_path / "set", "--json")
    facts = json.loads(out)
    assert facts["total"] == 16 and facts["set_aside"][0]["kind"] == "empty"


def test_nothing_usable_to_evaluate_on(trained: Run, tmp_path: Path) -> None:
    for name in trained.model.classes:
        (tmp_path / name).mkdir()
        (tmp_path / name / "bad.jpg").write_bytes(b"")
    with pytest.raises(RequestError, match="no usable image to evaluate on"):
        evaluate(trained.folder, tmp_path)


# Folders


def test_a_folder_is_walked_as_training_walks_it(trained: Run, photos: Path, tmp_path: Path, cli) -> None:
    good = images(photos)
    for name in ("a.jpg", "noending", "photo.txt", "z.jpg.1", "deep/er/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(good[0], tmp_path / name)
    for name in (".ipynb_checkpoints/a.jpg", "@eaDir/a.jpg", "__MACOSX/._a.jpg", ".hidden.jpg", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"words" if name == "notes.md" else good[1].read_bytes())
    (tmp_path / "dir.jpg").mkdir()
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")  # opened, it would wait for a writer that never comes
    code, out, _ = cli("predict", trained.folder, tmp_path, "--json")
    answer = json.loads(out)
    assert code == 1
    assert [str(Path(row["file"]).relative_to(tmp_path)) for row in answer["predictions"]] == [
        "a.jpg", "deep/er/b.jpg", "noending", "photo.txt", "z.jpg.1",
    ]  # fmt: skip
    assert [row["file"] for row in answer["failed"]] == [str(tmp_path / "bad.jpg")]
    kinds = {str(Path(row["path"]).relative_to(tmp_path)): row["kind"] for row in answer["set_aside"]}
    assert {key: kind for key, kind in kinds.items() if key != "pipe.jpg"} == {
        ".hidden.jpg": "hidden", ".ipynb_checkpoints": "hidden", "@eaDir": "junk", "__MACOSX": "junk",
        "notes.md": "other-file",
    }  # fmt: skip
    code, out, _ = cli("predict", trained.folder, tmp_path)
    told = [line for line in out.splitlines() if line.startswith("Left out: ")]
    assert len(told) == len(set(kinds.values())) == 3
    assert any(line.startswith("Left out: Hidden files: 2 files") for line in told)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "link"])
def test_what_is_named_as_an_image_but_no_file_is_never_waited_for(
    kind: str, trained: Run, photos: Path, tmp_path: Path, cli
) -> None:
    good, other = tmp_path / "a.jpg", tmp_path / "b.jpg"
    shutil.copyfile(images(photos)[0], good)
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as opened, contextlib.chdir(tmp_path):  # its address must be short
            opened.bind("b.jpg")
    elif kind == "device":
        other.symlink_to("/dev/zero")  # read, it would never end
    elif kind == "link":
        os.mkfifo(tmp_path / ".pipe")
        other.symlink_to(tmp_path / ".pipe")
    else:
        os.mkfifo(other)
    code, out, _ = cli("predict", trained.folder, tmp_path, "--json")
    assert code == 0 and str(other) in {row["path"] for row in json.loads(out)["set_aside"]}
    code, out, _ = cli("predict", trained.folder, good, other, "--json")
    answer = json.loads(out)
    assert code == 1 and [row["file"] for row in answer["predictions"]] == [str(good)]
    assert answer["failed"][0]["file"] == str(other) and "not a file" in answer["failed"][0]["why"]
    (tmp_path / "table.csv").write_text("image,label\na.jpg,ants\nb.jpg,bees\n")
    code, out, _ = cli("evaluate", trained.folder, tmp_path / "table.csv", "--json")
    answer = json.loads(out)
    assert code == 0 and answer["total"] == 1 and [row["path"] for row in answer["set_aside"]] == ["b.jpg"]


def test_the_handed_folder_is_walked_as_training_walks_it(trained: Run, test_data: Path, tmp_path: Path, cli) -> None:
    case = test_data.parent / "cases" / "predict_folder" / "photos"
    if not case.is_dir():
        pytest.skip(f"no folder {case}")
    folder = tmp_path / "photos"
    shutil.copytree(case, folder)
    os.mkfifo(folder / "pipe.jpg")
    code, out, err = cli("predict", trained.folder, folder, "--json")
    answer = json.loads(out)
    assert code == 0, err
    assert [str(Path(row["file"]).relative_to(folder)) for row in answer["predictions"]] == [
        "00.jpg", "dir.jpg/in.jpg", "noending", "photo.txt", "z.jpg.1",
    ]  # fmt: skip
    assert {str(Path(row["path"]).relative_to(folder)) for row in answer["set_aside"]} == {
        ".ipynb_checkpoints", "@eaDir", "__MACOSX", "pipe.jpg",
    }  # fmt: skip


def test_a_locked_folder_and_one_without_images_cost_nothing_else(
    trained: Run, photos: Path, tmp_path: Path, cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("open/a.jpg", "locked/b.jpg", "empty/notes.md"):
        (tmp_path / name).parent.mkdir()
        shutil.copyfile(images(photos)[0], tmp_path / name)
    (tmp_path / "empty" / "notes.md").write_text("words")
    plain = os.scandir

    def scandir(folder: str) -> object:
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return plain(folder)

    monkeypatch.setattr(walk.os, "scandir", scandir)
    code, out, _ = cli("predict", trained.folder, tmp_path)
    lines = out.splitlines()
    assert code == 1 and lines[0].startswith(f"{tmp_path / 'open' / 'a.jpg'}: ")
    assert lines[1] == f"not predicted: '{tmp_path / 'locked'}': cannot list the folder: Permission denied"
    code, out, _ = cli("predict", trained.folder, tmp_path / "empty", tmp_path / "open" / "a.jpg")
    assert code == 1 and out.splitlines()[1].startswith("not predicted: no images in the folder")
    code, out, err = cli("predict", trained.folder, tmp_path / "locked")
    assert (code, out) == (2, "") and "Permission denied" in err and len(err.splitlines()) == 1


def test_a_name_that_is_too_long_is_named(trained: Run, cli) -> None:
    code, out, err = cli("predict", trained.folder, "x" * 5000)
    assert code == 2 and (out + err).count("\n") == 1 and "too long" in out + err


def test_many_files_are_predicted_in_order_and_alike_one_by_one(trained: Run, photos: Path) -> None:
    paths = images(photos) * 3
    done = predict(trained.folder, paths)
    assert [one.source for one in done.predictions] == [str(path) for path in paths]
    alone = {path: trained.predictor.predict(path)[0].probabilities for path in set(paths)}
    for path, one in zip(paths, done.predictions, strict=True):
        assert np.allclose(one.probabilities, alone[path], atol=1e-5)
