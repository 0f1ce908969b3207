"""`ImageClassifier` keeps scikit-learn's contract, and stands in its pipelines, scores and searches."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from striate import ImageClassifier
from striate.sklearn import EXPECTED_FAILED_CHECKS

TINY: dict[str, Any] = {
    "net": "lenet5_plain", "strategy": "scratch", "epochs": 5, "batch": 16, "augment": "none", "engine": "torch",
}  # fmt: skip


def digits(*wanted: int, each: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Flat digits [N, 64] with values from 0 to 16, and their labels."""
    values, labels = load_digits(return_X_y=True)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:each] for digit in wanted])
    return values[chosen], labels[chosen]


@pytest.fixture(scope="module")
def fitted() -> ImageClassifier:
    return ImageClassifier(**TINY, image_shape=(8, 8)).fit(*digits(0, 1, 7))


def test_it_learns_digits(fitted: ImageClassifier) -> None:
    values, labels = digits(0, 1, 7, each=80)
    assert fitted.score(values, labels) > 0.95
    assert fitted.classes_.tolist() == [0, 1, 7] and fitted.n_features_in_ == 64
    probabilities = fitted.predict_proba(values)
    assert probabilities.shape == (len(values), 3) and np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(fitted.predict(values), fitted.classes_[probabilities.argmax(axis=1)])


def test_images_flat_values_and_text_labels_are_the_same_model(fitted: ImageClassifier) -> None:
    values, labels = digits(0, 1, 7)
    images = (values * 255 / 16).round().astype(np.uint8).reshape(-1, 8, 8)
    words = np.array(["no", "one", "..", "..", "..", "..", "..", "seven"])[labels]
    other = ImageClassifier(**TINY).fit(images, words)
    assert other.classes_.tolist() == ["no", "one", "seven"] and other.n_features_in_ == 64
    assert np.array_equal(other.predict_proba(images), fitted.predict_proba(values))
    assert np.array_equal(other.predict_proba(images[..., None]), fitted.predict_proba(values))
    colour = ImageClassifier(**TINY | {"net": "resnet8", "epochs": 1}).fit(np.stack([images] * 3, -1), labels)
    assert colour.predict(np.stack([images] * 3, -1)).shape == labels.shape


@pytest.mark.parametrize("keep", [pickle, joblib], ids=["pickle", "joblib"])
def test_it_is_pickled_without_its_engine(keep: Any, fitted: ImageClassifier) -> None:
    values, _ = digits(0, 1, 7, each=3)
    expected = fitted.predict_proba(values)
    stream = io.BytesIO()
    keep.dump(fitted, stream)
    stream.seek(0)
    again = keep.load(stream)
    assert np.array_equal(again.predict_proba(values), expected)
    assert not hasattr(clone(again), "model_")


def test_scores_and_searches() -> None:
    values, labels = digits(0, 1, each=24)
    estimator = ImageClassifier(**TINY | {"epochs": 2}, image_shape=(8, 8))
    assert cross_val_score(estimator, values, labels, cv=2).min() > 0.8
    pipeline = make_pipeline(FunctionTransformer(), estimator)
    search = GridSearchCV(pipeline, {"imageclassifier__lr": [1e-6, 0.1]}, cv=2).fit(values, labels)
    assert search.best_params_ == {"imageclassifier__lr": 0.1} and search.best_score_ > 0.8
    assert search.predict(values[:3]).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 8, 8, 2), np.uint8), r"images \[N, H, W\] or \[N, H, W, 3\].*not \[4, 8, 8, 2\]"),
        (np.zeros((4, 1, 1, 8, 8), np.uint8), r"not \[4, 1, 1, 8, 8\]"),
        (np.zeros((3, 8, 8), np.uint8), "X holds 3 images, and y 4 labels"),
        (np.zeros((4, 63)), r"image_shape \(8, 8\) does not hold the 63 values"),
        (np.full((4, 8, 8), np.nan), "NaN"),
    ],
    ids=["channels", "five", "count", "shape", "nan"],
)
def test_what_is_no_image_is_named(values: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ImageClassifier(**TINY, image_shape=(8, 8)).fit(values, [0, 1, 0, 1])


def test_images_of_another_size_than_fitted_are_refused(fitted: ImageClassifier) -> None:
    for values in (np.zeros((2, 9, 8), np.uint8), np.zeros((2, 72))):
        with pytest.raises(ValueError, match="X has 72 features, but ImageClassifier is expecting 64 features"):
            fitted.predict(values)


def test_without_scikit_learn_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import striate; striate.ImageClassifier"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "pip install 'striate[sklearn]'" in done.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.EstimatorCheckFailedWarning")
def test_scikit_learns_own_checks_fail_exactly_where_it_is_said() -> None:
    ran = check_estimator(ImageClassifier(**TINY), on_fail=None, on_skip=None)
    failed = {one["check_name"] for one in ran if one["status"] == "failed"}
    assert failed == EXPECTED_FAILED_CHECKS.keys()
    assert sum(one["status"] == "passed" for one in ran) > 45
