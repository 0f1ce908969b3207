"""Training with other heads: what is kept, how it is chosen, and that the held-out images have no part in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import striate
from striate.data.audit.audit import Audit, Usable
from striate.data.audit.looking import Record
from striate.data.sources.base import Item
from striate.learning import head
from striate.learning.head import cross_validated_head, fit_on
from striate.learning.split import Split
from striate.recipe import Recipe
from striate.recipe.keys import LINEAR_HEADS, VOTING_HEADS
from striate.tasks import Classification
from striate.transfer import classifiers

pytest.importorskip("sklearn", reason="the extra 'sklearn' is not installed")


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifiers, "TREES", 40)


def split_of(targets: list[int], parts: list[str], folds: int = 0) -> Split:
    usable = [
        Usable(Item(f"{place}.png", target), Record(f"{place:064x}", 8, 8)) for place, target in enumerate(targets)
    ]
    fold = np.arange(len(targets)) // 2 % folds if folds else None
    return Split(Audit(Classification(("a", "b")), usable, [], [], []), parts, fold)


@pytest.mark.parametrize("kind", ["svm", "bayes"])
def test_the_model_file_of_another_head_is_an_ordinary_one(
    trained: object, photos: Path, tmp_path: Path, kind: str, cli
) -> None:
    code, out, _ = cli("train", photos, "--quick", "--head", kind, "--out", tmp_path / "run", "--json")
    done = json.loads(out)
    assert code == 0 and done["accuracy"] > 0.7
    model = striate.load(tmp_path / "run").model
    assert model.training["head"] == kind and not model.extras and model.tensors["head.weight"].shape[0] == 2
    evaluated = striate.evaluate(tmp_path / "run", photos, part="val")
    assert evaluated.evaluation.score == pytest.approx(done["accuracy"])


@pytest.mark.slow
def test_it_is_exported_as_any_other(trained: object, photos: Path, tmp_path: Path, cli) -> None:
    assert cli("train", photos, "--quick", "--head", "svm", "--out", tmp_path / "run")[0] == 0
    assert cli("export", tmp_path / "run", "--to", "onnx")[0] == 0  # it gives the predictions of the model


def test_auto_keeps_the_best_head_and_tells_what_it_was_compared_with(
    trained: object, photos: Path, tmp_path: Path, cli
) -> None:
    code, out, err = cli("train", photos, "--quick", "--head", "auto", "--out", tmp_path / "run", "--json")
    done = json.loads(out)
    assert code == 0 and set(done["heads"]) == {*LINEAR_HEADS, *VOTING_HEADS}
    assert done["heads"][done["head"]] == max(done["heads"].values())
    assert f"head {done['head']}; accuracy out of fold: " in err
    assert striate.load(tmp_path / "run").model.training["head"] == done["head"]
    assert 'kind = "auto"' in (tmp_path / "run" / "recipe.toml").read_text()


@pytest.mark.parametrize("kind", ["knn", "forest"])
def test_a_head_that_is_no_layer_is_stored_and_needs_no_scikit_learn(
    trained: object, photos: Path, tmp_path: Path, kind: str, cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = cli("train", photos, "--quick", "--head", kind, "--out", tmp_path / "run", "--json")
    done = json.loads(out)
    assert code == 0, err
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    predictor = striate.load(tmp_path / "run")
    assert predictor.model.classifier == predictor.model.training["head"] == kind
    assert striate.evaluate(tmp_path / "run", photos, part="val").evaluation.score == pytest.approx(done["accuracy"])
    file = next((photos / "val" / "bees").iterdir())
    answer = predictor.predict(file)[0]
    assert answer.probabilities.sum() == pytest.approx(1, abs=1e-6) and 0 < answer.confidence < 1
    with pytest.raises(striate.RequestError, match="no layer of a network"):
        _ = predictor.net
    weights = tmp_path / "run" / "model.safetensors"
    net = striate.create(predictor.model.net, weights=weights)  # whose own head is fresh, not of zeros
    assert net.head.weight.abs().sum() > 0
    code, _, err = cli("export", tmp_path / "run", "--to", "onnx")
    assert code == 2 and "is no layer of a network" in err and err.count("\n") == 1


def test_fine_tuning_needs_a_linear_head(photos: Path, tmp_path: Path, cli) -> None:
    code, _, err = cli("train", photos, "--best", "--head", "forest", "--out", tmp_path / "run")
    assert code == 2 and "fine-tuning needs a linear head" in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_held_out_images_have_no_part_in_the_choice() -> None:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((120, 5)).astype(np.float32)
    targets = (features[:, 0] + generator.standard_normal(120) > 0).astype(int).tolist()
    parts = ["train"] * 80 + ["val"] * 40
    recipe = Recipe().updated({"head.kind": "auto", "head.cv_folds": 2})
    first = cross_validated_head(split_of(targets, parts), features, recipe)
    features[80:] = generator.standard_normal((40, 5))
    second = cross_validated_head(split_of(targets, parts), features, recipe)
    assert first.compared == second.compared and np.array_equal(
        first.head.logits(features), second.head.logits(features)
    )


def test_with_folds_each_is_predicted_by_the_kind_that_the_others_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    features = generator.standard_normal((60, 4)).astype(np.float32)
    split = split_of(generator.integers(0, 2, 60).tolist(), ["train"] * 60, folds=3)
    seen: list[np.ndarray] = []
    original = head.compare

    def spied(data, *others, **more):
        seen.append(data.features)
        return original(data, *others, **more)

    monkeypatch.setattr(head, "compare", spied)
    recipe = Recipe().updated({"head.kind": "auto", "head.cv_folds": 2})
    found = cross_validated_head(split, features, recipe)
    assert split.folds is not None and len(seen) == 4 and np.array_equal(seen[0], features)
    for number in range(3):
        assert np.array_equal(seen[1 + number], features[split.folds != number])
    assert np.isfinite(found.out_of_fold).all()
    assert np.allclose(fit_on(split, features, recipe).logits(features), found.head.logits(features))


def test_a_head_that_is_no_layer_is_chosen_where_no_line_tells_the_classes_apart() -> None:
    generator = np.random.default_rng(0)
    features = generator.uniform(-1, 1, (240, 2)).astype(np.float32)
    targets = (features[:, 0] * features[:, 1] > 0).astype(int).tolist()
    found = cross_validated_head(
        split_of(targets, ["train"] * 240), features, Recipe().updated({"head.kind": "auto", "head.cv_folds": 2})
    )
    assert found.kind in VOTING_HEADS and found.kind == found.compared[0][0]
    assert dict(found.compared)[found.kind] > 0.8 > 0.7 > max(dict(found.compared)[kind] for kind in LINEAR_HEADS)
