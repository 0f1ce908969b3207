"""How much each image counts in learning: the manifest's weights, and classes brought into balance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Usable
from striate.errors import RequestError
from striate.recipe import Recipe
from striate.task import Task


def weights_of(task: Task, entries: list[Usable], balance: str, *, own: bool = True) -> NDArray[np.float64] | None:
    """The weights [N] of images to learn from, of mean 1; None where all count alike.

    own: their own weights count; without, only the balance does, as when those weights are in the loss already.
    balance "weights" or "sampling": every class counts as much as every other one, whatever its number of images.
    Raises RequestError where there are no classes to balance.
    """
    weights = np.array([entry.item.weight if own else 1.0 for entry in entries], np.float64)
    if balance != "none":
        check_balance(task, balance)
        classes = task.targets(entry.item for entry in entries)
        totals = np.bincount(classes, weights, task.outputs)
        weights = weights / totals[classes]
    weights *= len(weights) / max(float(weights.sum()), 1e-300)
    return None if np.allclose(weights, 1, atol=1e-12, rtol=0) else weights


def check_balance(task: Task, balance: str) -> None:
    """Raise RequestError where there are no classes to balance."""
    if balance != "none" and task.kind != "class":
        raise RequestError(f"balance {balance!r} goes with one class an image; here the task is {task.kind!r}")


def balance_note(recipe: Recipe, strategy: str) -> list[str]:
    """A line on what balancing means here."""
    if recipe.data.balance == "sampling" and strategy == "features":
        return ["balance: a head fitted to convergence draws no samples, so every class was given the same weight"]
    return []
