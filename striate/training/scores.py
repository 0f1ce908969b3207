"""How well a network does on held-out images, as one number a kind of task."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from striate.metrics import average_precision
from striate.training.settings import Settings
from striate.training.view import Values, View, check

SCORES = {
    "class": "fraction right",
    "labels": "mean average precision",
    "number": "mean absolute error",
}


@torch.no_grad()
def score(
    net: nn.Module,
    images: Tensor,
    targets: Tensor,
    settings: Settings,
    *,
    mean: Values,
    std: Values,
    batch: int = 256,
    among: Tensor | None = None,
) -> float:
    """The score of the settings' task on `images` (uint8 [N, C, H, W]), without augmentation.

    "class": the fraction whose highest score is at their label, 0 to 1; "labels": the mean over the labels that any
    image has of their average precision, 0 to 1, and NaN where none has any; "number": the mean absolute error, in the
    units of the targets. The network is used in the mode it is in, so call `eval()` before.
    `targets`, `mean`, `std`, `among` and errors as in `striate.training.loop.fit`; of the settings, those that say what
    is seen.
    """
    check(images, targets, settings.task, among)
    device = next(net.parameters()).device
    view = View(images, dataclasses.replace(settings, augment="none"), mean=mean, std=std, device=device, among=among)
    found = []
    for rows in torch.split(torch.arange(len(targets)), batch):
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            found.append(net(view.plain(rows)).float().cpu())
    scores, truth = torch.cat(found), targets.cpu()
    if settings.task == "class":
        return int((scores.argmax(1) == truth).sum()) / len(truth)
    if settings.task == "number":
        return float((scores[:, 0].double() - truth.double()).abs().mean())
    each = [average_precision(scores[:, label], truth[:, label] > 0.5) for label in range(truth.shape[1])]
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
