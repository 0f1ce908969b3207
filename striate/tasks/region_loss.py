"""The loss of a two-stage detector: of its anchors, which propose regions, and of the regions' classes and boxes.

Source: Ren, He, Girshick, Sun 2015, arXiv:1506.01497, equation 1, and its code. There the anchors and regions that are
trained on are drawn at random; here all are, with the weights that they have on average over the draws, so that the
loss has no noise. True boxes are not among the regions. Anchors across the border of the image are trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from striate.tasks.box_tensors import box_areas, box_intersections, box_iou, encode_boxes
from striate.tasks.detection_arrays import BOX, CLASS, CROWD, LOGITS, NOTHING, PREDICTED, QUALITY, REFERENCE

if TYPE_CHECKING:
    from torch import Tensor

POSITIVE, NEGATIVE = 0.7, 0.3  # IoU of an anchor with an object, from which on and below which it is one, and none
SAMPLED, OBJECTS = 256, 128  # anchors that count as drawn of an image, and at most of them objects
FOUND = 0.5  # IoU of a region with an object from which on it is one
REGIONS, FOREGROUND = 128, 32  # regions that count as drawn, and at most of them objects
HELD = 0.5  # share of an anchor or region within a crowd from which on it is not trained to be nothing
DEVIATIONS = (0.1, 0.1, 0.2, 0.2)  # by which the codes of regions' boxes are divided
BEND = 1 / 9  # of the smooth L1 loss of anchors' boxes, from squares to straight lines; of regions' 1


class Matched(NamedTuple):
    """For each of R boxes of N images: iou [N, R] with the object that it overlaps most, that object's class [N, R] and
    box [N, R, 4], best [N, R]: whether no other box overlaps an object more, held [N, R]: whether it is in a crowd."""

    iou: Tensor
    classes: Tensor
    boxes: Tensor
    best: Tensor
    held: Tensor


def two_stage_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Losses [N] of the outputs of a two-stage detector; arguments as of `DetectionLoss`."""
    anchors = is_anchor(outputs)
    columns = outputs.shape[2]
    regions = outputs[:, ~anchors].reshape(len(outputs), -1, columns - LOGITS, columns)  # [N, R, classes, columns]
    return _of_anchors(outputs[:, anchors], targets) + _of_regions(regions, targets)


def is_anchor(outputs: Tensor) -> Tensor:
    """Which rows are anchors: bool [rows]; none of a one-stage detector."""
    return (outputs[0, :, LOGITS:] == NOTHING).all(1)


def matched(boxes: Tensor, targets: Tensor) -> Matched:
    """Boxes [N, R, 4] matched with the objects of targets [N, rows, 9]."""
    there = targets[..., CLASS] >= 0
    crowd, real = there & (targets[..., CROWD] > 0), there & (targets[..., CROWD] <= 0)
    overlap = box_iou(boxes, targets[..., BOX]) * real[:, None]
    iou, row = overlap.max(2)
    best = ((overlap == overlap.amax(1, keepdim=True)) & (overlap > 0)).any(2)
    inside = box_intersections(boxes, targets[..., BOX]) * crowd[:, None]
    held = inside.amax(2) > HELD * box_areas(boxes)
    chosen = targets[..., BOX].gather(1, row[..., None].expand(-1, -1, 4))
    return Matched(iou, targets[..., CLASS].long().gather(1, row).clamp_min(0), chosen, best, held)


def _of_anchors(rows: Tensor, targets: Tensor) -> Tensor:
    """The losses [N] of objectness and of the regions that anchors propose."""
    import torch
    import torch.nn.functional as F

    found = matched(rows[..., REFERENCE], targets)
    right = (found.iou >= POSITIVE) | found.best
    wrong = (found.iou < NEGATIVE) & ~right & ~found.held
    of_right, of_wrong = _weights(right, wrong, OBJECTS, SAMPLED)
    of_class = F.binary_cross_entropy_with_logits(rows[..., QUALITY], right.float(), reduction="none")
    apart = _apart(rows[..., PREDICTED], rows[..., REFERENCE], found.boxes, right)
    of_boxes = F.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none", beta=BEND).sum(2)
    return (of_class * (of_right + of_wrong)).sum(1) + (of_boxes * of_right).sum(1)


def _of_regions(rows: Tensor, targets: Tensor) -> Tensor:
    """The losses [N] of the classes and boxes of regions [N, R, classes, columns]."""
    import torch
    import torch.nn.functional as F

    regions = rows[:, :, 0, REFERENCE]
    found = matched(regions, targets)
    right = found.iou >= FOUND
    of_right, of_wrong = _weights(right, ~right & ~found.held, FOREGROUND, REGIONS)
    own = found.classes[..., None]
    classes = rows[..., LOGITS:].diagonal(dim1=2, dim2=3).gather(2, own)[..., 0]  # log odds of the true class
    of_class = -torch.where(right, F.logsigmoid(classes), F.logsigmoid(-rows[:, :, 0, QUALITY]))
    given = rows[..., PREDICTED].gather(2, own[..., None].expand(-1, -1, 1, 4))[:, :, 0]
    apart = _apart(given, regions, found.boxes, right) / rows.new_tensor(DEVIATIONS)
    of_boxes = F.smooth_l1_loss(apart, torch.zeros_like(apart), reduction="none").sum(2)
    return (of_class * (of_right + of_wrong)).sum(1) + (of_boxes * of_right).sum(1)


def _weights(right: Tensor, wrong: Tensor, objects: int, drawn: int) -> tuple[Tensor, Tensor]:
    """The weights [N, R] of rows that are right and wrong, as if `drawn` of an image were drawn, at most `objects` of
    them right: the average over all draws."""
    rights, wrongs = right.sum(1), wrong.sum(1)
    some = rights.clamp_max(objects)
    others = wrongs.minimum(drawn - some)
    total = (some + others).clamp_min(1)
    pairs = ((right, some, rights), (wrong, others, wrongs))
    of_right, of_wrong = (rows * (taken / (total * count.clamp_min(1)))[:, None] for rows, taken, count in pairs)
    return of_right, of_wrong


def _apart(given: Tensor, reference: Tensor, wanted: Tensor, right: Tensor) -> Tensor:
    """How far boxes are from those wanted, as codes relative to `reference` [N, R, 4]; 0 where they are not right."""
    there = right[..., None]
    codes = encode_boxes(given.where(there, reference), reference)
    return codes - encode_boxes(wanted.where(there, reference), reference)
