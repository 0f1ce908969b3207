"""What a step makes smaller."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from striate.errors import RequestError


def cross_entropy(scores: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """The mean over a batch of minus the log-probability of the right class, in float32.

    `scores` [B, classes] before any softmax, `labels` int64 [B]. `label_smoothing` is the mass moved from the right
    class to all classes equally. Source: Szegedy et al. 2015, arXiv:1512.00567, section 7.
    Raises RequestError for other shapes.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        shapes = f"{list(scores.shape)} and {list(labels.shape)}"
        raise RequestError(f"cross entropy takes scores [B, classes] and labels [B], not {shapes}")
    return F.cross_entropy(scores.float(), labels, label_smoothing=label_smoothing)
