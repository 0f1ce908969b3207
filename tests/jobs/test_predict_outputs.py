"""What predict writes: a table of all files, and folders of images sorted by class."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawings import csv_manifest, draw

from striate import Recipe, RequestError, WorkError, train
from striate.inference.predictor import OUT_OF_DISTRIBUTION, Prediction
from striate.jobs import sorting as module
from striate.jobs.predict import predict
from striate.jobs.prediction_table import predictions_csv
from striate.jobs.run import Run
from striate.jobs.sorting import Sorting, folder_names, planned
from striate.tasks import Classification, Multilabel


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def inbox(photos: Path, tmp_path: Path) -> Path:
    """Eight images in two folders, with the same four names in both."""
    for name in ("ants", "bees"):
        (tmp_path / "inbox" / name).mkdir(parents=True)
        for place, file in enumerate(sorted((photos / "val" / name).iterdir())[:4]):
            shutil.copyfile(file, tmp_path / "inbox" / name / f"{place}.jpg")
    return tmp_path / "inbox"


def answer(task: Classification, source: str, *shares: float, in_distribution: bool | None = None) -> Prediction:
    distance = None if in_distribution is None else 0.5
    return Prediction(source, task.answer(np.array(shares, np.float32)), distance, in_distribution)


# The table


def test_the_table_has_a_row_for_each_file(trained: Run, inbox: Path, tmp_path: Path, cli) -> None:
    (inbox / "broken.jpg").write_bytes(b"words")
    code, out, _ = cli("predict", trained.folder, inbox, "--csv", tmp_path / "out.csv")
    assert code == 1 and out.splitlines()[0] == f"Table  {tmp_path / 'out.csv'}: 8 predictions"
    found = rows(tmp_path / "out.csv")
    assert list(found[0]) == ["path", "class", "probability", "probability of ants", "probability of bees", "error"]
    done = predict(trained.folder, [inbox])
    assert [row["path"] for row in found] == [one.source for one in done.predictions] + [str(inbox / "broken.jpg")]
    for row, one in zip(found, done.predictions, strict=False):
        assert row["class"] == one.label and float(row["probability"]) == pytest.approx(one.confidence, abs=1e-4)
        assert float(row["probability of bees"]) == pytest.approx(one.probabilities[1], abs=1e-4) and not row["error"]
    assert found[-1]["class"] == found[-1]["probability"] == "" and "no known image format" in found[-1]["error"]


def test_names_with_commas_and_line_breaks_stay_apart_in_the_table() -> None:
    task = Classification(("a, b", 'c\n"d"'))
    text = predictions_csv([answer(task, "x\ny.jpg", 0.25, 0.75)], [("z.jpg", "why")], task)
    found = list(csv.reader(text.splitlines(keepends=True)))
    assert found == [
        ["path", "class", "probability", "probability of a, b", 'probability of c\n"d"', "error"],
        ["x\ny.jpg", 'c\n"d"', "0.75", "0.25", "0.75", ""],
        ["z.jpg", "", "", "", "", "why"],
    ]


def test_labels_are_separated_by_bars_and_none_is_empty() -> None:
    task = Multilabel(("left", "top"))
    predictions = [
        Prediction(f"{n}.jpg", task.answer(np.array(shares, np.float32)))
        for n, shares in enumerate([(0.9, 0.8), (0.1, 0.2)])
    ]
    found = list(csv.DictReader(predictions_csv(predictions, [], task).splitlines()))
    assert [row["labels"] for row in found] == ["left|top", ""]
    assert [row["probability of top"] for row in found] == ["0.8", "0.2"]


def test_a_detector_adds_its_columns_and_a_thousand_classes_add_none() -> None:
    task = Classification(tuple(f"class {n}" for n in range(101)))
    shares = np.full(101, 0.01)
    found = list(csv.DictReader(predictions_csv([answer(task, "a", *shares, in_distribution=False)], [], task).split()))
    assert list(found[0]) == ["path", "class", "probability", "in_distribution", "distance", "error"]


# Sorting


@pytest.mark.parametrize("link", [False, True], ids=["copies", "links"])
def test_images_are_sorted_by_class(link: bool, trained: Run, inbox: Path, tmp_path: Path, cli) -> None:
    os.utime(inbox / "ants" / "0.jpg", (1_000_000_000, 1_000_000_000))
    options = ["--link"] if link else []
    code, out, _ = cli("predict", trained.folder, inbox, "--sort-into", tmp_path / "sorted", "--json", *options)
    answered = json.loads(out)["predictions"]
    assert code == 0 and len(answered) == 8
    targets = [Path(row["sorted_to"]) for row in answered]
    assert len(set(targets)) == 8 and set(targets) == set((tmp_path / "sorted").rglob("*.jpg"))
    for row, target in zip(answered, targets, strict=True):
        assert target.parent == tmp_path / "sorted" / row["label"]
        assert target.read_bytes() == Path(row["file"]).read_bytes()
        assert target.samefile(row["file"]) is link
        assert target.stat().st_mtime == Path(row["file"]).stat().st_mtime
    assert not [path for path in (tmp_path / "sorted").rglob("*") if path.name.startswith(".")]
    assert len(list(inbox.rglob("*.jpg"))) == 8


def test_the_text_counts_the_images_of_each_folder(trained: Run, inbox: Path, tmp_path: Path, cli) -> None:
    target = tmp_path / "sorted"
    code, out, _ = cli(
        "predict", trained.folder, inbox, "--sort-into", target, "--unsure", 1, "--csv", target / "t.csv"
    )
    assert code == 0
    assert out.splitlines() == [
        f"Sorted 8 images into {target}: 8 unsure", f"Table  {target / 't.csv'}: 8 predictions",
    ]  # fmt: skip
    assert [Path(row["sorted_to"]).parent.name for row in rows(target / "t.csv")] == ["unsure"] * 8


def test_links_across_file_systems_are_symbolic(
    trained: Run, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(module.Path, "hardlink_to", refused)
    monkeypatch.chdir(tmp_path)
    done = predict(trained.folder, ["inbox/ants"], sort_into="sorted", link=True)
    assert done.sorted_to.keys() == {f"inbox/ants/{n}.jpg" for n in range(4)}
    for source, target in done.sorted_to.items():
        assert target.is_symlink() and target.samefile(tmp_path / source)


def test_equal_names_get_a_number_and_a_file_given_twice_is_sorted_once() -> None:
    task = Classification(("a", "b"))
    sources = ["x/1.jpg", "y/1.jpg", "x/1.jpg", "z/1.JPG", "z/1-2.jpg", "y/2.jpg", "x/none", "y/none"]
    predictions = [answer(task, source, 1, 0) for source in sources] + [answer(task, "w/1.jpg", 0, 1)]
    assert planned(predictions, Sorting(Path("out")), task) == {
        "x/1.jpg": "a/1.jpg", "y/1.jpg": "a/1-2.jpg", "z/1.JPG": "a/1-3.JPG", "z/1-2.jpg": "a/1-2-2.jpg",
        "y/2.jpg": "a/2.jpg", "x/none": "a/none", "y/none": "a/none-2", "w/1.jpg": "b/1.jpg",
    }  # fmt: skip


def test_a_name_that_gets_a_number_still_fits_the_file_system(tmp_path: Path) -> None:
    task = Classification(("a", "b"))
    names = ["x" * 251 + ".jpg", "ü" * 125 + "y.jpg", "x." + "y" * 253, "z" * 255]
    sources = [f"{place}/{name}" for name in names for place in "123"]
    found = planned([answer(task, source, 1, 0) for source in sources], Sorting(tmp_path), task)
    assert found[f"2/{names[0]}"] == f"a/{'x' * 249}-2.jpg" and found[f"3/{names[1]}"] == f"a/{'ü' * 124}-3.jpg"
    assert found[f"2/{names[2]}"] == f"a/x.{'y' * 251}-2" and found[f"3/{names[3]}"] == f"a/{'z' * 253}-3"
    (tmp_path / "a").mkdir()
    for place in found.values():
        (tmp_path / place).touch()
    assert len(list((tmp_path / "a").iterdir())) == len(sources)


def test_unsure_images_and_those_out_of_distribution_have_folders_of_their_own() -> None:
    task = Classification(("unsure", "sure"))
    predictions = [
        answer(task, "a", 0.9, 0.1), answer(task, "b", 0.5, 0.5), answer(task, "c", 0.1, 0.9, in_distribution=True),
        answer(task, "d", 0.1, 0.9, in_distribution=False),
    ]  # fmt: skip
    assert planned(predictions, Sorting(Path("out"), unsure=0.8), task) == {
        "a": "unsure-2/a", "b": "unsure/b", "c": "sure/c", "d": f"{OUT_OF_DISTRIBUTION}/d",
    }  # fmt: skip
    assert planned(predictions[:2], Sorting(Path("out")), task)["b"] == "unsure/b"  # the class


def test_the_folders_names_do_not_depend_on_the_images() -> None:
    task = Classification(("unsure", OUT_OF_DISTRIBUTION))
    sure = [answer(task, "a", 1, 0, in_distribution=True), answer(task, "b", 0, 1, in_distribution=True)]
    assert planned(sure, Sorting(Path("out"), unsure=0.5), task) == {
        "a": "unsure-2/a", "b": f"{OUT_OF_DISTRIBUTION}-2/b",
    }  # fmt: skip


def test_class_names_become_folder_names_of_every_file_system() -> None:
    names = [
        "ants",
        "a/b",
        "a\\b",
        "..",
        "",
        " x. ",
        "CON",
        "com1.old",
        "@eaDir",
        ".git",
        "two\nlines",
        "Ants",
        "\udcff",
    ]
    found = folder_names(names)
    assert found == {
        "ants": "ants", "a/b": "a_b", "a\\b": "a_b-2", "..": "_", "": "_-2", " x. ": "x", "CON": "_CON",
        "com1.old": "_com1.old", "@eaDir": "_@eaDir", ".git": "_.git", "two\nlines": "two_lines", "Ants": "Ants-2",
        "\udcff": "_-3",
    }  # fmt: skip
    long = folder_names(["ü" * 300, "ü" * 299 + "v"])
    assert len(set(long.values())) == 2 and all(len(name.encode()) <= 255 for name in long.values())


# Refused before any work


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--unsure", "0.8"], "give a folder to sort them into"),
        (["--link"], "give a folder to sort them into"),
        (["--sort-into", "new", "--unsure", "80"], "probability from 0 to 1, not 80"),
        (["--sort-into", "new", "--unsure", "nan"], "probability from 0 to 1, not nan"),
        (["--sort-into", "inbox"], "is not empty (2 entries, e.g. 'ants')"),
        (["--sort-into", "inbox/ants/0.jpg"], "is a file"),
        (["--csv", "inbox/ants/0.jpg"], "is an input"),
        (["--csv", "inbox"], "is a folder"),
        (["--csv", "RUN/model.safetensors"], "belongs to the run"),
        (["--sort-into", "inbox/new"], "is inside 'inbox', which is predicted"),
        (["--sort-into", "new", "--csv", "new"], "cannot be both the table and a folder"),
        (["--sort-into", "new/deep", "--csv", "new"], "cannot be both the table and a folder"),
        (["--sort-into", "new", "--csv", "new/Ants"], "among the sorted images of a class"),
        (["--sort-into", "new", "--csv", "new/ants/0.jpg"], "among the sorted images of a class"),
        (["--sort-into", "new", "--unsure", "1", "--csv", "new/x/../unsure/t.csv"], "among the sorted images"),
        (["--csv", ""], "the path of the table (--csv) is empty"),
        (["--sort-into", ""], "the path of the folder to sort into (--sort-into) is empty"),
        ([""], "the path of an image file or folder is empty"),
        (["--csv", "/dev/null"], "is not replaced"),
        (["--csv", "/dev/stdout"], "is not replaced"),
    ],
    ids=[
        "unsure-alone",
        "link-alone",
        "per-cent",
        "nan",
        "full",
        "file",
        "input",
        "folder",
        "model",
        "inside",
        "same",
        "above",
        "class-folder",
        "sorted-file",
        "unsure-folder",
        "no-table",
        "no-folder",
        "no-image",
        "device",
        "stdout",
    ],
)
def test_outputs_that_cannot_be_are_refused_in_one_line(
    options: list[str], words: str, trained: Run, inbox: Path, monkeypatch: pytest.MonkeyPatch, cli
) -> None:
    monkeypatch.chdir(inbox.parent)
    before = {path: path.stat().st_mtime_ns for path in sorted(inbox.parent.rglob("*"))}
    options = [option.replace("RUN", str(trained.folder)) for option in options]
    code, out, err = cli("predict", trained.folder, "inbox", *options)
    assert (code, out) == (2, "") and words in err and len(err.splitlines()) == 1
    assert {path: path.stat().st_mtime_ns for path in sorted(inbox.parent.rglob("*"))} == before


@pytest.mark.skipif(os.name != "posix", reason="POSIX has named pipes")
@pytest.mark.parametrize("verb", ["predict", "audit"])
def test_a_pipe_named_as_output_stays_one(verb: str, trained: Run, inbox: Path, tmp_path: Path, cli) -> None:
    os.mkfifo(tmp_path / "pipe")
    words = {"predict": ("predict", trained.folder, inbox, "--csv"), "audit": ("audit", inbox, "--html")}[verb]
    code, out, err = cli(*words, tmp_path / "pipe")
    assert (code, out) == (2, "") and "is a named pipe, and is not replaced" in err and len(err.splitlines()) == 1
    assert (tmp_path / "pipe").is_fifo()


def test_a_folder_with_a_systems_files_counts_as_empty(trained: Run, inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "sorted").mkdir()
    (tmp_path / "sorted" / ".DS_Store").write_bytes(b"")
    assert len(predict(trained.folder, [inbox], sort_into=tmp_path / "sorted").sorted_to) == 8


def test_what_is_no_class_is_not_sorted(tmp_path: Path) -> None:
    made = draw(tmp_path / "set", 40)
    recipe = Recipe().updated({"strategy": "features", "inference.engine": "openvino"})
    table = csv_manifest(tmp_path / "set" / "side.csv", ("path", "number:side"), [(one.path, one.side) for one in made])
    run = train(table, out=tmp_path / "run", recipe=recipe)
    image = tmp_path / "set" / made[0].path
    with pytest.raises(RequestError, match=r"the model's task is regression: a table \(--csv\) has its numbers"):
        predict(run.folder, [image], sort_into=tmp_path / "sorted")
    done = predict(run.folder, [image], csv=tmp_path / "out.csv")
    (row,) = rows(tmp_path / "out.csv")
    assert list(row) == ["path", "value", "error"] and row["value"] == done.predictions[0].label


def test_a_copy_that_fails_names_the_image_and_leaves_no_half(
    trained: Run, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfile", full)
    with pytest.raises(WorkError, match=r"could not sort '.*0\.jpg' into '.*': No space left on device"):
        predict(trained.folder, [inbox], sort_into=tmp_path / "sorted")
    assert [path for path in (tmp_path / "sorted").rglob("*") if path.is_file()] == []
