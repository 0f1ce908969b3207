"""From a dirty folder to decisions: the page and the fix list of an audit, and training that honours them."""

from __future__ import annotations

import contextlib
import csv
import html
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from drawings import Listening, csv_manifest, draw, json_manifest
from PIL import Image
from scenes import scene

from striate import Recipe, RequestError, audit, train
from striate.data.audit.decisions import apply_decisions, read_decisions
from striate.data.opening import open_source
from striate.jobs.run import Run

QUICK = Recipe().updated(
    {
        "strategy": "scratch",
        "net.name": "lenet5_plain",
        "train.epochs": 1,
        "inference.engine": "torch",
        "augment": {"preset": "none"},
    }
)


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ of two classes, with every kind of twin, a blank image and a broken one."""
    root = tmp_path_factory.mktemp("dirty") / "set"
    for part, count in (("train", 14), ("val", 5)):
        for kind, name in enumerate(("discs", "bars")):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                seed = number + (100 if part == "val" else 0)
                scene(kind, seed).save(root / part / name / f"{number:02d}.jpg", quality=90)
    train_set = root / "train"
    shutil.copyfile(train_set / "discs" / "03.jpg", train_set / "discs" / "copy of 03.jpg")  # safe to drop
    shutil.copyfile(train_set / "discs" / "04.jpg", train_set / "bars" / "04 wrong.jpg")
    shutil.copyfile(train_set / "discs" / "04.jpg", train_set / "discs" / "04 again.jpg")
    shutil.copyfile(root / "val" / "bars" / "01.jpg", train_set / "bars" / "leak.jpg")
    Image.open(train_set / "bars" / "06.jpg").save(train_set / "bars" / "06 saved again.jpg", quality=60)
    Image.new("RGB", (96, 80), (90, 90, 90)).save(train_set / "bars" / "blank.png")
    (train_set / "bars" / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    return root


@pytest.fixture(scope="module")
def fixes(dirty: Path) -> Path:
    audit(dirty, html=dirty.parent / "audit.html", fix_list=dirty.parent / "decisions.csv")
    return dirty.parent / "decisions.csv"


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_holds_the_findings(dirty: Path, fixes: Path) -> None:
    page = html.unescape((dirty.parent / "audit.html").read_text("utf-8"))
    for name in ("copy of 03.jpg", "04 wrong.jpg", "leak.jpg", "06 saved again.jpg", "blank.png", "broken.jpg"):
        assert name in page, name
    found = audit(dirty)
    assert {"contradiction", "leak", "duplicate", "near-duplicate", "blank"} <= {one.kind for one in found.findings}
    assert 'src="http' not in page and "<link" not in page
    assert page.count("data:image/") >= 8


def test_only_what_can_do_no_harm_is_decided_beforehand(fixes: Path) -> None:
    rows = {row["path"]: row for row in table(fixes)}
    decided = {path: row["decision"] for path, row in rows.items() if row["decision"] != "keep"}
    assert decided == {"train/discs/copy of 03.jpg": "drop"}
    suggested = {path.split("/")[-1]: row["suggested"] for path, row in rows.items()}
    assert [suggested[name] for name in ("04 again.jpg", "04.jpg", "04 wrong.jpg")] == ["keep", "drop", "drop"]
    assert suggested["leak.jpg"] == "drop"
    assert suggested["blank.png"] == "drop"
    assert [suggested[name] for name in ("06 saved again.jpg", "06.jpg")] == ["keep", "drop"]
    assert "broken.jpg" not in suggested  # set aside already
    assert all(row["to"] == "" for row in rows.values())


def test_the_fix_list_as_it_is_drops_the_copy_and_nothing_else(dirty: Path, fixes: Path, tmp_path: Path) -> None:
    heard = Listening()
    recipe = QUICK.updated({"data.decisions": str(fixes)})
    run = train(dirty, out=tmp_path / "run", recipe=recipe, progress=heard)
    assert "Decided: 1 dropped." in heard.lines
    plain = audit(dirty)
    assert len(run.audit.usable) == len(plain.usable) - 1
    assert (run.folder / "decisions.csv").read_bytes() == fixes.read_bytes()


@pytest.fixture(scope="module")
def decided(dirty: Path, fixes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    """A run on a fix list that a person has edited: drop, relabel, move, and an image that is gone."""
    rows = table(fixes)
    for row in rows:
        name = row["path"].split("/")[-1]
        if name == "04 wrong.jpg":
            row |= {"decision": "relabel", "to": "discs"}
        elif name in ("leak.jpg", "blank.png"):
            row |= {"decision": "Drop"}
    extra = [
        ("train/discs/00.jpg", "move", "val", "", "", ""),
        ("train/bars/00.jpg", "relabel", "+ stripes", "", "", ""),
        ("train/bars/01.jpg", "relabel", "+stripes", "", "", ""),
        ("train/gone.jpg", "drop", "", "", "", ""),
    ]
    folder = tmp_path_factory.mktemp("decided")
    csv_manifest(folder / "mine.csv", list(rows[0]), [*(list(row.values()) for row in rows), *extra])
    heard = Listening()
    with contextlib.chdir(folder):
        run = train(dirty, out=folder / "run", recipe=QUICK.updated({"data.decisions": "mine.csv"}), progress=heard)
    return run, heard.lines


def test_training_does_as_decided(decided: tuple[Run, list[str]]) -> None:
    run, _ = decided
    there = {entry.item.key: entry.item for entry in run.audit.usable}
    assert run.model.classes == ("bars", "discs", "stripes")
    told = {
        key.split("/")[-1]: (run.model.classes[int(item.target)], item.part)
        for key, item in there.items()
        if "/" in key
    }
    for name in ("copy of 03.jpg", "leak.jpg", "blank.png"):
        assert name not in told
    assert told["04 wrong.jpg"] == ("discs", "train")
    assert there["train/discs/00.jpg"].part == "val"
    assert [run.model.classes[int(there[f"train/bars/0{n}.jpg"].target)] for n in (0, 1, 2)] == ["stripes"] * 2 + [
        "bars"
    ]
    assert run.evaluation.total == 11


def test_what_was_decided_is_recorded(decided: tuple[Run, list[str]]) -> None:
    run, lines = decided
    assert "Decided: 3 dropped, 3 relabelled, 1 moved." in lines
    assert any("1 decided images do not exist, e.g. 'train/gone.jpg'" in line for line in lines)
    assert any(line == "New classes: stripes" for line in lines)
    assert read_decisions(run.folder / "decisions.csv").keys() == read_decisions(run.folder.parent / "mine.csv").keys()
    aside = {row["path"]: row for row in json.loads((run.folder / "audit.json").read_text())["set_aside"]}
    for name in ("discs/copy of 03.jpg", "bars/leak.jpg", "bars/blank.png"):
        assert aside[f"train/{name}"]["kind"] == "dropped"
        assert aside[f"train/{name}"]["why"].endswith("mine.csv")
    page = html.unescape((run.folder / "report.html").read_text("utf-8"))
    assert "Decided: 3 dropped, 3 relabelled, 1 moved." in page and "New classes: stripes" in page
    assert "leaks" not in run.metrics
    assert 'decisions = "' in (run.folder / "recipe.toml").read_text()


def test_the_recipe_of_a_decided_run_runs_again_to_the_same(
    decided: tuple[Run, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = decided
    monkeypatch.chdir(tmp_path)
    again = train(out=tmp_path / "again", recipe=Recipe.from_file(run.folder / "recipe.toml"))
    # "decided in mine.csv" names the file as each run was given it; all else is the same.
    assert [{**row, "why": ""} for row in table(again.folder / "split.csv")] == [
        {**row, "why": ""} for row in table(run.folder / "split.csv")
    ]
    told = [json.loads((one.folder / "audit.json").read_text())["findings"] for one in (again, run)]
    assert told[0] == told[1]
    assert np.array_equal(again.evaluation.predictions, run.evaluation.predictions)


def test_decisions_go_on_top_of_a_saved_split(dirty: Path, tmp_path: Path) -> None:
    data = dirty / "train"  # brings no parts of its own
    first = train(data, out=tmp_path / "first", recipe=QUICK)
    held = next(entry.item.key for entry in first.audit.usable if part_of(first, entry.item.key) == "val")
    path = csv_manifest(tmp_path / "d.csv", ("path", "decision", "to"), [(held, "move", "train")])
    with pytest.raises(RequestError, match="cannot move to train: the data have no parts"):
        train(data, out=tmp_path / "run", recipe=QUICK.updated({"data.decisions": str(path)}))
    recipe = QUICK.updated({"data.decisions": str(path), "data.split": str(first.folder / "split.csv")})
    run = train(data, out=tmp_path / "run", recipe=recipe)
    assert part_of(run, held) == "train"
    assert run.evaluation.total == first.evaluation.total - 1


def part_of(run: Run, key: str) -> str:
    """The part that an image has in a run's split."""
    return next(row["part"] for row in table(run.folder / "split.csv") if row["path"] == key)


