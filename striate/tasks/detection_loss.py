"""The loss of detectors; here that of one-stage ones, FCOS's: focal loss of the classes, GIoU of the boxes,
cross-entropy of the centre-ness.

Sources: Tian, Shen, Chen, He 2019, arXiv:1904.01355, with centre sampling as in its later version; focal loss: Lin et
al. 2017, arXiv:1708.02002; GIoU: Rezatofighi et al. 2019, arXiv:1902.09630.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import RequestError
from striate.tasks.detection_arrays import (
    BOX,
    CENTRE,
    CLASS,
    COLUMNS,
    CROWD,
    LOGITS,
    PREDICTED,
    QUALITY,
    STRIDE,
)
from striate.tasks.losses import Loss
from striate.tasks.region_loss import is_anchor, two_stage_losses

if TYPE_CHECKING:
    from torch import Tensor

RADIUS = 1.5  # strides around an object's centre in which places are trained to find it
FACTORS = (4.0, 8.0)  # of a level's stride: the reaches of the boxes that it finds
ALPHA, GAMMA = 0.25, 2.0  # of the focal loss
STEPS = "boxes are trained by gradient steps: they have no linear head on one vector for each image"


@dataclass(frozen=True)
class DetectionLoss(Loss):
    """Losses [N] of a detector's outputs [N, rows, 9 + classes] against targets float32 [N, rows, 9]: see
    `detection_arrays`. What the rows are says which loss it is: `one_stage_losses` or `two_stage_losses`.

    An image without objects has a loss, of what is found in it.
    """

    averages_outputs = False

    def numpy(
        self, logits: NDArray[np.float64], targets: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Not for boxes. Raises RequestError."""
        raise RequestError(STEPS)

    def curvature(self, logits: NDArray[np.float64], targets: NDArray[Any]) -> NDArray[np.float64]:
        """As `numpy`."""
        raise RequestError(STEPS)

    def torch(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Losses [N]. Raises RequestError for shapes that do not fit."""
        if logits.ndim != 3 or targets.ndim != 3 or len(targets) != len(logits) or targets.shape[2] != COLUMNS:
            given = f"{list(logits.shape)} and {list(targets.shape)}"
            raise RequestError(f"boxes take outputs [N, rows, 9 + classes] and targets [N, rows, 9], not {given}")
        logits = logits.float()
        return two_stage_losses(logits, targets) if is_anchor(logits).any() else one_stage_losses(logits, targets)


def one_stage_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Losses [N] of the outputs of a one-stage detector; arguments as of `DetectionLoss`.

    Each is divided by the image's number of positive places, at least 1.
    """
    import torch.nn.functional as F

    names, boxes, held = assigned(outputs[0, :, CENTRE], outputs[0, :, STRIDE], targets)
    positive = names >= 0
    count = positive.sum(1).clamp_min(1)
    classes = outputs.shape[2] - LOGITS
    wanted = F.one_hot((names + 1).clamp_min(0), classes + 1)[..., 1:].float()
    of_classes = _focal(outputs[..., LOGITS:], wanted).sum(2) * (~held)
    centreness = _centreness(outputs[..., CENTRE].detach(), boxes) * positive
    of_boxes = (1 - paired_giou(outputs[..., PREDICTED], boxes)) * centreness
    of_centres = F.binary_cross_entropy_with_logits(outputs[..., QUALITY], centreness, reduction="none") * positive
    weight = centreness.sum(1).clamp_min(1e-6)
    return of_classes.sum(1) / count + of_boxes.sum(1) / weight + of_centres.sum(1) / count


def assigned(centres: Tensor, strides: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What each place is trained to find: classes int64 [N, places], -1 for nothing, and boxes [N, places, 4].

    Third, bool [N, places]: places within a crowd, which are not trained to find nothing. A place is positive for an
    object if it lies in its box, near its centre, and if the box's reach from it is one of its level; of several
    objects it takes the smallest.
    """
    import torch

    boxes = targets[:, None, :, BOX]  # [N, 1, rows, 4]
    there = (targets[..., CLASS] >= 0)[:, None]
    crowd = (targets[..., CROWD] > 0)[:, None]
    place, stride = centres[None, :, None], strides[None, :, None]
    reach = torch.cat([place - boxes[..., :2], boxes[..., 2:] - place], 3)  # [N, places, rows, 4]
    inside = reach.amin(3) > 0
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    near = ((place - middle).abs() < RADIUS * stride).all(3)
    longest = (reach / stride.repeat(1, 1, 1, 2)).amax(3)  # in strides
    finest, coarsest = strides[:, 0] <= strides[:, 0].min() * 1.01, strides[:, 0] >= strides[:, 0].max() * 0.99
    low = torch.where(finest, 0.0, FACTORS[0])[None, :, None]
    high = torch.where(coarsest, float("inf"), FACTORS[1])[None, :, None]
    fits = inside & near & there & ~crowd & (longest > low) & (longest <= high)
    sides = boxes[..., 2:] - boxes[..., :2]
    area = torch.where(fits, sides[..., 0] * sides[..., 1], float("inf"))
    smallest, row = area.min(2)
    found = smallest.isfinite()
    names = torch.where(found, targets[..., CLASS].long().gather(1, row), -1)
    chosen = targets[..., BOX].gather(1, row[..., None].expand(-1, -1, 4))
    return names, chosen, ((inside & there & crowd).any(2)) & ~found


def paired_giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalised IoU of boxes [..., 4] with boxes [..., 4], each with its own: from -1 to 1."""
    import torch

    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0)
    shared = sides[..., 0] * sides[..., 1]
    both = [(one[..., 2:] - one[..., :2]).clamp_min(0) for one in (a, b)]
    union = both[0].prod(-1) + both[1].prod(-1) - shared
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull = (around[..., 0] * around[..., 1]).clamp_min(1e-9)
    return shared / union.clamp_min(1e-9) - (hull - union) / hull


def _focal(logits: Tensor, wanted: Tensor) -> Tensor:
    import torch.nn.functional as F

    plain = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    chance = logits.sigmoid()
    missed = chance + wanted - 2 * chance * wanted  # 1 less the probability of what is true
    return (ALPHA * wanted + (1 - ALPHA) * (1 - wanted)) * missed**GAMMA * plain


def _centreness(centres: Tensor, boxes: Tensor) -> Tensor:
    """Equation 3 of the paper: 1 in the middle of the box, 0 at its border."""
    import torch

    before, after = (centres - boxes[..., :2]).clamp_min(0), (boxes[..., 2:] - centres).clamp_min(0)
    ratio = torch.minimum(before, after) / torch.maximum(before, after).clamp_min(1e-9)
    return (ratio[..., 0] * ratio[..., 1]).clamp_min(0).sqrt()
