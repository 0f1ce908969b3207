"""The linear head beside scikit-learn's logistic regression, on the same features: seconds, accuracy, log loss.

    python benchmarks/head.py [FOLDER-OF-CLASSES ...]

By default hymenoptera and flowers17 of STRIATE_TEST_DATA. A fifth of the images is held out for both. Ours is the
whole of what `striate train` does: the search for C, the head and the out-of-fold predictions. Theirs is
LogisticRegressionCV over the values of C that ours tried, with five folds; above LARGE images it would take hours, and
is one LogisticRegression at each of the two grid values next to our C, the better one on the held-out images. With
`FOLDER:K` each class is cut into K by k-means of its features, for many classes of real features.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from recording import DATA, write_record

from striate.data.opening import open_source
from striate.learning.extraction import extract, feature_extractor
from striate.progress import Progress
from striate.tasks import Classification
from striate.transfer.head import CS, HeadData, fit_with_folds
from striate.weights.models import DEFAULT_BACKBONE, pretrained

LARGE, SEEDS = 5000, 3

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def features_of(folder: str) -> tuple[Features, Labels, float]:
    """Features, class numbers, and the seconds for reading and extracting (little, if they are cached)."""
    source = open_source(folder)
    started = time.perf_counter()
    pairs, cache = extract(source, feature_extractor(pretrained(DEFAULT_BACKBONE), "auto", "float32", 1), Progress())
    seconds = time.perf_counter() - started
    kept = [(item, record) for item, record in pairs if record.digest in cache]
    return cache.matrix(record.digest for _, record in kept), np.array([item.target for item, _ in kept]), seconds


def cut(x: Features, y: Labels, pieces: int) -> Labels:
    """Each class cut into `pieces` by a few steps of k-means."""
    generator, found = np.random.default_rng(0), np.zeros(len(y), np.int64)
    for label in np.unique(y):
        mine = x[y == label]
        centres = mine[generator.choice(len(mine), pieces, replace=False)]
        for _ in range(5):
            nearest = ((centres**2).sum(axis=1) - 2 * mine @ centres.T).argmin(axis=1)
            parts = [mine[nearest == piece] for piece in range(pieces)]
            centres = np.stack([part.mean(axis=0) if len(part) else centres[n] for n, part in enumerate(parts)])
        found[y == label] = label * pieces + nearest
    return found


def judged(probabilities: NDArray[Any], y: Labels) -> dict[str, float]:
    """Accuracy in percent and log loss."""
    true = np.maximum(probabilities[np.arange(len(y)), y], 1e-12)
    right = (probabilities.argmax(axis=1) == y).mean()
    return {"accuracy": round(100 * float(right), 2), "log_loss": round(float(-np.log(true).mean()), 4)}


def theirs(x: Features, y: Labels, held: Features, held_y: Labels, tried: list[float], c: float) -> dict[str, Any]:
    """scikit-learn's, with its seconds."""
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if len(x) <= LARGE:
            model = LogisticRegressionCV(Cs=tried, cv=5, scoring="neg_log_loss", max_iter=1000, n_jobs=2).fit(x, y)
            found, how = judged(model.predict_proba(held), held_y), f"LogisticRegressionCV, {len(tried)} values of C"
        else:
            near = sorted(CS, key=lambda one: abs(np.log(one / c)))[:2]
            rows = [
                judged(LogisticRegression(C=one, max_iter=1000).fit(x, y).predict_proba(held), held_y) for one in near
            ]
            found, how = min(rows, key=lambda row: row["log_loss"]), f"the better of LogisticRegression at C = {near}"
    return {**found, "seconds": round(time.perf_counter() - started, 1), "how": how}


def compared(name: str) -> dict[str, Any]:
    """One data set: means over SEEDS splits, or of one split where it is large."""
    folder, _, pieces = name.partition(":")
    x, y, seconds = features_of(folder)
    if pieces:
        y = cut(x, y, int(pieces))
    y = np.unique(y, return_inverse=True)[1]
    task = Classification(tuple(map(str, range(int(y.max()) + 1))))
    rows = [one_split(x, y, task, seed) for seed in range(SEEDS if len(y) <= LARGE else 1)]
    keys = ("accuracy", "log_loss", "seconds")
    return {
        "what": Path(name).name,
        "command": f"python benchmarks/head.py {Path(name).name}",
        "images": len(y),
        "classes": task.outputs,
        "seconds_of_features": round(seconds, 1),
        "C": [row["C"] for row in rows],
        **{
            who: {key: round(float(np.mean([row[who][key] for row in rows])), 4) for key in keys}
            for who in ("ours", "theirs")
        },
        "their_way": rows[-1]["theirs"]["how"],
        "n": len(rows),
        "load_average": round(os.getloadavg()[0], 1),
    }


def one_split(x: Features, y: Labels, task: Classification, seed: int) -> dict[str, Any]:
    """Both on four fifths of the images, judged on the others."""
    order = np.random.default_rng(seed).permutation(len(y))
    train, held = order[len(y) // 5 :], order[: len(y) // 5]
    started = time.perf_counter()
    head = fit_with_folds(HeadData(x[train], y[train], task)).head
    seconds = time.perf_counter() - started
    ours = judged(task.predictions(x[held] @ head.weight.T + head.bias), y[held])
    return {
        "C": round(head.C, 4),
        "ours": {**ours, "seconds": seconds},
        "theirs": theirs(x[train], y[train], x[held], y[held], [c for c, _ in head.scores], head.C),
    }


def main() -> None:
    """Measure and write the record."""
    rows = []
    for name in sys.argv[1:] or [str(DATA / "hymenoptera"), str(DATA / "flowers17")]:
        rows.append(compared(name))
        print(rows[-1], flush=True)
    write_record("head", rows, ("striate", "numpy", "scikit-learn"))


if __name__ == "__main__":
    main()
