"""Sample weights: those of the manifest, and class balancing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Usable
from striate.errors import RequestError
from striate.recipe import Recipe
from striate.tasks import Task


def sample_weights(task: Task, entries: list[Usable], balance: str, *, own: bool = True) -> NDArray[np.float64] | None:
    """The weights [N] of training images, with mean 1; None if all are equal.

    own: include the weights given for single images; False if the loss has them already. balance "weights" or
    "sampling": every class has the same total weight, whatever its number of images.
    Raises RequestError if there are no classes to balance.
    """
    weights = np.array([entry.item.weight if own else 1.0 for entry in entries], np.float64)
    if balance != "none":
        check_balance(task, balance)
        classes = task.collate(entry.item.target for entry in entries)
        totals = np.bincount(classes, weights, task.outputs)
        weights = weights / totals[classes]
    weights *= len(weights) / max(float(weights.sum()), 1e-300)
    return None if np.allclose(weights, 1, atol=1e-12, rtol=0) else weights


def check_balance(task: Task, balance: str) -> None:
    """Raise RequestError if there are no classes to balance."""
    if balance != "none" and not task.one_class:
        raise RequestError(f"balance {balance!r} needs single-label classification; the task here is {task.kind!r}")


def balance_note(recipe: Recipe) -> list[str]:
    """A line for the user if sampling was requested for a linear head, which is fitted to convergence without
    sampling."""
    if recipe.data.balance == "sampling":
        return ["balance 'sampling': a linear head is fitted to all images at once, so class weights were used"]
    return []
