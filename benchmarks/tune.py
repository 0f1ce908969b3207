"""Hyper-parameter search: heads a minute on cached features, two workers against one, random search against a grid.

    python benchmarks/tune.py [heads] [workers] [two-keys]

heads: hymenoptera, every backbone that is here, features cached. workers: LeNet-5 on the digits for the same time, by
one and by two processes of one thread each. two-keys: LeNet-5 on the digits over the learning rate, which matters, and
label smoothing, which hardly does; what docs/render_tuning.py draws.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from statistics import mean

import numpy as np
from recording import DATA, write_record

from striate import Recipe, tune
from striate.data.opening import open_source
from striate.learning.clock import Clock
from striate.learning.context import RunContext
from striate.learning.planning import choose, summarise
from striate.learning.run_folder import FollowerFolder
from striate.progress import Progress, Step
from striate.tuning import Tried, random_against_grid
from striate.tuning.scoring import Scorer
from striate.tuning.space import make_space
from striate.tuning.trial_data import TrialData, training_keys, validation_parts

SECONDS, ROUNDS, SEEDS = 30, 2, 5
LENET = {"strategy": "scratch", "net.name": "lenet5_plain", "train.epochs": 4}
TWO_KEYS = {"optimizer.lr": {"low": 1e-4, "high": 10.0}, "loss.label_smoothing": {"low": 0.0, "high": 0.2}}
ALONG = 21  # points along each key, of the curves beside the picture
COMMAND = "python benchmarks/tune.py"


class Timed(Progress):
    """Seconds within each bar, by its name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Step]:
        """Time the block."""
        started = time.perf_counter()
        with super().bar(what, total) as step:
            yield step
        self.seconds[what] = time.perf_counter() - started


def heads(folder: Path) -> dict[str, object]:
    """Heads a minute, from the first trial to the last, with all that is between them; features cached."""
    space = {
        "net.name": "auto",
        "head.kind": ["logistic", "bayes"],
        "data.balance": ["none", "weights"],
        "head.cv_folds": [3, 4, 5, 6, 8, 10],
    }
    data, recipe, timed = DATA / "hymenoptera", {"strategy": "features"}, Timed()
    for name in ("warm", "measured"):
        done = tune(data, out=folder / name, space=space, method="grid", recipe=recipe, progress=timed)
    seconds = timed.seconds["Trials"]
    return {
        "what": "heads on cached features",
        "command": f"{COMMAND} heads",
        "n": 1,
        "heads": len(done.rows),
        "nets": sorted({row.values["net.name"] for row in done.rows}),
        "seconds": round(seconds, 2),
        "heads_a_minute": round(60 * len(done.rows) / seconds),
        "goal": 200,
    }


def made(folder: Path, processes: int) -> int:
    """Trials that so many processes make together in SECONDS, their start included."""
    words = [sys.executable, "-m", "striate", "tune", "digits", "--out", str(folder), "--trials", "100000"]
    words += ["--budget", f"{SECONDS}s", *(f"--set={key}={value}" for key, value in LENET.items())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(processes)
    ]
    assert all(process.wait() == 0 for process in running)
    found = json.loads((folder / "result.json").read_text())["trials"]
    return sum(row["state"] == "complete" for row in found)


def workers(folder: Path) -> dict[str, object]:
    """Trials of one and of two processes in the same time, in turns."""
    one, two = [], []
    for number in range(ROUNDS):
        one.append(made(folder / f"one-{number}", 1))
        two.append(made(folder / f"two-{number}", 2))
    return {
        "what": "two workers against one",
        "command": f"{COMMAND} workers",
        "n": ROUNDS,
        "seconds": SECONDS,
        "trials_of_one": one,
        "trials_of_two": two,
        "ratio": round(mean(two) / mean(one), 2),
        "goal": 1.8,
    }


def two_keys(folder: Path) -> dict[str, object]:
    """Nine trials of a grid and nine random ones over two keys, and the score along each key."""
    recipe = Recipe().updated(LENET)
    source = open_source("digits")
    summary = summarise(source)
    plan = choose(summary, "scratch", "lenet5_plain")
    data = TrialData(source, summary, plan, recipe, RunContext(FollowerFolder(folder), Clock(), Progress()))
    scorer = Scorer(data, validation_parts(data.split, training_keys(data.split), recipe, None))
    space = make_space(TWO_KEYS, recipe, "scratch")

    def score(values: dict[str, float]) -> float:
        return scorer.evaluate(recipe.updated(values)).score

    @cache
    def scored(first: float, second: float) -> float:
        return score(dict(zip(TWO_KEYS, (first, second), strict=True)))

    searches = [random_against_grid(lambda values: scored(*values.values()), space, seed=seed) for seed in range(SEEDS)]
    found = searches[0]
    best = max(found.random, key=lambda one: one.score)
    names, middle = found.names, (best.first, best.second)
    along = []
    for place, name in enumerate(names):
        values = [space.dimension(name).at(number / (ALONG - 1)) for number in range(ALONG)]
        other = {names[1 - place]: middle[1 - place]}
        along.append([[value, round(score({name: value, **other}), 4)] for value in values])
    return {
        "what": "random search against a grid",
        "command": f"{COMMAND} two-keys",
        "n": SEEDS,
        "keys": list(names),
        "ranges": [[one["low"], one["high"]] for one in TWO_KEYS.values()],
        "grid": points(found.grid),
        "random": points(found.random),
        "expected": expected(along[0]),
        "best_of_grid": round(found.best()[0].score, 4),
        "best_of_random_by_seed": [round(one.best()[1].score, 4) for one in searches],
        "along": along,
    }


def expected(along: list[list[float]]) -> dict[str, float]:
    """The best of a grid's three rates, wherever the grid begins, and of nine random ones, by the curve of the rate."""
    rates, scores = np.log(np.array(along)[:, 0]), np.array(along)[:, 1]
    generator, span = np.random.default_rng(0), rates[-1] - rates[0]
    starts = rates[0] + span / 3 * generator.random(4000)
    grid = np.interp(starts[:, None] + span / 3 * np.arange(3), rates, scores).max(axis=1)
    drawn = np.interp(rates[0] + span * generator.random((4000, 9)), rates, scores).max(axis=1)
    found = {"grid": grid.mean(), "random": drawn.mean()}
    found |= {"grid_worst_twentieth": np.quantile(grid, 0.05), "random_worst_twentieth": np.quantile(drawn, 0.05)}
    return {name: round(float(value), 4) for name, value in found.items()}


def points(tried: tuple[Tried, ...]) -> list[list[float]]:
    return [[one.first, one.second, round(one.score, 4)] for one in tried]


PARTS = {"heads": heads, "workers": workers, "two-keys": two_keys}

if __name__ == "__main__":
    rows = []
    for part in sys.argv[1:] or list(PARTS):
        place = Path(tempfile.mkdtemp(prefix="striate-tune-"))
        started = time.perf_counter()
        rows.append(PARTS[part](place))
        shutil.rmtree(place)
        print(f"{part}: {time.perf_counter() - started:.0f} s", {k: v for k, v in rows[-1].items() if k != "along"})
    write_record("tune", rows, ["striate", "optuna", "torch", "numpy", "openvino"])
