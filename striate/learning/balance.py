"""Sample weights: those of the manifest, and classes brought into balance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.data.audit.audit import Usable
from striate.errors import RequestError
from striate.recipe import Recipe
from striate.tasks import Task


def sample_weights(task: Task, entries: list[Usable], balance: str, *, own: bool = True) -> NDArray[np.float64] | None:
    """The weights [N] of training images, with mean 1; None where all are equal.

    own: include the weights given for single images; without, only the balance counts, as where the loss has those
    weights already. balance "weights" or "sampling": every class counts the same, whatever its number of images.
    Raises RequestError where there are no classes to balance.
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
    """Raise RequestError where there are no classes to balance."""
    if balance != "none" and not task.one_class:
        raise RequestError(f"balance {balance!r} goes with one class an image; here the task is {task.kind!r}")


def balance_note(recipe: Recipe) -> list[str]:
    """A line where a linear head, which is fitted to convergence and draws no samples, was asked to sample."""
    if recipe.data.balance == "sampling":
        return ["balance 'sampling': a linear head is fitted to all images at once, so class weights were used"]
    return []
