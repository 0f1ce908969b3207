"""Runs at the edge: nothing held out, a label that no held-out image has, numbers all the same, one part renamed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawings import blocks, csv_manifest, draw, sections, split_rows, strict_json

from striate import Recipe, evaluate, train
from striate.jobs.run import Run
from striate.model import read

RECIPES = {
    "scratch": Recipe().updated(
        {
            "strategy": "scratch",
            "net.name": "lenet5_plain",
            "train.epochs": 2,
            "train.batch": 8,
            "inference.engine": "torch",
            "augment": {"preset": "none"},
        }
    ),
    "features": Recipe().updated({"strategy": "features", "inference.engine": "openvino"}),
}
both = pytest.mark.parametrize("strategy", ["scratch", "features"])


def whole(run: Run) -> dict[str, str]:
    """Checks all that a run leaves for what is no JSON, and gives the page's sections."""
    for line in (run.folder / "log.jsonl").read_text().splitlines():
        strict_json(line)
    strict_json((run.folder / "audit.json").read_text())
    model = read(run.folder / "model.safetensors")
    import json

    json.dumps([model.metrics, model.training], allow_nan=False)
    return sections((run.folder / "report.html").read_text("utf-8"))


@both
@pytest.mark.parametrize("column", ["label", "labels", "number:side"])
def test_nothing_is_held_out(strategy: str, column: str, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    # Two images of one group: neither may be held out without the other.
    made = draw(tmp_path / "d", 2, seed=1)
    rows = [(f"d/{d.path}", ("a", "b")[n] if column[0] == "l" else d.side, "all") for n, d in enumerate(made)]
    data = csv_manifest(tmp_path / "all.csv", ("path", column, "group"), rows)
    run = train(data, out=tmp_path / "run", recipe=RECIPES[strategy])
    assert (run.evaluation.part, run.evaluation.total) == ("", 0)
    assert "Not evaluated" in whole(run)["result"]
    assert "not measured" in run.evaluation.lines()[0]
    again = tmp_path / "again"
    changes = ["--set", f"strategy={strategy}", "--set", "train.epochs=1"] + (
        ["--net", "lenet5_plain"] if strategy == "scratch" else []
    )
    code, out, err = cli("train", data, "--out", again, *changes, "--json")
    assert code == 0, err
    assert strict_json(out)["total"] == 0
    code, out, err = cli("compare", run.folder, again, "--out", tmp_path / "c.html", "--json")
    assert code == 0, err
    assert [row["score"] for row in strict_json(out)["runs"]] == [None, None]


@both
@pytest.mark.parametrize("column", ["label", "labels", "number:side"])
def test_fewer_groups_than_folds_that_choose_the_head(strategy: str, column: str, tmp_path: Path) -> None:
    made = draw(tmp_path / "d", 24, seed=1)
    rows = [
        (f"d/{d.path}", (d.labels or ("none",))[0] if column[0] == "l" else d.side, f"patient {n % 3}")
        for n, d in enumerate(made)
    ]
    data = csv_manifest(tmp_path / "all.csv", ("path", column, "group"), rows)
    run = train(data, out=tmp_path / "run", recipe=RECIPES[strategy])
    assert run.evaluation.total == 8  # one patient of three
    whole(run)


@both
def test_a_label_that_no_held_out_image_has(strategy: str, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    made = draw(tmp_path / "d", 24)
    rows = [
        (f"d/{d.path}", "|".join([*d.labels, *(["rare"] if n < 4 else [])]), "train" if n < 16 else "val")
        for n, d in enumerate(made)
    ]
    data = csv_manifest(tmp_path / "all.csv", ("path", "labels", "split"), rows)
    run = train(data, out=tmp_path / "run", recipe=RECIPES[strategy])
    told = run.metrics["per_label"]["rare"]
    assert (told["count"], told["average_precision"], told["recall"]) == (0, None, None)
    assert run.metrics["mean_average_precision"] == pytest.approx(
        np.mean([run.metrics["per_label"][name]["average_precision"] for name in ("left", "top")])
    )
    assert "rare" in whole(run)["classes"]
    code, out, _ = cli("evaluate", run.folder, data)
    assert code == 0 and "rare  0 images, average precision -" in out


@both
def test_numbers_that_are_all_the_same(strategy: str, tmp_path: Path) -> None:
    made = draw(tmp_path / "d", 20)
    data = csv_manifest(tmp_path / "all.csv", ("path", "number"), [(f"d/{d.path}", 41.5) for d in made])
    run = train(data, out=tmp_path / "run", recipe=RECIPES[strategy].updated({"optimizer.lr": 0.01}))
    assert run.evaluation.total == 4
    assert run.metrics["r2"] is None
    assert run.evaluation.score < (1.5 if strategy == "scratch" else 1e-3)
    assert "Predicted vs. true" in whole(run)["numbers"]


@both
def test_a_single_held_out_number_has_an_error_and_no_interval(strategy: str, tmp_path: Path) -> None:
    made = draw(tmp_path / "d", 12)
    rows = [(f"d/{d.path}", d.side, "val" if n == 5 else "train") for n, d in enumerate(made)]
    run = train(
        csv_manifest(tmp_path / "all.csv", ("path", "number", "split"), rows),
        out=tmp_path / "run",
        recipe=RECIPES[strategy],
    )
    assert run.metrics["interval"] == [0.0, None]
    assert run.metrics["mean_absolute_error"] == pytest.approx(abs(run.evaluation.predictions[0, 0] - made[5].side))
    whole(run)


def test_a_model_is_measured_on_data_that_count_its_labels_otherwise(tmp_path: Path) -> None:
    made = draw(tmp_path / "d", 40)
    rows = [(f"d/{d.path}", "|".join(d.labels)) for d in made]
    run = train(
        csv_manifest(tmp_path / "all.csv", ("path", "labels"), rows), out=tmp_path / "run", recipe=RECIPES["features"]
    )
    top = [(f"d/{d.path}", "top") for d in made if d.labels == ("top",)]
    some = csv_manifest(tmp_path / "some.csv", ("path", "labels"), top)
    measured = evaluate(run.folder, some).evaluation
    assert measured.task.names == ("left", "top")
    assert measured.targets.tolist() == [[0, 1]] * len(top)


# Choices together


@both
def test_folds_with_strangers(strategy: str, tmp_path: Path) -> None:
    from scenes import scene

    data = blocks(tmp_path / "set", {"low": 20, "high": 20})
    (tmp_path / "others").mkdir()
    for number in range(6):
        scene(number % 2, number, (40, 32)).save(tmp_path / "others" / f"{number}.png")
    changes = {"data": {"folds": 3, "ood": str(tmp_path / "others")}, "train.epochs": 6}
    run = train(data, out=tmp_path / "run", recipe=RECIPES[strategy].updated(changes))
    assert run.result.evidence.ood is not None
    assert (
        len(run.result.evidence.ood.in_distribution) == 40
    )  # nothing is held out: each training image against the others
    assert np.quantile(run.result.evidence.ood.in_distribution, 0.95) == pytest.approx(
        run.result.evidence.ood.threshold, rel=1e-4
    )
    assert run.metrics["folds"]["images"] == 40
    page = whole(run)
    assert {"folds", "ood"} <= page.keys()


@both
def test_a_saved_split_is_kept_with_folds_and_without(strategy: str, tmp_path: Path) -> None:
    data = blocks(tmp_path / "set", {"low": 20, "high": 20})
    first = train(data, out=tmp_path / "first", recipe=RECIPES[strategy].updated({"seed": 3}))
    split = {"data.split": str(first.folder / "split.csv"), "seed": 9}
    again = train(data, out=tmp_path / "again", recipe=RECIPES[strategy].updated(split))
    assert (again.folder / "split.csv").read_bytes() == (first.folder / "split.csv").read_bytes()
    folded = train(data, out=tmp_path / "folded", recipe=RECIPES[strategy].updated({**split, "data.folds": 4}))
    before = {row["path"]: row["part"] for row in split_rows(first.folder)}
    after = split_rows(folded.folder)
    assert {row["path"]: row["part"] for row in after} == before
    assert {row["fold"] for row in after if row["part"] == "train"} == set("0123")
    assert {row["fold"] for row in after if row["part"] == "val"} == {""}
    # The folds of a run are drawn again from its own split.
    same = {**split, "data.split": str(folded.folder / "split.csv"), "data.folds": 4}
    once_more = train(data, out=tmp_path / "more", recipe=RECIPES[strategy].updated(same))
    assert split_rows(once_more.folder) == after
    assert once_more.metrics["folds"]["scores"] == folded.metrics["folds"]["scores"]


@both
def test_balance_with_folds_counts_the_classes_of_the_other_folds(strategy: str, tmp_path: Path) -> None:
    data = blocks(tmp_path / "set", {"low": 36, "high": 6})
    changes = {"data": {"folds": 3, "balance": "weights"}, "train.epochs": 8}
    run = train(data, out=tmp_path / "run", recipe=RECIPES[strategy].updated(changes))
    assert run.evaluation.total == 42
    assert run.metrics["per_class"]["high"]["recall"] >= 0.8
    whole(run)
