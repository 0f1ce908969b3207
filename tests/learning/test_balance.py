"""Balance and sample weights: recall of rare classes rises, and a weight of two equals an image twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawings import csv_manifest
from PIL import Image

from striate import Recipe, RequestError, train
from striate.data.audit.audit import Usable
from striate.data.audit.looking import Record
from striate.data.sources.base import Item
from striate.learning.balance import check_balance, sample_weights
from striate.recipe import Recipe as TheRecipe
from striate.tasks import Classification, Multilabel, Regression
from striate.tasks.classification import ClassificationEvaluation
from striate.transfer.head import HeadData, fit_head

TWO, THREE = Classification(("a", "b")), Classification(("a", "b", "c"))
RECIPES = {
    "scratch": Recipe().updated(
        {
            "strategy": "scratch",
            "net.name": "lenet5_plain",
            "train.epochs": 3,
            "train.batch": 16,
            "inference.engine": "torch",
            "augment": {"preset": "none"},
        }
    ),
    "features": Recipe().updated({"strategy": "features", "inference.engine": "openvino"}),
}


def entries(*rows: tuple[int, float]) -> list[Usable]:
    """Entries of (target, weight)."""
    return [Usable(Item(f"{n}", target, weight=weight), Record(f"{n}")) for n, (target, weight) in enumerate(rows)]


# Computed by hand


def test_equal_weights_are_none() -> None:
    assert sample_weights(TWO, entries((0, 1), (1, 1), (1, 1)), "none") is None
    assert sample_weights(TWO, entries((0, 3), (1, 3)), "none") is None  # equal weights
    assert sample_weights(TWO, entries((0, 1), (1, 1)), "weights") is None  # balanced already


def test_sample_weights_have_a_mean_of_one() -> None:
    found = sample_weights(TWO, entries((0, 1), (1, 2), (1, 3)), "none")
    assert found is not None and found.tolist() == pytest.approx([0.5, 1, 1.5])


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_every_class_has_the_same_sum(balance: str) -> None:
    found = sample_weights(THREE, entries((0, 1), (0, 1), (0, 1), (1, 1), (1, 1), (2, 1)), balance)
    assert found is not None and found.tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 1, 1, 2])


def test_balance_is_applied_on_top_of_sample_weights() -> None:
    rows = entries((0, 1), (0, 3), (1, 5))
    both, balance = sample_weights(TWO, rows, "weights"), sample_weights(TWO, rows, "sampling", own=False)
    assert both is not None and both.tolist() == pytest.approx([0.375, 1.125, 1.5])
    assert balance is not None and balance.tolist() == pytest.approx([0.75, 0.75, 1.5])


def test_a_class_without_images_has_no_weight() -> None:
    found = sample_weights(THREE, entries((0, 1), (2, 1), (2, 1)), "weights")
    assert found is not None and found.tolist() == pytest.approx([1.5, 0.75, 0.75])


def test_balance_needs_classes() -> None:
    for task in (Multilabel(("a", "b")), Regression(("n",))):
        check_balance(task, "none")
        with pytest.raises(RequestError, match=f"balance 'weights' needs single-label classification; .*{task.kind!r}"):
            check_balance(task, "weights")
    with pytest.raises(RequestError, match=r"unknown data\.balance 'weight'; did you mean 'weights'"):
        TheRecipe().updated({"data.balance": "weight"})


# The head


def test_a_weight_of_two_equals_the_image_twice_for_the_head() -> None:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(40, 60)).astype(np.float32)
    targets = (features[:, 0] + generator.normal(size=40) > 0).astype(np.int64)
    heavy = np.arange(40) % 3 == 0
    fold = np.arange(40) % 4
    weights = np.where(heavy, 2.0, 1.0)
    twice = np.concatenate([np.arange(40), np.flatnonzero(heavy)])
    weighed = fit_head(HeadData(features, targets, TWO, weights), fold=fold)
    repeated = fit_head(HeadData(features[twice], targets[twice], TWO), fold=fold[twice])
    assert np.isclose(weighed.C, repeated.C, rtol=1e-3)
    scores = [features @ head.weight.T + head.bias for head in (weighed, repeated)]
    assert np.abs(scores[0] - scores[1]).max() <= 2e-3 * np.abs(scores[0]).max()


# Whole runs: two overlapping kinds of noise, one of them rare


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A block in noise, a little brighter for "rare": 10 against 90 for training, 30 each held out."""
    root = tmp_path_factory.mktemp("rare")
    generator = np.random.default_rng(0)
    rows = []
    for part, counts in (("train", {"common": 90, "rare": 10}), ("val", {"common": 30, "rare": 30})):
        for name, count in counts.items():
            for number in range(count):
                image = generator.integers(0, 120, (28, 28))
                image[8:20, 8:20] += int(generator.normal(70 if name == "rare" else 30, 20))
                path = f"{part}-{name}-{number}.png"
                Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / path)
                rows.append((path, name, part, 9 if name == "rare" else 1))
    csv_manifest(root / "weighed.csv", ("path", "label", "split", "weight"), rows)
    return csv_manifest(root / "plain.csv", ("path", "label", "split"), [row[:3] for row in rows])


@pytest.mark.parametrize("strategy", ["scratch", "features"])
def test_balance_raises_the_recall_of_a_rare_class(strategy: str, rare: Path, tmp_path: Path) -> None:
    recalls, balanced = {}, {}
    runs = {}
    for balance in ("none", "weights", "sampling"):
        recipe = RECIPES[strategy].updated({"data.balance": balance})
        runs[balance] = run = train(rare, out=tmp_path / balance, recipe=recipe)
        assert isinstance(run.evaluation, ClassificationEvaluation)
        recalls[balance], balanced[balance] = run.evaluation.recalls["rare"], run.evaluation.balanced_accuracy
        assert run.metrics["balanced_accuracy"] == balanced[balance]
        assert f'balance = "{balance}"' in (run.folder / "recipe.toml").read_text()
    for balance in ("weights", "sampling"):
        assert recalls[balance] >= recalls["none"] + 0.15, recalls
        assert balanced[balance] > balanced["none"], balanced
    said = "so class weights were used"
    assert (said in (runs["sampling"].folder / "report.html").read_text("utf-8")) == (strategy == "features")


def test_the_manifests_weights_do_the_same(rare: Path, tmp_path: Path) -> None:
    balanced = train(rare, out=tmp_path / "b", recipe=RECIPES["features"].updated({"data.balance": "weights"}))
    weighed = train(rare.with_name("weighed.csv"), out=tmp_path / "w", recipe=RECIPES["features"])
    assert np.allclose(balanced.evaluation.predictions, weighed.evaluation.predictions, atol=1e-3)
