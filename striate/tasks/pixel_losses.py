"""Losses of masks: cross-entropy of every pixel, where pixels of no class (`VOID`) do not count.

Logits are [N, classes, H, W] and targets uint8 [N, H, W]. The loss of an image is the mean over its pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.tasks.losses import CrossEntropy, Loss

if TYPE_CHECKING:
    from torch import Tensor

VOID = 255  # of a mask: a pixel of no class, left out of loss and metric
ENET_CONSTANT = 1.02  # Paszke et al. 2016, section 5.2

Array = NDArray[Any]
Floats = NDArray[np.float64]


def pixel_shares(masks: Array, classes: int) -> Floats:
    """The share of each class among the pixels of masks uint8 [N, H, W], void ones left out; zeros without a pixel."""
    counts = np.bincount(masks.reshape(-1), minlength=VOID + 1)[:classes].astype(np.float64)
    return counts / max(1.0, float(counts.sum()))


def enet_weights(shares: Floats, constant: float = ENET_CONSTANT) -> Floats:
    """The weights of the classes, 1 / ln(constant + share): the rarer, the heavier; 0 for a class of no pixel.

    Source: Paszke et al. 2016, arXiv:1606.02147, section 5.2.
    """
    return np.where(shares > 0, 1 / np.log(constant + shares), 0.0)


@dataclass(frozen=True, eq=False)
class PixelCrossEntropy(Loss):
    """The mean cross-entropy of an image's pixels, each weighted by its class; 0 for an image of void pixels only.

    weights [classes]: None for all alike. label_smoothing: the mass moved from the true class to all classes alike.
    """

    weights: Floats | None = None
    label_smoothing: float = 0.0

    averages_outputs = False

    def numpy(self, logits: Floats, targets: Array) -> tuple[Floats, Floats]:
        """Not for masks: there is no linear head on one vector for each image. Raises RequestError."""
        raise RequestError("masks are trained by gradient steps: they have no linear head on one vector for each image")

    def curvature(self, logits: Floats, targets: Array) -> Floats:
        """As `numpy`."""
        raise RequestError("masks are trained by gradient steps: they have no linear head on one vector for each image")

    def torch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses [N]. Raises RequestError for shapes that do not fit."""
        import torch
        import torch.nn.functional as F

        if logits.ndim != 4 or targets.shape != (len(logits), *logits.shape[2:]):
            raise RequestError(
                "cross entropy of pixels takes logits [N, classes, H, W] and targets [N, H, W], not "
                f"{list(logits.shape)} and {list(targets.shape)}"
            )
        wanted = targets.long()
        losses = F.cross_entropy(
            logits.float(), wanted, ignore_index=VOID, reduction="none", label_smoothing=self.label_smoothing
        )
        counts = (wanted != VOID).float()
        if self.weights is not None:
            by_class = torch.zeros(VOID + 1, device=logits.device)
            by_class[: len(self.weights)] = torch.from_numpy(self.weights).float()
            counts = by_class[wanted]
        return (losses * counts).sum((1, 2)) / counts.sum((1, 2)).clamp_min(1e-6)

    def chance(self, targets: Array, outputs: int, weights: Array | None = None) -> float:
        """The entropy of the classes' shares among the pixels, weighted as they are in the loss."""
        shares = self._counted(targets, outputs)
        smooth = self.label_smoothing
        mixed = (1 - smooth) * shares + smooth / outputs
        some = mixed[mixed > 0]
        return float(-(some * np.log(some)).sum()) if shares.sum() else math.nan

    def floor(self, targets: Array, outputs: int, weights: Array | None = None) -> float:
        """The entropy of one pixel's smoothed target."""
        return CrossEntropy(self.label_smoothing).floor(np.zeros(1, np.int64), outputs)

    def untrained(self, outputs: int) -> tuple[float, str] | None:
        """ln(classes)."""
        return math.log(outputs), f"ln {outputs}"

    def _counted(self, targets: Array, outputs: int) -> Floats:
        shares = pixel_shares(targets, outputs)
        if self.weights is not None:
            shares = shares * self.weights
        return shares / max(1e-300, float(shares.sum()))