def test_from_audit_to_train_by_command(dirty: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    page, fix = tmp_path / "a.html", tmp_path / "d.csv"
    code, out, err = cli("audit", dirty, "--html", page, "--fix-list", fix)
    assert code == 0, err
    assert f"Page   {page}" in out and f"--decisions {fix}" in out
    code, out, err = cli(
        "train", dirty, "--decisions", fix, "--strategy", "scratch", "--net", "lenet5_plain", "--epochs", 1,
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert code == 0, err
    assert "Decided: 1 dropped." in err
    assert "1 dropped" in out.splitlines()[-1]


def test_a_run_that_fails_takes_the_decisions_away_with_it(dirty: Path, tmp_path: Path) -> None:
    rows = [(path.relative_to(dirty).as_posix(), "drop", "") for path in dirty.glob("*/bars/*.*")]
    path = csv_manifest(tmp_path / "d.csv", ("path", "decision", "to"), rows)
    with pytest.raises(RequestError, match="has one class, 'discs'"):
        train(dirty, out=tmp_path / "run", recipe=QUICK.updated({"data.decisions": str(path)}))
    assert list(tmp_path.iterdir()) == [path]


def test_decisions_on_other_data_or_of_no_meaning_are_refused(dirty: Path, tmp_path: Path) -> None:
    header = ("path", "decision", "to")
    for row, words in (
        (("train/discs/00.jpg", "delete", ""), "decision in line 2 of .*'delete'"),
        (("train/discs/00.jpg", "relabel", "disks"), "class in line 2 of .*'disks'; did you mean 'discs'"),
        (("train/discs/00.jpg", "move", "tset"), "part in line 2 of .*'tset'; did you mean 'test'"),
    ):
        path = csv_manifest(tmp_path / "d.csv", header, [row])
        with pytest.raises(RequestError, match=words):
            train(dirty, out=tmp_path / "run", recipe=QUICK.updated({"data.decisions": str(path)}))
        assert not (tmp_path / "run").exists()


# What is suggested can be followed, whatever the task


def follow(path: Path, out: Path) -> list[dict[str, str]]:
    """The fix list with every suggestion taken up, as a person would write it, in `out`."""
    rows = table(path)
    for row in rows:
        row["decision"], _, row["to"] = row["suggested"].partition(" ")
    csv_manifest(out, list(rows[0]), [list(row.values()) for row in rows])
    return rows


def copies(root: Path, targets: list[object], column: str) -> Path:
    """Images 0 to 2 are the same picture, under the first three of the targets; image 2 is held out."""
    root.mkdir()
    for number in range(len(targets)):
        scene(number % 2, 0 if number < 3 else number).save(root / f"{number:02d}.png")
    if len(targets) >= 3:
        for number in (1, 2):
            shutil.copyfile(root / "00.png", root / f"{number:02d}.png")
    rows = [
        {"path": f"{number:02d}.png", column: target, "split": "val" if number == 2 else "train"}
        for number, target in enumerate(targets)
    ]
    return json_manifest(root / "all.jsonl", rows)


@pytest.mark.parametrize(
    ("column", "targets", "to"),
    [
        ("labels", [["a, b", "c"], ["a, b", "c"], ["c"], ["d"], ["a, b"], ["c", "d"], []], "a, b|c"),
        ("labels", [["c"], ["c"], ["c", "d"], ["d"], ["a"], ["c", "d"], []], "c"),
        ("number", [1.25, 1.25, 9, 3, 4, 5, 6], "1.25"),
        ("number", [1234567.5, 1234567.5, 9, 3, 4, 5, 6], "1234567.5"),
        ("label", ["two\nlines", "two\nlines", "b", "b", "two\nlines", "b", "b"], "two\nlines"),
    ],
)
def test_relabelling_to_the_majority_is_understood(column: str, targets: list[object], to: str, tmp_path: Path) -> None:
    data = copies(tmp_path / "set", targets, column)
    audit(data, fix_list=tmp_path / "d.csv", html=tmp_path / "a.html")
    assert "02.png" in (tmp_path / "a.html").read_text("utf-8")
    follow(tmp_path / "d.csv", tmp_path / "mine.csv")
    assert read_decisions(tmp_path / "mine.csv")["02.png"].to == to
    source, _ = apply_decisions(open_source(data), read_decisions(tmp_path / "mine.csv"))
    found = {item.key: item.target for item in source.items}
    assert found["02.png"] == open_source(data).items[0].target
    assert not found.keys() & {"00.png", "01.png"}


def test_relabelling_to_no_label_at_all_is_not_suggested(tmp_path: Path) -> None:
    data = copies(tmp_path / "set", [[], [], ["c"], ["d"], ["c"], ["d"], []], "labels")
    audit(data, fix_list=tmp_path / "d.csv", html=tmp_path / "a.html")
    rows = {row["path"]: row for row in table(tmp_path / "d.csv")} if (tmp_path / "d.csv").exists() else {}
    assert not rows.get("02.png", {}).get("suggested", "").startswith("relabel")


def test_following_every_doubt_is_understood(tmp_path: Path) -> None:
    made = draw(tmp_path / "d", 60, seed=2)
    table_ = [("|".join(set(d.labels) ^ ({"top"} if n in (3, 9, 20, 30) else set()))) for n, d in enumerate(made)]
    data = csv_manifest(
        tmp_path / "all.csv", ("path", "labels"), [(f"d/{d.path}", said) for d, said in zip(made, table_, strict=True)]
    )
    found = audit(data, labels=True, fix_list=tmp_path / "d.csv", html=tmp_path / "a.html")
    assert found.findings[0].kind == "label-error"
    rows = follow(tmp_path / "d.csv", tmp_path / "mine.csv")
    assert sum("label-error" in row["found"] and row["to"] != "" for row in rows) >= 2
    train(data, out=tmp_path / "run", recipe=QUICK.updated({"data.decisions": str(tmp_path / "mine.csv")}))


@pytest.mark.parametrize(
    ("column", "targets", "first"),
    [
        ("label", ["a", "b", "a", "b"], "4 usable images in 2 classes"),
        ("labels", [["a"], ["a", "b"], [], ["c"]], "4 usable images with 3 labels"),
        ("number", [1, 2, 3, 4], "4 usable images with a number each, number"),
    ],
)
def test_the_audit_says_what_is_asked(column: str, targets: list[object], first: str, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    code, out, err = cli("audit", copies(tmp_path / "set", targets, column))
    assert code == 0, err
    assert out.splitlines()[0] == first
