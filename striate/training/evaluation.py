"""Evaluation on held-out images after an epoch: the task's metric and the loss."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.tasks import Task
from striate.tasks.values import DENSE
from striate.training.examples import Examples
from striate.training.training_module import LossFunction
from striate.training.view import View


class Validation(NamedTuple):
    """score: the task's metric. loss: the weighted mean over the images."""

    score: float
    loss: float


def score(net: nn.Module, examples: Examples, *, precision: str = "float32", batch: int = 256) -> float:
    """The metric of the examples' task without augmentation, such as the accuracy: see `Task.metric`.

    The network runs on its own device in its current mode, so call `eval()` first.
    """
    view = View(examples, next(net.parameters()).device)
    return _predicted(net, view, precision=precision, batch=batch).score(examples.task)


def predictions(
    net: nn.Module, examples: Examples, *, precision: str = "float32", batch: int = 256
) -> NDArray[np.float32]:
    """The predictions [N, outputs] for the examples without augmentation, in order; the network as in `score`."""
    view = View(examples, next(net.parameters()).device)
    return _predicted(net, view, precision=precision, batch=batch).predictions


def validate(net: nn.Module, view: View, loss: LossFunction, *, precision: str, batch: int = 256) -> Validation:
    """Metric and loss of a view's images; reusing a `view` moves its images to the device only once."""
    found = _predicted(net, view, loss, precision=precision, batch=batch)
    return Validation(found.score(view.examples.task), float((found.losses * view.sample_weights).mean()))


class _Predicted(NamedTuple):
    """predictions, targets: as the task has them. losses [N], without a loss function empty."""

    predictions: NDArray[np.float32]
    targets: NDArray[Any]
    losses: Tensor

    def score(self, task: Task) -> float:
        return task.evaluate("", self.predictions, self.targets).score


@torch.no_grad()
def _predicted(
    net: nn.Module, view: View, loss: LossFunction | None = None, *, precision: str, batch: int
) -> _Predicted:
    """Batch by batch: of masks, the logits of all images would not fit into memory."""
    task, predictions, targets, losses = view.examples.task, [], [], []
    for rows in torch.split(torch.arange(len(view.examples)), DENSE if view.examples.task.dense else batch):
        with torch.autocast(view.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            logits = net(view.plain(rows)).float()
        wanted = view.targets(rows)
        predictions.append(task.predictions(logits.cpu().numpy()))
        targets.append(wanted.cpu().numpy())
        if loss is not None:
            losses.append(loss(logits, wanted))
    return _Predicted(
        np.concatenate(predictions), np.concatenate(targets), torch.cat(losses) if losses else torch.empty(0)
    )
