"""Measure the estimated number of wrong labels: python benchmarks/label_noise.py

1, 5 and 20 % wrong labels are planted in hymenoptera and flowers17 (features of the pretrained backbone) and in
scikit-learn's digits (pixels, plain and under noise); 0 % for comparison. Uniform: another class at random. Paired: the
next class, as where two classes are mixed up. Beside it: how many labels the predictions doubt at all, and the count of
confident learning (Northcutt et al. 2021).
"""

from __future__ import annotations

import json
import os
import tempfile

import numpy as np
from numpy.typing import NDArray
from recording import DATA, write_record
from sklearn.datasets import load_digits

from striate.data.audit.audit import Audit, Usable
from striate.data.audit.looking import Record
from striate.data.opening import open_source
from striate.data.sources.base import Item
from striate.learning.extraction import extract, feature_extractor, features_of
from striate.learning.head import cross_validated_head
from striate.learning.label_noise import wrong_labels
from striate.learning.split import Split
from striate.progress import Progress
from striate.recipe import Recipe
from striate.tasks import Classification
from striate.weights.models import DEFAULT_BACKBONE, published_model

SHARES, SEEDS = (0.0, 0.01, 0.05, 0.2), 3
NOISE = 1.0  # standard deviations of the pixels, for the hard digits

Features = tuple[NDArray[np.float32], NDArray[np.int64]]


def features(name: str) -> Features:
    """The features and labels of a data set."""
    if name.startswith("digits"):
        digits = load_digits()
        pixels = digits.data / 16
        if name != "digits":
            pixels = pixels + np.random.default_rng(9).normal(0, NOISE * pixels.std(), pixels.shape)
        return pixels.astype(np.float32), digits.target
    source = open_source(DATA / name)
    extractor = feature_extractor(published_model(DEFAULT_BACKBONE), "auto", "auto", len(source.items))
    pairs, cache = extract(source, extractor, Progress())
    usable = [Usable(item, record) for item, record in pairs if not record.problem]
    return features_of(usable, cache), np.array([entry.item.target for entry in usable], np.int64)


def out_of_fold(x: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Predictions as `striate audit --labels` makes them."""
    task = Classification(tuple(map(str, range(int(labels.max()) + 1))))
    usable = [Usable(Item(f"{n}", int(label)), Record(f"{n}")) for n, label in enumerate(labels)]
    split = Split(Audit(task, usable, []), ["train"] * len(usable))
    return cross_validated_head(split, x, Recipe()).out_of_fold


def confident(predictions: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The off-diagonal part of confident learning's calibrated joint counts."""
    classes = predictions.shape[1]
    limits = np.array([predictions[labels == one, one].mean() for one in range(classes)])
    above = predictions >= limits
    joint = np.zeros((classes, classes))
    sure = above.any(axis=1)
    np.add.at(joint, (labels[sure], np.where(above, predictions, -1)[sure].argmax(axis=1)), 1)
    joint *= (np.bincount(labels, minlength=classes) / np.maximum(joint.sum(axis=1), 1))[:, None]
    return float(joint.sum() - np.trace(joint))


def planted(x: NDArray[np.float32], labels: NDArray[np.int64], share: float, kind: str) -> dict[str, object]:
    """Means over the seeds."""
    counts = []
    for seed in range(SEEDS):
        generator, classes = np.random.default_rng(seed), int(labels.max()) + 1
        chosen = generator.permutation(len(labels))[: round(share * len(labels))]
        given = labels.copy()
        given[chosen] += generator.integers(1, classes, len(chosen)) if kind == "uniform" else 1
        given %= classes
        predictions = out_of_fold(x, given)
        doubted = (predictions.argmax(axis=1) != given).sum()
        counts.append((len(chosen), doubted, wrong_labels(predictions, given), confident(predictions, given)))
    names = ("planted", "doubted", "estimated", "confident_learning")
    return dict(zip(names, np.mean(counts, axis=0).round(1).tolist(), strict=True))


def main() -> None:
    """Measure and write the record."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("STRIATE_CACHE", scratch)
        for name in ("hymenoptera", "digits", "digits under noise", "flowers17"):
            rows: list[dict[str, object]] = []
            x, labels = features(name)
            for kind in ("uniform", "paired") if labels.max() > 1 else ("uniform",):
                for share in SHARES if kind == "uniform" else SHARES[1:]:
                    row: dict[str, object] = {
                        "what": f"{name}, {100 * share:g} % wrong labels, {kind}",
                        "images": len(labels),
                    }
                    row["command"] = "python benchmarks/label_noise.py"
                    rows.append({**row, "n": SEEDS, **planted(x, labels, share, kind)})
                    print(json.dumps(rows[-1]), flush=True)
            write_record("label-noise", rows, ("striate", "numpy", "scipy", "scikit-learn"))


if __name__ == "__main__":
    main()
