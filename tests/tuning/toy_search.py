"""A search without training, for tests of workers: run as a process with a storage and what to do.

`python toy_search.py STORAGE STUDY run N`: make trials until all N are made, and print the numbers of its own.
`python toy_search.py STORAGE STUDY hang N`: claim a trial, print its number, and wait to be killed.
"""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

from striate.errors import WorkError
from striate.progress import Progress
from striate.recipe import Recipe
from striate.tuning.sampling import ByTrial, drawn
from striate.tuning.search import Search, run
from striate.tuning.space import Space, make_space
from striate.tuning.study import open_place, require_same, shared_total
from striate.tuning.workers import Watch, claim

RECIPE = Recipe().updated({"strategy": "scratch", "net.name": "lenet5_plain"})
KEYS = {"optimizer.lr": {"low": 0.001, "high": 1.0}, "loss.label_smoothing": {"low": 0.0, "high": 0.2}}


def space(keys: dict[str, Any] | None = None, **more: Any) -> Space:
    return make_space(keys or KEYS, RECIPE, "scratch", **more)


def search(storage: str, name: str = "toy", total: int = 6, method: str = "random", **more: Any) -> Search:
    place, searched = open_place(storage), more.pop("space", None) or space()
    sampler = ByTrial(method, more.get("seed", 0))
    study = place.study(name, maximize=True, sampler=sampler, pruner=more.get("pruner", "none"), epochs=9)
    require_same(study, {"data": "toy", "space": searched.digest(), "method": method})
    points = searched.grid(RECIPE) if method == "grid" else None
    total = shared_total(study, total, 50)
    return Search(place, study, searched, RECIPE, total, 0, points)


def evaluation(score: float) -> Any:
    return SimpleNamespace(score=score, interval=(score - 0.1, score + 0.1), total=20)


def by_rate(recipe: Recipe, on_epoch: Any) -> Any:
    """The score is best at a learning rate of 0.1; above 0.9 training diverges."""
    rate = recipe.optimizer.peak
    if rate > 0.9:
        raise WorkError("the loss is not a finite number")
    return evaluation(1 - abs(rate - 0.1))


def made(one: Search) -> list[int]:
    """The numbers of this process's trials."""
    return [row.number for row in one.rows() if row.worker.endswith(f":{os.getpid()}")]


if __name__ == "__main__":
    storage, name, what, total = sys.argv[1:]
    found = search(storage, name, int(total))
    if what == "run":
        run(found, by_rate, Progress())
        print(*made(found))
        found.place.close()
    else:
        claimed = claim(found.study, found.total, Watch())
        assert claimed is not None
        drawn(claimed.trial, found.space, RECIPE)
        print(claimed.trial.number, flush=True)
        sys.stdin.read()
