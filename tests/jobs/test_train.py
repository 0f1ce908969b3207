"""Training end to end: what a run leaves, that it runs again to the same, and that no dirt in a folder stops it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import Recipe, RequestError, WorkError, audit, evaluate, load, storage, train
from striate.jobs.run import Run
from striate.learning.run_folder import next_free
from striate.model import read
from striate.progress import Progress

LEFT = ["audit.json", "evaluated.csv", "log.jsonl", "model.safetensors", "recipe.toml", "report.html", "split.csv"]


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 tiny drawings in two classes, crosses and boxes."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 60, (160, 32, 32), dtype=np.uint8)
    for number, image in enumerate(images):
        y, x = generator.integers(2, 18, 2)
        if number % 2:
            image[y : y + 12, x + 5 : x + 7] = image[y + 5 : y + 7, x : x + 12] = 230
        else:
            image[y : y + 12, [x, x + 11]] = image[[y, y + 11], x : x + 12] = 230
    path = tmp_path_factory.mktemp("digits") / "drawings.npz"
    np.savez(path, x=images, y=np.array(["box", "cross"])[np.arange(160) % 2])
    return path


@pytest.fixture(scope="module")
def scratch(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = Recipe().updated({"net.name": "lenet5_plain", "strategy": "scratch", "train.epochs": 6, "train.batch": 16})
    return train(digits, out=tmp_path_factory.mktemp("scratch") / "run", recipe=recipe)


# What a run leaves


def test_a_run_folder_holds_everything(trained: Run) -> None:
    assert sorted(path.name for path in trained.folder.iterdir()) == LEFT
    events = [json.loads(line) for line in (trained.folder / "log.jsonl").read_text().splitlines()]
    assert events[-1]["event"] == "done" and events[-1]["accuracy"] == trained.evaluation.accuracy
    assert json.loads((trained.folder / "audit.json").read_text()) == trained.audit.as_dict()
    assert len((trained.folder / "split.csv").read_text().splitlines()) == 1 + len(trained.audit.usable)
    page = (trained.folder / "report.html").read_text("utf-8")
    assert f"{100 * trained.evaluation.accuracy:.1f}" in page
    assert "<script src" not in page and 'src="http' not in page and "<link" not in page


def test_it_learnt(trained: Run) -> None:
    assert trained.evaluation.part == "val" and trained.evaluation.total == 16
    assert trained.evaluation.accuracy >= 0.75


def test_the_model_file_says_where_it_comes_from(trained: Run) -> None:
    model = read(trained.folder / "model.safetensors")
    assert model.strategy == "features" and model.training["seed"] == 0 and model.training["images"] == 40
    assert model.metrics["accuracy"] == trained.evaluation.accuracy and model.metrics["precision"] == "float32"
    assert {"python", "striate", "torch", "openvino"} <= model.versions.keys()
    assert json.dumps(trained.as_dict(), allow_nan=False)


def test_evaluate_gives_trains_accuracy(trained: Run, photos: Path) -> None:
    done = evaluate(trained.folder, photos)
    assert done.evaluation.part == "val"
    assert (done.evaluation.correct, done.evaluation.total) == (trained.evaluation.correct, trained.evaluation.total)
    assert np.array_equal(done.evaluation.confusion, trained.evaluation.confusion)
    assert np.allclose(done.evaluation.predictions, trained.evaluation.predictions, atol=1e-4)


def test_the_run_and_its_file_predict_the_same(trained: Run, photos: Path) -> None:
    paths = sorted((photos / "val").rglob("*.jpg"))[:4]
    one = trained.predictor.predict(paths)
    two = load(trained.folder / "model.safetensors").predict(paths)
    assert [answer.label for answer in one] == [answer.label for answer in two]
    assert all(np.array_equal(a.probabilities, b.probabilities) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("run", ["trained", "scratch"])
def test_the_recipe_runs_again_to_the_same(run: str, request: pytest.FixtureRequest, tmp_path: Path, cli) -> None:
    first = request.getfixturevalue(run)
    code, out, err = cli("train", "--recipe", first.folder / "recipe.toml", "--out", tmp_path / "again", "--json")
    assert code == 0, err
    assert json.loads(out)["accuracy"] == first.evaluation.accuracy
    again = read(tmp_path / "again" / "model.safetensors")
    assert again.tensors.keys() == first.model.tensors.keys()
    for name, tensor in again.tensors.items():
        assert np.array_equal(tensor, first.model.tensors[name]), name
    for name in ("recipe.toml", "audit.json", "split.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (first.folder / name).read_bytes()


def test_the_recipe_runs_from_anywhere(
    photos: Path, tmp_path: Path, trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    train(photos.name, out=tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    again = train(out=tmp_path / "two", recipe=Recipe.from_file(tmp_path / "one" / "recipe.toml"))
    assert again.evaluation.accuracy == trained.evaluation.accuracy


def test_another_seed_is_another_split(photos: Path, tmp_path: Path, trained: Run) -> None:
    runs = [
        train(photos / "train", out=tmp_path / str(seed), seed=seed)
        for seed in (1, 1, 2)
        if not (tmp_path / str(seed)).exists()
    ]
    splits = [(run.folder / "split.csv").read_text() for run in runs]
    assert len(splits) == 2 and splits[0] != splits[1]
    assert all(run.evaluation.total == 8 for run in runs)


def test_leaks_are_scored_with_and_without(photos: Path, tmp_path: Path, trained: Run, cli) -> None:
    root = tmp_path / "leaky"
    shutil.copytree(photos, root)
    name = trained.model.classes[0]
    for path in sorted((root / "train" / name).iterdir())[:2]:
        shutil.copy(path, root / "val" / name / f"leaked-{path.name}")
    code, out, err = cli("train", root, "--out", tmp_path / "run")
    assert (
        code == 0
        and "Without the 2 held-out images that are also in training:" in out
        and "Train/test leakage: exact duplicates: 4 files, " in err
    )
    log = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert (log["leaks"], log["total"], log["total_without_leaks"]) == (2, 18, 16)


# Scratch


def test_a_net_learns_from_scratch(scratch: Run) -> None:
    assert scratch.model.strategy == "scratch" and scratch.evaluation.total == 32
    assert scratch.evaluation.accuracy >= 0.9
    events = [json.loads(line) for line in (scratch.folder / "log.jsonl").read_text().splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "epoch"]
    assert len(losses) == 6 and losses[-1] < losses[0]


def test_a_net_from_scratch_evaluates_and_predicts(scratch: Run, digits: Path, tmp_path: Path) -> None:
    whole = evaluate(scratch.folder, digits)
    assert whole.evaluation.total == 160 and whole.evaluation.accuracy >= 0.9
    with np.load(digits) as arrays:
        image, label = arrays["x"][3], str(arrays["y"][3])
    Image.fromarray(image).save(tmp_path / "one.png")
    by_file, by_array = load(scratch.folder).predict([tmp_path / "one.png", image])
    assert by_file.label == label and np.array_equal(by_file.probabilities, by_array.probabilities)


# Refusals and failures


def test_an_output_folder_in_use_is_left_alone(trained: Run, photos: Path, cli) -> None:
    before = listing(trained.folder)
    code, out, err = cli("train", photos, "--out", trained.folder)
    assert code == 2 and out == "" and "is in use (7 entries" in err.splitlines()[-1]
    assert listing(trained.folder) == before


def test_an_output_that_is_a_file_or_below_one(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RequestError, match="is a file"):
        train(photos, out=tmp_path / "file")
    with pytest.raises(WorkError, match="cannot make the output folder"):
        train(photos, out=tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_output_folder_is_fine_and_kept_when_the_run_fails(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    one_class(tmp_path / "set")
    with pytest.raises(RequestError, match="has one class"):
        train(tmp_path / "set", out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def one_class(root: Path) -> Path:
    for number in range(3):
        path = root / "only" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((50, 50, 3), 10 * number, np.uint8)).save(path)
    return root


@pytest.mark.parametrize("out", ["run", "deep/er/run", None])
def test_a_failed_run_leaves_nothing(out: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_class(tmp_path / "set")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="has one class, 'only'"):
        train("set", out=out)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_one_line_and_leaves_nothing(
    photos: Path, trained: Run, tmp_path: Path, cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if ".model.safetensors." in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(storage.os, "fsync", fsync)
    code, out, err = cli("train", photos, "--out", tmp_path / "run")
    assert code == 1 and out == ""
    last = err.splitlines()[-1]
    assert last == f"striate: could not write {str(tmp_path / 'run' / 'model.safetensors')!r}: No space left on device"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"net": "resnet21"}, "resnet20"), ({"net": "resnet20", "strategy": "features"}, "efficientnet_lite0"),
        ({"strategy": "feature"}, "features"), ({"epochs": -1}, "1 to 100000"), ({"seed": 2**31}, "seed takes"),
    ],
)  # fmt: skip
def test_wrong_requests_are_refused_before_anything_is_made(
    changes: dict, words: str, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match=words):
        train(photos, out=tmp_path / "run", **changes)
    assert list(tmp_path.iterdir()) == []


def test_train_without_data_does_not_take_the_current_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    with pytest.raises(RequestError, match="no data was given"):
        train()


def test_the_next_free_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert next_free("a b/ç") == Path("runs/a-b-ç")
    for name in ("..", "", "///", "\n"):
        assert next_free(name) == Path("runs/run")
    Path("runs/x").mkdir(parents=True)
    Path("runs/x-2").mkdir()
    assert next_free("x") == Path("runs/x-3")


# A dirty folder


def plant(root: Path) -> dict[str, str]:
    """Plant every kind of fault; returns where each should be told: path -> finding."""
    one, two = (path for path in sorted(root.iterdir()) if path.is_dir())
    good = sorted(one.glob("*.jpg"))
    images = [Image.open(path).convert("RGB").resize((120, 90)) for path in good[:8]]
    exif = Image.Exif()
    exif[0x0112] = 3
    content = good[0].read_bytes()
    (one / "zero.jpg").write_bytes(b"")
    (one / "cut.jpg").write_bytes(content[: len(content) // 2])
    (one / "text.jpg").write_text("not an image")
    (two / "bomb.png").write_bytes(bomb())
    (two / "notes.txt").write_text("notes")
    (two / "._x.jpg").write_bytes(b"\0")
    (one / "Thumbs.db").write_bytes(b"\0")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "x.jpg").write_bytes(content)
    (root / ".cache").mkdir()
    (root / "loose.jpg").write_bytes(content)
    (root / "empty").mkdir()
    (two / "broken.jpg").symlink_to(root / "nowhere.jpg")
    with open(one / "gif.jpg", "wb") as file:
        images[0].save(file, "GIF")
    shutil.copy(good[1], one / "twin of 1.jpg")
    shutil.copy(good[2], two / "wrong label.jpg")
    images[3].convert("CMYK").save(one / "cmyk.jpg")
    images[4].convert("L").save(one / "grey.png")
    images[5].convert("RGBA").save(two / "clear.png")
    images[6].save(two / "turned.jpg", exif=exif)
    images[7].quantize(16).save(two / "palette.png")
    Image.fromarray(np.asarray(images[2].convert("L"), np.uint16) * 257).save(two / "deep.png")
    frames = images[:3]
    frames[0].save(two / "moving.gif", save_all=True, append_images=frames[1:])
    (root / "single").mkdir()
    images[1].save(root / "single" / "accent é\nnewline.png")
    a, b = one.name, two.name
    return {
        f"{a}/zero.jpg": "empty", f"{a}/cut.jpg": "truncated", f"{a}/text.jpg": "not-an-image", f"{b}/bomb.png": "bomb",
        f"{b}/notes.txt": "other-file", f"{b}/._x.jpg": "hidden", f"{a}/Thumbs.db": "junk", "__MACOSX": "junk",
        ".cache": "hidden", "loose.jpg": "no-class", "empty": "empty-class", f"{b}/broken.jpg": "unreadable",
        f"{a}/gif.jpg": "mistyped", f"{a}/twin of 1.jpg": "duplicate",
        f"{b}/wrong label.jpg": "contradiction",
        f"{a}/cmyk.jpg": "cmyk", f"{a}/grey.png": "grey", f"{b}/clear.png": "alpha", f"{b}/turned.jpg": "exif-rotated",
        f"{b}/palette.png": "palette", f"{b}/deep.png": "16-bit", f"{b}/moving.gif": "animated",
        "single/accent é\nnewline.png": "tiny-class",
    }  # fmt: skip


def bomb() -> bytes:
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )


def test_a_dirty_folder_trains_and_every_fault_is_told(photos: Path, trained: Run, tmp_path: Path, cli) -> None:
    root = tmp_path / "dirty"
    shutil.copytree(photos / "train", root)
    planted = plant(root)
    code, out, err = cli("train", root, "--out", tmp_path / "run")
    assert code == 0, err
    facts = json.loads((tmp_path / "run" / "audit.json").read_text())
    told = {(entry["kind"], path) for entry in facts["findings"] for path in entry["paths"]}
    missing = {(kind, path) for path, kind in planted.items()} - told
    assert not missing, f"not in audit.json: {missing}"
    import html

    page = html.unescape((tmp_path / "run" / "report.html").read_text("utf-8"))
    shown = {path: path.split("\n")[-1] for path in planted}
    assert [path for path, part in shown.items() if part not in page] == []
    assert len(facts["set_aside"]) == 12
    last = out.splitlines()[-1]
    assert (
        last.startswith("Set aside: ") and sum(int(word) for word in last.split("(")[0].split() if word.isdigit()) == 12
    )
    findings = err.splitlines()[-10:]
    assert findings[-1].endswith("more kinds of findings: see the report")
    assert any(line.startswith("Exact duplicates: ") for line in findings)
    assert (tmp_path / "run" / "split.csv").read_text("utf-8").count("set aside") == 12
    assert audit(root).as_dict() == facts


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_names_that_are_no_text_train_and_run_again(photos: Path, trained: Run, tmp_path: Path, cli) -> None:
    root = tmp_path / os.fsdecode(b"caf\xe9 \xf0\x9f\x90\x9d")
    shutil.copytree(photos, root)
    for part in ("train", "val"):
        (root / part / trained.model.classes[0]).rename(root / part / os.fsdecode(b"abeille\xe9"))
    code, out, err = cli("train", root, "--out", root.parent / os.fsdecode(b"run\xe9"))
    assert code == 0, err
    run = root.parent / os.fsdecode(b"run\xe9")
    assert sorted(path.name for path in run.iterdir()) == LEFT
    assert "Accuracy" in out
    code, out, err = cli("train", "--recipe", run / "recipe.toml", "--out", tmp_path / "again", "--json")
    assert code == 0, err
    again = json.loads(out)
    assert "abeille\\udce9" in again["classes"] and again["accuracy"] == trained.evaluation.accuracy
    code, out, err = cli("predict", run, next((root / "val").rglob("*.jpg")))
    assert code == 0, err
    assert cli("evaluate", run, root)[0] == 0


def test_a_cache_that_cannot_be_written_costs_time_and_no_work(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file where the cache folder should be")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    said: list[str] = []

    class Listening(Progress):
        def say(self, line: str) -> None:
            said.append(line)

    run = train(photos, out=tmp_path / "run", progress=Listening())
    assert run.evaluation.total and (run.folder / "model.safetensors").is_file()
    assert sum("repeats that work" in line for line in said) == 2  # features and records
