"""Other heads than logistic regression: the linear ones, and nearest neighbours, trees and forests."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from striate.errors import RequestError
from striate.inference.classifiers import ClassifierHead
from striate.tasks import Classification
from striate.tasks.regression import Regression
from striate.transfer import classifiers
from striate.transfer.classifiers import LINEAR, SMOOTHED, VOTING, accuracy, check_head, compare, fit_kind
from striate.transfer.head import HeadData, fold_of

THREE = Classification(("a", "b", "c"))
sklearn = pytest.importorskip("sklearn", reason="the extra 'sklearn' is not installed")


def blobs(count: int, width: int = 6, apart: float = 1.5, seed: int = 0) -> HeadData:
    """Three classes of unequal sizes, on scales that differ from feature to feature."""
    generator = np.random.default_rng(seed)
    targets = generator.choice(3, count, p=[0.5, 0.3, 0.2])
    centres = apart * generator.standard_normal((3, width))
    features = (centres[targets] + generator.standard_normal((count, width))) * np.logspace(-1, 1, width) + 3
    return HeadData(features.astype(np.float32), targets, THREE)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifiers, "TREES", 40)


def folds(data: HeadData) -> NDArray[np.int64]:
    return fold_of(data.targets, 5, 0)


def test_bayes_is_the_posterior_of_gaussians_with_shared_variances_to_a_power() -> None:
    data = blobs(300)
    head = fit_kind("bayes", data, folds(data), 0).head
    x = data.features.astype(np.float64)
    means = np.stack([x[data.targets == place].mean(axis=0) for place in range(3)])
    variances = ((x - means[data.targets]) ** 2).mean(axis=0)
    variances += SMOOTHED * variances.mean()
    priors = (np.bincount(data.targets) + 1) / (len(x) + 3)
    densities = norm.logpdf(x[:, None], means[None], np.sqrt(variances)).sum(axis=2) + np.log(priors)
    logits = x @ head.weight.astype(np.float64).T + head.bias
    ours, exact = (values - values[:, :1] for values in (logits, densities))
    factor = (ours * exact).sum() / (exact**2).sum()
    assert factor > 0 and np.allclose(ours, factor * exact, atol=1e-3 * np.abs(ours).max())


def test_svm_is_scikit_learns_of_each_class_against_the_others() -> None:
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    data = blobs(200)
    head = fit_kind("svm", data, folds(data), 0).head
    assert head.C is not None and head.C in [c for c, _ in head.scores]
    x = StandardScaler().fit_transform(data.features.astype(np.float64)) / np.sqrt(6)
    exact = LinearSVC(C=head.C, random_state=0).fit(x, data.targets).decision_function(x)
    ours = data.features @ head.weight.T + head.bias
    factor = (ours * exact).sum() / (exact**2).sum()
    assert factor > 0 and np.allclose(ours, factor * exact, atol=1e-2)


@pytest.mark.parametrize("kind", [*LINEAR, *VOTING])
def test_probabilities_of_a_head_are_calibrated_and_two_classes_have_two_outputs(kind: str) -> None:
    data = blobs(800, width=40, apart=0.3)
    fitted = fit_kind(kind, data, folds(data), 0)
    right = fitted.out_of_fold.argmax(axis=1) == data.targets
    assert abs(float(fitted.out_of_fold.max(axis=1).mean()) - right.mean()) < 0.05
    assert np.allclose(fitted.out_of_fold.sum(axis=1), 1, atol=1e-5)
    two = HeadData(data.features, data.targets % 2, Classification(("a", "b")))
    logits = fit_kind(kind, two, folds(two), 0).head.logits(two.features)
    assert logits.shape == (800, 2) and logits.dtype == np.float32


def test_no_kind_sees_the_fold_that_it_predicts() -> None:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 3, 300)
    data = HeadData(generator.standard_normal((300, 8)).astype(np.float32), targets, THREE)
    found = compare(data, folds(data), 0)
    assert {one.kind for one in found} == {*LINEAR, *VOTING}
    for one in found:  # a tree would know every label of what it was fitted to
        assert accuracy(one, data) < 0.45, one.kind


def test_kinds_are_ordered_by_their_accuracy() -> None:
    generator = np.random.default_rng(0)
    features = generator.uniform(-1, 1, (300, 2)).astype(np.float32)
    data = HeadData(features, (features[:, 0] * features[:, 1] > 0).astype(np.int64), Classification(("a", "b")))
    found = compare(data, folds(data), 0)  # no line tells these apart
    scores = [accuracy(one, data) for one in found]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.9 and found[0].kind in VOTING
    assert max(accuracy(one, data) for one in found if one.kind in LINEAR) < 0.7


@pytest.mark.parametrize("kind", [*LINEAR, "knn", "tree"])
def test_images_of_weight_zero_have_no_part_and_classes_may_be_absent(kind: str) -> None:
    data = blobs(120)
    wrong = HeadData(
        np.concatenate([data.features, data.features]), np.concatenate([data.targets, 2 - data.targets]), THREE,
        np.repeat([1.0, 0.0], 120),
    )  # fmt: skip
    fold = np.tile(folds(data), 2)
    fitted = fit_kind(kind, wrong, fold, 0)
    right = fitted.head.logits(data.features).argmax(axis=1) == data.targets
    assert right.mean() > 0.8
    few = HeadData(data.features[:40], np.minimum(data.targets[:40], 1), THREE)  # no image of the third class
    head = fit_kind(kind, few, fold_of(few.targets, 5, 0), 0).head
    assert set(head.logits(few.features).argmax(axis=1)) <= {0, 1}
    one = HeadData(data.features[:4], np.zeros(4, np.int64), THREE)
    head = fit_kind(kind, one, np.zeros(4, np.int64), 0).head
    logits = head.logits(one.features)
    assert np.isfinite(logits).all() and not logits.argmax(axis=1).any()


def test_a_head_that_cannot_be_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in VOTING:
        check_head(THREE, kind)
    with pytest.raises(RequestError, match="single-label classification; the task here is 'regression'"):
        check_head(Regression(("metres",)), "svm")
    check_head(Regression(("metres",)), "logistic")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_head(THREE, "bayes")
    check_head(THREE, "knn")
    with pytest.raises(RequestError, match=r"pip install 'striate\[sklearn\]'"):
        check_head(THREE, "auto")


@pytest.mark.parametrize("kind", VOTING)
def test_votes_are_scikit_learns(kind: str) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer
    from sklearn.tree import DecisionTreeClassifier

    data, new = blobs(300, width=20, apart=0.4), blobs(500, width=20, apart=0.4, seed=0).features[300:]
    weights = np.random.default_rng(1).uniform(0.5, 2, 300)
    data = HeadData(data.features, data.targets, Classification(("a", "b", "c", "absent")), weights)
    exact = {
        "knn": lambda: make_pipeline(Normalizer(), KNeighborsClassifier(5)).fit(data.features, data.targets),
        "tree": lambda: DecisionTreeClassifier(random_state=3).fit(data.features, data.targets, weights),
        "forest": lambda: RandomForestClassifier(40, random_state=3).fit(data.features, data.targets, weights),
    }[kind]()
    head = fit_kind(kind, data, folds(data), 3).head
    assert isinstance(head, ClassifierHead)
    ours = head.classifier.shares(new)
    assert np.allclose(ours[:, :3], exact.predict_proba(new), atol=1e-6) and not ours[:, 3].any()
    arrays = head.classifier.arrays()
    again = type(head.classifier).read(arrays, 20, 4)
    assert np.array_equal(again.shares(new), ours)
    for name, array in arrays.items():  # whatever a damaged file holds is refused, and never runs on
        wrong = {**arrays, name: array + 10_000 if array.dtype == np.int32 else array.astype(np.float16)}
        with pytest.raises(ValueError):
            type(head.classifier).read(wrong, 20, 4)
    if kind != "knn":
        with pytest.raises(ValueError):
            type(head.classifier).read({**arrays, "left": np.zeros_like(arrays["left"])}, 20, 4)
