"""`striate compare`: finished runs side by side, a winner only where they were evaluated on the same images."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import html
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawings import blocks, csv_manifest, draw, strict_json

from striate import Recipe, RequestError, train
from striate.jobs.compare import compare, summary
from striate.jobs.run import Run
from striate.model import read, write

QUICK = Recipe().updated(
    {
        "strategy": "scratch",
        "net.name": "lenet5_plain",
        "train.epochs": 2,
        "train.batch": 16,
        "inference.engine": "torch",
        "augment": {"preset": "none"},
    }
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Runs on two easy classes: untaught, taught, taught on another split, in folds, and one of numbers."""
    root = tmp_path_factory.mktemp("runs")
    data = blocks(root / "set", {"low": 40, "high": 40})
    made = draw(root / "drawings", 30)
    sides = csv_manifest(root / "side.csv", ("path", "number:side"), [(f"drawings/{d.path}", d.side) for d in made])
    changes: dict[str, dict[str, object]] = {
        "untaught": {"train.epochs": 1, "optimizer.lr": 1e-9},
        "taught": {"train.epochs": 12},
        "elsewhere": {"train.epochs": 12, "seed": 1},
        "folds": {"data.folds": 2},
        "same folds": {"data.folds": 2, "optimizer.momentum": 0.8},
        "again": {"data.split": str(root / "taught" / "split.csv"), "seed": 5},
    }
    found = {name: train(data, out=root / name, recipe=QUICK.updated(values)) for name, values in changes.items()}
    more = blocks(root / "more", {"low": 40, "high": 42}, seed=1)
    found["other folds"] = train(more, out=root / "other folds", recipe=QUICK.updated({"data.folds": 2}))
    return {**found, "number": train(sides, out=root / "number", recipe=QUICK)}


