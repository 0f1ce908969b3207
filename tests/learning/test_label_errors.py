"""Label errors: wrong labels planted in a separable set rank first, for every task."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from drawings import blocks, csv_manifest, draw, sections
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from striate import Recipe, audit, train
from striate.data.audit.audit import Audit, Usable
from striate.data.audit.looking import Record
from striate.data.sources.base import Item
from striate.learning.label_errors import Suspects, label_errors
from striate.learning.label_noise import wrong_labels
from striate.tasks import Classification, Multilabel, Regression, Target, Task

FEATURES = Recipe().updated({"strategy": "features", "inference.engine": "openvino"})


def audited(task: Task, *targets: Target) -> Audit:
    return Audit(task, [Usable(Item(f"{n}.png", target), Record(f"{n}")) for n, target in enumerate(targets)], [])


def rows(*values: tuple[float, ...]) -> np.ndarray:
    return np.array(values, np.float32)


# Computed by hand


def test_classes_are_ranked_by_the_labels_probability() -> None:
    found = audited(Classification(("a", "b", "c")), 0, 1, 2, 0, 1)
    unseen = rows((0.9, 0.05, 0.05), (0.6, 0.3, 0.1), (0.1, 0.85, 0.05), (0.2, 0.3, 0.5), (np.nan,) * 3)
    told = label_errors(found, unseen).ranked
    assert [(one.index, one.label, one.suggested, one.target) for one in told] == [
        (2, "c", "b", 1), (3, "a", "c", 2), (1, "b", "a", 0),
    ]  # fmt: skip
    assert [one.label_probability for one in told] == pytest.approx([0.05, 0.2, 0.3])
    assert [one.suggested_probability for one in told] == pytest.approx([0.85, 0.5, 0.6])


def test_multilabel_is_ranked_by_the_least_probable_label() -> None:
    task = Multilabel(("a", "b"), (0.5, 0.2))
    found = audited(task, (0,), (), (0, 1), (1,), (0,))
    unseen = rows((0.9, 0.1), (0.4, 0.7), (0.05, 0.9), (0.1, 0.3), (0.6, 0.25))
    told = label_errors(found, unseen).ranked
    assert [(one.index, one.label, one.suggested, one.target) for one in told] == [
        (2, "a, b", "b", (1,)), (1, "none", "b", (1,)), (4, "a", "a, b", (0, 1)),
    ]  # fmt: skip
    assert [one.label_probability for one in told] == pytest.approx([0.05, 0.3, 0.6])


def test_regression_flags_errors_far_beyond_the_usual() -> None:
    found = audited(Regression(("age",)), *(float(n) for n in range(20)))
    unseen = np.arange(20, dtype=np.float32)[:, None] + np.tile([[0.5], [-0.5]], (10, 1)).astype(np.float32)
    assert label_errors(found, unseen) == Suspects()
    unseen[7], unseen[12] = 30, -4
    told = label_errors(found, unseen).ranked
    assert [(one.index, one.label, one.suggested) for one in told] == [(7, "7", "30"), (12, "12", "-4")]
    assert all(np.isnan(one.label_probability) for one in told)


@pytest.mark.parametrize("task", [Classification(("a", "b")), Multilabel(("a", "b")), Regression(("n",))])
def test_without_predictions_there_are_no_label_errors(task: Task) -> None:
    target: Target = {"classification": 0, "multilabel": (0,), "regression": 1.0}[task.kind]
    assert label_errors(audited(task, target, target), np.full((2, task.outputs), np.nan, np.float32)) == Suspects()
    assert label_errors(audited(task), np.zeros((0, task.outputs), np.float32)) == Suspects()


# Their number


@pytest.fixture(scope="module")
def hard_digits() -> tuple[np.ndarray, np.ndarray]:
    """Scikit-learn's digits under noise: a linear model errs on one in ten."""
    digits = load_digits()
    pixels = digits.data / 16
    return pixels + np.random.default_rng(9).normal(0, 0.5 * pixels.std(), pixels.shape), digits.target


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.2])
def test_the_number_of_planted_label_errors_is_estimated(
    share: float, hard_digits: tuple[np.ndarray, np.ndarray]
) -> None:
    pixels, labels = hard_digits
    generator = np.random.default_rng(0)
    planted = generator.permutation(len(labels))[: round(share * len(labels))]
    given = labels.copy()
    given[planted] = (given[planted] + generator.integers(1, 10, len(planted))) % 10
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    unseen = cross_val_predict(LogisticRegression(C=0.1), pixels, given, cv=folds, method="predict_proba")
    doubted = int((unseen.argmax(1) != given).sum())
    assert doubted >= len(planted) + 100  # more hard images than wrong labels of one in a hundred
    estimate = wrong_labels(unseen, given)
    assert len(planted) / 2 <= estimate <= max(1.5 * len(planted), 3), (estimate, doubted)
    found = label_errors(audited(Classification(tuple("0123456789")), *given.tolist()), unseen.astype(np.float32))
    assert len(found.likely) == round(wrong_labels(unseen.astype(np.float32), given))
    assert len(found.ranked) == doubted


