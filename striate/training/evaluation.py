"""Evaluation on held-out images after an epoch: the task's metric and the loss."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
    return _score(examples, _logits(net, view, precision=precision, batch=batch))


def predictions(
    net: nn.Module, examples: Examples, *, precision: str = "float32", batch: int = 256
) -> NDArray[np.float32]:
    """The predictions [N, outputs] for the examples without augmentation, in order; the network as in `score`."""
    view = View(examples, next(net.parameters()).device)
    return examples.task.predictions(_logits(net, view, precision=precision, batch=batch).cpu().numpy())


def validate(net: nn.Module, view: View, loss: LossFunction, *, precision: str, batch: int = 256) -> Validation:
    """Metric and loss of a view's images; reusing a `view` moves its images to the device only once."""
    logits = _logits(net, view, precision=precision, batch=batch)
    with torch.no_grad():
        mean = float((loss(logits, view.targets) * view.sample_weights).mean())
    return Validation(_score(view.examples, logits), mean)


@torch.no_grad()
def _logits(net: nn.Module, view: View, *, precision: str, batch: int) -> Tensor:
    found = []
    for rows in torch.split(torch.arange(len(view.examples)), batch):
        with torch.autocast(view.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            found.append(net(view.plain(rows)).float())
    return torch.cat(found)


def _score(examples: Examples, logits: Tensor) -> float:
    task = examples.task
    return task.evaluate("", task.predictions(logits.cpu().numpy()), examples.targets.cpu().numpy()).score
