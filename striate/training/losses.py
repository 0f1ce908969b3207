"""What a step makes smaller: a loss for each image, by the kind of task."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from striate.errors import RequestError, unknown

Loss = Callable[[Tensor, Tensor], Tensor]  # scores and targets of a batch -> a loss an image [B]

# The losses each kind of task may have; the first is its own.
LOSSES = {"class": ("cross-entropy",), "labels": ("binary-cross-entropy",), "number": ("mse", "huber")}


def cross_entropy(
    scores: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, prior: Tensor | None = None
) -> Tensor:
    """Minus the log-probability of the right class for each image of a batch [B], in float32.

    `scores` [B, classes] before any softmax, `labels` int64 [B]. `label_smoothing` is the mass moved from the right
    class to all classes: equally, or by `prior`, the share of each class, float32 [classes], or the first of them.
    Source: Szegedy et al. 2015, arXiv:1512.00567, section 7, where the distribution u(k) is the prior in general and
    uniform in the experiments. Raises RequestError for other shapes.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise _shapes("cross entropy takes scores [B, classes] and labels [B]", scores, labels)
    if prior is None or not label_smoothing:
        return F.cross_entropy(scores.float(), labels, label_smoothing=label_smoothing, reduction="none")
    logs = F.log_softmax(scores.float(), 1)
    told = F.nll_loss(logs, labels, reduction="none")
    return (1 - label_smoothing) * told - label_smoothing * (logs[:, : len(prior)] @ prior)


def binary_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Minus the log-probability of what is true of each label, averaged over the labels: [B], in float32.

    `scores` [B, labels] before any sigmoid, `labels` float32 of the same shape, 0 or 1. Raises RequestError for others.
    """
    if scores.ndim != 2 or labels.shape != scores.shape:
        raise _shapes("binary cross entropy takes scores [B, labels] and labels [B, labels]", scores, labels)
    return F.binary_cross_entropy_with_logits(scores.float(), labels, reduction="none").mean(1)


def squared_error(scores: Tensor, numbers: Tensor, *, unit: float = 1.0) -> Tensor:
    """The square of each error, counted in `unit`s: [B], in float32. `scores` [B, 1], `numbers` float32 [B].

    Raises RequestError for other shapes.
    """
    return _errors(scores, numbers, unit) ** 2


def huber(scores: Tensor, numbers: Tensor, *, unit: float = 1.0) -> Tensor:
    """Half the square of each error up to one `unit`, a straight line beyond: [B]. Shapes as in `squared_error`.

    Source: Huber 1964, "Robust estimation of a location parameter".
    """
    errors = _errors(scores, numbers, unit)
    return F.huber_loss(errors, errors.new_zeros(()).expand_as(errors), reduction="none")


def loss_for(
    task: str,
    name: str | None = None,
    *,
    label_smoothing: float = 0.0,
    prior: Tensor | None = None,
    unit: float = 1.0,
) -> Loss:
    """The loss `name` of a kind of task; None: the task's own. Raises RequestError for what does not fit."""
    if task not in LOSSES:
        raise unknown("task", task, LOSSES)
    name = LOSSES[task][0] if name is None else name
    if name not in LOSSES[task]:
        raise unknown(f"loss of the task {task!r}", name, LOSSES[task])
    if name == "cross-entropy":
        return lambda scores, labels: cross_entropy(scores, labels, label_smoothing=label_smoothing, prior=prior)
    if name == "binary-cross-entropy":
        return binary_cross_entropy
    error = squared_error if name == "mse" else huber
    return lambda scores, numbers: error(scores, numbers, unit=unit)


def _errors(scores: Tensor, numbers: Tensor, unit: float) -> Tensor:
    if scores.ndim != 2 or scores.shape[1] != 1 or numbers.shape != scores.shape[:1]:
        raise _shapes("the error of a number takes scores [B, 1] and numbers [B]", scores, numbers)
    return (scores[:, 0].float() - numbers) / unit


def _shapes(wanted: str, scores: Tensor, targets: Tensor) -> RequestError:
    return RequestError(f"{wanted}, not {list(scores.shape)} and {list(targets.shape)}")