def test_a_model_that_cannot_tell_counts_nothing() -> None:
    generator = np.random.default_rng(0)
    guesses = generator.dirichlet(np.ones(5), 300)
    assert wrong_labels(guesses, generator.integers(0, 5, 300)) == 0
    assert wrong_labels(guesses, guesses.argmax(1)) == 0
    assert wrong_labels(np.zeros((0, 5)), np.zeros(0, np.int64)) == 0


# Planted


@pytest.fixture(scope="module")
def mislabelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """Two easy classes of 30; four of the images are in the wrong folder."""
    root = blocks(tmp_path_factory.mktemp("wrong") / "set", {"low": 30, "high": 30})
    planted = set()
    for name, other in (("low", "high"), ("high", "low")):
        for number in (4, 17):
            shutil.move(root / name / f"{number:03d}.png", root / other / f"was {name} {number}.png")
            planted.add(f"{other}/was {name} {number}.png")
    return root, planted


def test_an_audit_of_labels_ranks_the_wrong_ones_first(mislabelled: tuple[Path, set[str]], cli) -> None:  # type: ignore[no-untyped-def]
    root, planted = mislabelled
    found = audit(root, labels=True).findings[0]
    assert (found.kind, found.action) == ("label-error", "kept")
    assert set(found.paths[:4]) == planted
    assert len(found.paths) <= 6
    assert {remark for path, remark in zip(found.paths, found.remarks, strict=True) if path.startswith("low/was")} == {
        "low, or rather high?"
    }
    assert all(finding.kind != "label-error" for finding in audit(root).findings)
    code, out, _ = cli("audit", root, "--labels")
    assert code == 0 and f"{len(found.paths)} label-error, kept (" in out


@pytest.mark.parametrize("folds", [None, 3])
def test_the_report_of_a_run_lists_them(folds: int | None, mislabelled: tuple[Path, set[str]], tmp_path: Path) -> None:
    root, planted = mislabelled
    run = train(root, out=tmp_path / "run", recipe=FEATURES.updated({"data.folds": folds}))
    told = sections((run.folder / "report.html").read_text("utf-8"))["label-errors"]
    assert "Likely label errors" in told
    assert all(path in told for path in planted)
    assert sum(f"{name}/" in told for name in ("low", "high")) == 2


def test_nets_from_scratch_find_label_errors_by_folds(mislabelled: tuple[Path, set[str]], tmp_path: Path) -> None:
    root, planted = mislabelled
    changes = {
        "strategy": "scratch", "net.name": "lenet5_plain", "train": {"epochs": 10, "batch": 16}, "data.folds": 3,
        "augment.preset": "none",
    }  # fmt: skip
    run = train(root, out=tmp_path / "run", recipe=FEATURES.updated(changes))
    told = sections((run.folder / "report.html").read_text("utf-8"))["label-errors"]
    assert all(path in told for path in planted)


@pytest.mark.parametrize("kind", ["labels", "number"])
def test_other_tasks(kind: str, tmp_path: Path) -> None:
    made = draw(tmp_path / "d", 90, seed=2)
    wrong = (11, 40, 73)
    table: list[tuple[str, object]] = []
    for number, drawing in enumerate(made):
        labels = set(drawing.labels) ^ {"top"} if number in wrong else set(drawing.labels)
        side = 100 if number in wrong else drawing.side
        table.append((f"d/{drawing.path}", "|".join(sorted(labels)) if kind == "labels" else side))
    data = csv_manifest(tmp_path / "all.csv", ("path", "labels" if kind == "labels" else "number:side"), table)
    found = audit(data, labels=True).findings[0]
    assert found.kind == "label-error"
    assert set(found.paths[:3]) == {f"d/{number:03d}.png" for number in wrong}
    run = train(data, out=tmp_path / "run", recipe=FEATURES)
    told = sections((run.folder / "report.html").read_text("utf-8"))["label-errors"]
    assert all(path in told for path in found.paths[:3])
