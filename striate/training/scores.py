"""How well a network does on held-out images: one number a kind of task, and the loss beside it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from striate.metrics import average_precision
from striate.training.examples import Examples
from striate.training.losses import loss_for
from striate.training.view import View

SCORES = {
    "class": "fraction right",
    "labels": "mean average precision",
    "number": "mean absolute error",
}


class Judged(NamedTuple):
    """What `judge` finds. score: of the task; loss: the mean over the images, as they count."""

    score: float
    loss: float


def score(net: nn.Module, examples: Examples, *, precision: str = "float32", batch: int = 256) -> float:
    """The score of the examples' task, without augmentation.

    "class": the fraction whose highest score is at their label, 0 to 1; "labels": the mean over the labels that any
    image has of their average precision, 0 to 1, and NaN where none has any; "number": the mean absolute error, in the
    units of the targets. The network is used on its own device, in the mode it is in, so call `eval()` before.
    """
    return judge(net, View(examples, next(net.parameters()).device), precision=precision, batch=batch).score


@torch.no_grad()
def judge(net: nn.Module, view: View, *, precision: str, loss: str | None = None, batch: int = 256) -> Judged:
    """Score and loss of a view's images; `view` is kept by who judges again, so that images move to the device once."""
    examples, found = view.examples, []
    for rows in torch.split(torch.arange(len(examples)), batch):
        with torch.autocast(view.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            found.append(net(view.plain(rows)).float())
    scores = torch.cat(found)
    losses = loss_for(examples.task, loss, unit=examples.unit)(scores, view.targets)
    return Judged(_score(scores.cpu(), examples.targets.cpu(), examples.task), float((losses * view.counts).mean()))


def better(task: str, one: float, other: float) -> bool:
    """Whether a score is better than another: errors are the better the smaller."""
    return one < other if task == "number" else one > other


def _score(scores: Tensor, truth: Tensor, task: str) -> float:
    if task == "class":
        return int((scores.argmax(1) == truth).sum()) / len(truth)
    if task == "number":
        return float((scores[:, 0].double() - truth.double()).abs().mean())
    each = [average_precision(scores[:, label], truth[:, label] > 0.5) for label in range(truth.shape[1])]
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
