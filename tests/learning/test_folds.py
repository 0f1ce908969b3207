"""Cross-validation: every image is predicted once, by a model not trained on it; duplicates and groups stay
together."""

from __future__ import annotations

import html
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawings import blocks, csv_manifest, draw, sections, split_rows, strict_json
from PIL import Image

from striate import Recipe, RequestError, evaluate, train
from striate.data.audit.audit import Audit, Usable
from striate.data.audit.memory import Record
from striate.data.sources.base import Item
from striate.jobs.run import Run
from striate.learning.result import CrossValidation, cross_validated
from striate.learning.split import Split
from striate.learning.trainer import Fitted, Trainer
from striate.tasks import Multilabel
from striate.tasks.metrics import mean_interval, percent
from striate.tasks.multilabel import MultilabelEvaluation

FEATURES = Recipe().updated({"strategy": "features", "inference.engine": "openvino"})
SCRATCH = Recipe().updated(
    {
        "strategy": "scratch",
        "net.name": "lenet5_plain",
        "train.epochs": 6,
        "train.batch": 16,
        "inference.engine": "torch",
        "augment": {"preset": "none"},
    }
)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two easy classes of 24 and 36."""
    return blocks(tmp_path_factory.mktemp("places") / "set", {"low": 24, "high": 36})


@pytest.fixture(scope="module")
def folded(places: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(places, out=tmp_path_factory.mktemp("folded") / "run", recipe=FEATURES.updated({"data.folds": 4}))


def test_every_image_is_predicted_once(folded: Run) -> None:
    assert (folded.evaluation.part, folded.evaluation.total) == ("cross-validated", 60)
    assert [fold.total for fold in folded.result.cross_validation.folds] == [15] * 4
    assert Counter(folded.evaluation.targets.tolist()) == {0: 36, 1: 24}
    rows = split_rows(folded.folder)
    assert {row["part"] for row in rows} == {"train"}
    assert Counter((row["fold"], row["class"]) for row in rows) == {
        (str(fold), name): count for fold in range(4) for name, count in (("high", 9), ("low", 6))
    }
    assert folded.model.training["images"] == 60


def test_mean_interval_and_pooled_score_are_reported(folded: Run) -> None:
    told = folded.metrics["folds"]
    scores = [fold.score for fold in folded.result.cross_validation.folds]
    assert told["scores"] == scores
    assert told["mean"] == pytest.approx(np.mean(scores))
    assert told["interval"] == pytest.approx(mean_interval(scores))
    assert (told["pooled"], told["images"]) == (folded.evaluation.score, 60)
    assert folded.evaluation.accuracy > 0.9
    done = strict_json((folded.folder / "log.jsonl").read_text().splitlines()[-1])
    assert done["folds"] == told and done["part"] == "cross-validated"
    assert folded.model.metrics["folds"] == told
    page = sections((folded.folder / "report.html").read_text("utf-8"))
    shown = html.unescape(page["folds"]).replace("\xa0", " ")
    assert "Cross-validation" in shown
    assert f"Mean of 4 folds: <b>{percent(told['mean'])}</b>" in shown
    assert f"All predictions pooled: <b>{percent(told['pooled'])}</b>" in shown
    assert "each predicted by a model that was not trained on it (all folds pooled)" in page["result"]


def test_the_command_line_cross_validates(cli, places: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, err = cli("train", places, "--out", tmp_path / "run", "--folds", 3, "--json")
    assert code == 0, err
    told = strict_json(out)
    assert len(told["folds"]["scores"]) == 3 and told["total"] == 60


def noise(root: Path, count: int, size: int = 28) -> Path:
    """Noise images with random labels, equally many of each."""
    generator = np.random.default_rng(5)
    for number in range(count):
        path = root / ("heads" if number % 2 else "tails") / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (size, size), dtype=np.uint8)).save(path)
    return root


@pytest.mark.parametrize("strategy", ["features", "scratch"])
def test_random_labels_give_chance_level(strategy: str, tmp_path: Path) -> None:
    # A model trained on an image would memorise its label: the final one does.
    data = noise(tmp_path / "coins", 80)
    recipe = (
        FEATURES
        if strategy == "features"
        else SCRATCH.updated({"train.epochs": 25, "optimizer.weight_decay": 0.0, "loss.label_smoothing": 0.0})
    )
    run = train(data, out=tmp_path / "run", recipe=recipe.updated({"data.folds": 4}))
    assert run.evaluation.total == 80
    assert 0.3 <= run.evaluation.accuracy <= 0.7
    if strategy == "scratch":
        assert evaluate(run.folder, data).evaluation.accuracy >= 0.85


def test_each_net_from_scratch_is_trained_on_the_other_folds_only(
    places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[set[int]] = []
    honest = Trainer.fit

    def watched(trainer: Trainer, rows: list[int], *rest: Any) -> Fitted:
        learnt.append(set(rows))
        return honest(trainer, rows, *rest)

    monkeypatch.setattr(Trainer, "fit", watched)
    run = train(places, out=tmp_path / "run", recipe=SCRATCH.updated({"data.folds": 3}))
    folds = np.array([int(row["fold"]) for row in split_rows(run.folder)])
    held = [set(np.flatnonzero(folds == fold).tolist()) for fold in range(3)]
    assert sorted(map(len, held)) == [20, 20, 20]
    assert learnt == [set(range(60)) - one for one in held] + [set(range(60))]
    assert run.evaluation.accuracy > 0.8
    assert [fold.total for fold in run.result.cross_validation.folds] == [20, 20, 20]


# A split that comes with the data


@pytest.fixture(scope="module")
def with_split(places: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("given") / "set"
    for name in ("low", "high"):
        for number, path in enumerate(sorted((places / name).iterdir())):
            part = "test" if number % 4 == 3 else "train"
            (root / part / name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, root / part / name / path.name)
    return root


@pytest.mark.parametrize("strategy", ["features", "scratch"])
def test_a_given_split_is_retained_and_the_folds_are_in_train(strategy: str, with_split: Path, tmp_path: Path) -> None:
    recipe = (FEATURES if strategy == "features" else SCRATCH).updated({"data.folds": 3})
    run = train(with_split, out=tmp_path / "run", recipe=recipe)
    assert (run.evaluation.part, run.evaluation.total) == ("test", 15)
    assert sum(fold.total for fold in run.result.cross_validation.folds) == 45 == run.metrics["folds"]["images"]
    for row in split_rows(run.folder):
        assert row["part"] == row["path"].split("/")[0]
        assert (row["fold"] != "") == (row["part"] == "train")
    assert run.model.training["images"] == 45
    page = sections((run.folder / "report.html").read_text("utf-8"))
    assert "on the held-out part <b>test</b>" in page["result"]
    assert "Cross-validation" in page["folds"]


# Duplicates and groups


def test_duplicates_and_groups_stay_in_one_fold(places: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    shutil.copytree(places, root)
    twins = {}
    for number in range(5):
        shutil.copyfile(root / "low" / f"{number:03d}.png", root / "low" / f"twin {number}.png")
        twins[f"low/twin {number}.png"] = f"low/{number:03d}.png"
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    group = {path: f"patient {number % 17}" if number % 3 else "" for number, path in enumerate(paths)}
    rows = [(path, path.split("/")[0], group[path]) for path in paths]
    data = csv_manifest(root / "all.csv", ("path", "label", "group"), rows)
    run = train(data, out=tmp_path / "run", recipe=FEATURES.updated({"data.folds": 4}))
    fold = {row["path"]: row["fold"] for row in split_rows(run.folder)}
    assert set(fold) == set(paths) and set(fold.values()) == set("0123")
    assert all(fold[one] == fold[other] for one, other in twins.items())
    sides: dict[str, set[str]] = {}
    for path, name in group.items():
        sides.setdefault(name, set()).add(fold[path])
    assert all(len(found) == 1 for name, found in sides.items() if name)


# Other tasks


@pytest.mark.parametrize("kind", ["labels", "number"])
def test_folds_of_other_tasks(kind: str, tmp_path: Path) -> None:
    made = draw(tmp_path / "d", 45, seed=3)
    column = "labels" if kind == "labels" else "number:side"
    rows = [(f"d/{d.path}", "|".join(d.labels) if kind == "labels" else d.side) for d in made]
    data = csv_manifest(tmp_path / "all.csv", ("path", column), rows)
    run = train(data, out=tmp_path / "run", recipe=FEATURES.updated({"data.folds": 3}))
    sizes = [fold.total for fold in run.result.cross_validation.folds]
    assert run.evaluation.total == sum(sizes) == 45
    assert max(sizes) - min(sizes) <= 2  # multilabel folds are not exactly equal
    assert run.metrics["folds"]["pooled"] == run.evaluation.score
    strict_json((run.folder / "log.jsonl").read_text().splitlines()[-1])
    assert "Cross-validation" in (run.folder / "report.html").read_text("utf-8")


def test_a_fold_without_any_label_has_no_score_and_the_mean_ignores_it(tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    made = draw(tmp_path / "d", 20, seed=3)
    rows = [(f"d/{d.path}", "rare" if number == 7 else "") for number, d in enumerate(made)]
    data = csv_manifest(tmp_path / "all.csv", ("path", "labels"), rows)
    code, out, err = cli("train", data, "--out", tmp_path / "run", "--folds", 3, "--json")
    assert code == 0, err
    told = strict_json(out)["folds"]
    assert told["scores"].count(None) == 2
    assert told["mean"] == max(score or 0 for score in told["scores"])
    for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines():
        strict_json(line)
    run = train(data, out=tmp_path / "again", recipe=FEATURES.updated({"data.folds": 3}))
    assert isinstance(run.evaluation, MultilabelEvaluation) and run.evaluation.total == 20
    assert cli("compare", tmp_path / "run", tmp_path / "again", "--out", tmp_path / "c.html", "--json")[0] == 0


# Refusals


def test_too_few_or_too_many_folds_are_refused(places: Path, tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    code, _, err = cli("train", places, "--out", tmp_path / "run", "--folds", 1)
    assert code == 2 and "data.folds takes an integer from 2 to 100, not 1" in err
    with pytest.raises(RequestError, match=r"data\.folds takes an integer from 2 to 100, not 101"):
        Recipe().updated({"data.folds": 101})
    with pytest.raises(RequestError, match=r"61 folds need as many images, .*; there are 60"):
        train(places, out=tmp_path / "run", recipe=FEATURES.updated({"data.folds": 61}))
    assert list(tmp_path.iterdir()) == []


def test_a_folds_thresholds_are_fitted_on_the_other_folds() -> None:
    generator = np.random.default_rng(0)
    task = Multilabel(("a", "b"))
    fold = np.arange(60) % 3
    unseen = generator.random((60, 2)).astype(np.float32)
    true = unseen > np.array([0.3, 0.7], np.float32)

    def measured(flipped: int) -> CrossValidation:
        """The same predictions; in one fold every target is flipped."""
        has = true ^ (fold == flipped)[:, None]
        items = [Item(f"{n}.png", tuple(np.flatnonzero(row).tolist())) for n, row in enumerate(has)]
        usable = [Usable(item, Record(f"{n:064x}")) for n, item in enumerate(items)]
        return cross_validated(Split(Audit(task, usable, []), ["train"] * 60, fold), task, unseen)

    before, after = measured(-1).folds, measured(1).folds
    assert all(isinstance(one, MultilabelEvaluation) and one.thresholds is not None for one in before + after)
    assert np.array_equal(before[1].thresholds, after[1].thresholds)  # independent of its own targets
    assert not np.array_equal(before[0].thresholds, after[0].thresholds)
    assert np.abs(before[1].thresholds - [0.3, 0.7]).max() < 0.05
    assert [one.all_right for one in before] == [
        int(((one.predictions >= one.thresholds) == (one.targets > 0)).all(axis=1).sum()) for one in before
    ]