def test_page_text_and_json(runs: dict[str, Run], tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    one, two = runs["untaught"], runs["taught"]
    assert two.evaluation.score - one.evaluation.score > 0.3
    code, out, err = cli("compare", one.folder, two.folder, "--out", tmp_path / "c.html")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["run", "accuracy", "95", "%", "images", "time", "model"]
    assert f"{100 * two.evaluation.score:.1f}" in lines[2] and "16" in lines[2].split()
    assert f"{two.folder} is best." in out
    assert "Warning" not in out
    assert "  train.epochs: 1 | 12" in out and "  optimizer.lr: " in out and "  seed:" not in out
    assert lines[-1] == f"Page {tmp_path / 'c.html'}"
    page = html.unescape((tmp_path / "c.html").read_text("utf-8"))
    assert f"{two.folder} is best" in page and str(one.folder) in page and "<script" not in page
    code, out, _ = cli("compare", one.folder, two.folder, "--out", tmp_path / "c.html", "--json")
    told = strict_json(out)
    assert code == 0 and told["page"] == str(tmp_path / "c.html")
    assert [row["name"] for row in told["runs"]] == [str(one.folder), str(two.folder)]
    assert told["runs"][1]["score"] == two.evaluation.score
    assert told["runs"][1]["interval"] == list(two.evaluation.interval)
    assert len(told["runs"][1]["curve"]) == 12


def test_what_a_run_says_of_itself(runs: dict[str, Run]) -> None:
    run = runs["taught"]
    told = summary(run.folder)
    assert (told.net, told.strategy, told.task, told.images) == ("lenet5_plain", "scratch", "classification", 16)
    assert told.score == run.evaluation.score and told.recalls == run.evaluation.recalls  # type: ignore[attr-defined]
    assert told.megabytes == pytest.approx((run.folder / "model.safetensors").stat().st_size / 1e6)
    assert told.seconds == run.metrics["seconds"]
    assert told.metrics["balanced accuracy"] == run.metrics["balanced_accuracy"]
    assert [row["epoch"] for row in told.curve] == list(range(1, 13))
    assert told.curve == tuple({**row, "epoch": float(row["epoch"])} for row in told.curve)


def test_parameters_are_those_of_the_catalogue(runs: dict[str, Run]) -> None:
    from striate import create

    net = create("lenet5_plain", classes=2, in_channels=1, input_size=(32, 32))
    assert summary(runs["taught"].folder).parameters == sum(weights.numel() for weights in net.parameters())


def test_the_same_images_are_known_again_and_others_are_warned_of(runs: dict[str, Run], tmp_path: Path) -> None:
    def told(*names: str) -> str:
        return compare([runs[name].folder for name in names], out=tmp_path / "c.html").text

    other = "Warning: These runs were not evaluated on the same images: their scores cannot be compared."
    assert "Warning" not in told("untaught", "taught")
    assert "Warning" not in told("taught", "again")  # another seed, and the split of the first
    assert other in told("taught", "elsewhere")
    assert "No comparison." in told("taught", "elsewhere")
    assert "not evaluated on the same images" in (tmp_path / "c.html").read_text("utf-8")
    assert "Warning" not in told("folds", "same folds")
    text = told("folds", "taught")
    assert "Warning: These runs were evaluated on different images: they are compared on the 16" in text
    assert "on common images" in text and "No comparison" not in text
    assert "Score on the 16 common images" in (tmp_path / "c.html").read_text("utf-8")


def test_other_tasks_do_not_compare(runs: dict[str, Run], tmp_path: Path) -> None:
    text = compare([runs["taught"].folder, runs["number"].folder], out=tmp_path / "c.html").text
    assert "have different metrics (accuracy, mean absolute error), which cannot be compared" in text
    assert "is best" not in text
    assert summary(runs["number"].folder).score == runs["number"].evaluation.score


def test_what_is_no_run_is_one_line(runs: dict[str, Run], tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    good = runs["taught"].folder
    (tmp_path / "empty").mkdir()
    for wrong in (tmp_path / "empty", tmp_path / "nothing", good / "model.safetensors"):
        code, out, err = cli("compare", good, wrong, "--out", tmp_path / "c.html")
        assert (code, out) == (2, "")
        assert err == f"striate: {str(wrong)!r} is not a run folder: it has no model.safetensors\n"
    code, _, err = cli("compare", good, "--out", tmp_path / "c.html")
    assert (code, err) == (2, "striate: a comparison needs two runs or more, not 1\n")
    assert not (tmp_path / "c.html").exists()
    half = tmp_path / "half"
    shutil.copytree(good, half)
    (half / "log.jsonl").unlink()
    with pytest.raises(RequestError, match=r"cannot read the run's '.*log\.jsonl': No such file"):
        compare([good, half], out=tmp_path / "c.html")


def test_a_log_that_was_cut_off_is_read_as_far_as_it_goes(runs: dict[str, Run], tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(runs["taught"].folder, half)
    lines = (half / "log.jsonl").read_text().splitlines()
    (half / "log.jsonl").write_text("\n".join(lines[:6]) + "\n" + lines[6][:20] + "\n[1, 2]\n7")
    told = summary(half)
    assert told.seconds is None and len(told.curve) == 5
    (half / "split.csv").unlink()
    assert summary(half).held_out == ""
    assert "half are not recorded" in compare([runs["taught"].folder, half], out=tmp_path / "c.html").text


def test_a_page_that_cannot_be_written_is_one_line(runs: dict[str, Run], tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_text("")
    folders = [runs[name].folder for name in ("untaught", "taught")]
    code, _, err = cli("compare", *folders, "--out", tmp_path / "file" / "c.html")
    assert code == 1 and err.startswith("striate: could not write ") and err.count("\n") == 1


VALUES: list[Any] = [None, 10**400, "x", [[]], {"a": 1}, float("nan")]


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a JSON value holds others, at most two of each list."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for name, one in inner:
        yield (*above, name)
        yield from places(one, (*above, name))


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copied = copy.copy(value)
    copied[place[0]] = changed(copied[place[0]], place[1:], new)
    return copied


def test_figures_of_other_types_are_left_out_or_one_error(runs: dict[str, Run], tmp_path: Path) -> None:
    good, odd = runs["taught"].folder, tmp_path / "odd"
    shutil.copytree(good, odd)
    model = read(odd / "model.safetensors")
    for place in places(model.metrics):
        for value in VALUES:
            write(odd / "model.safetensors", dataclasses.replace(model, metrics=changed(model.metrics, place, value)))
            with contextlib.suppress(RequestError):
                compare([good, odd], out=tmp_path / "c.html")
    write(odd / "model.safetensors", model)
    lines = [json.loads(line) for line in (odd / "log.jsonl").read_text("utf-8").splitlines()]
    for number in (0, 1, len(lines) - 1):
        for place in [(number, *place) for place in places(lines[number])]:
            for value in VALUES:
                text = "".join(json.dumps(line) + "\n" for line in changed(lines, place, value))
                (odd / "log.jsonl").write_text(text, "utf-8")
                with contextlib.suppress(RequestError):
                    compare([good, odd], out=tmp_path / "c.html")
    assert (tmp_path / "c.html").read_text("utf-8").startswith("<!")
