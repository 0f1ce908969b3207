"""Detection beside torchvision's: which place learns which object, the losses, boxes, RoI align. `make peers` runs it.

The same random values go into our function and into torchvision's written in Python, in float64. Passed: no value
differs by more than 1e-9, a loss by more than 1e-6 of it, and assignments are equal. Not compared: torchvision's nms,
which is compiled and does not load with a CPU build of torch (tests/nets/test_detection_layers.py holds ours against a
loop); anchors, which torchvision centres on the corners of cells; the sums of losses, where ours weigh a box by its
centre-ness, as the authors' code does; whole models, which have other bodies.
"""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from parity import with_operators
from recording import write_record
from torch import Tensor

from striate.layers.boxes import box_iou, clip_boxes, decode_boxes, encode_boxes
from striate.layers.roi_align import roi_align
from striate.tasks.detection_arrays import LOGITS
from striate.tasks.detection_loss import DetectionLoss, assigned, paired_giou

LIMIT = 1e-9
OF_LOSSES = 1e-6  # of the loss: ours is computed in float32, whatever it is given
SIDE, CLASSES = 320, 5  # pixels of the images
STRIDES = (8, 16, 32, 64)
PACKAGES = ("torch", "torchvision", "numpy")


def random_boxes(generator: torch.Generator, count: int, largest: float = 250.0) -> Tensor:
    """Boxes in an image of SIDE pixels, of 4 pixels to `largest`."""
    sides = 4 + torch.rand(count, 2, generator=generator, dtype=torch.float64) ** 2 * (largest - 4)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * (SIDE - sides)
    return torch.cat([corner, corner + sides], 1)


def places() -> tuple[Tensor, Tensor, list[int]]:
    """The centres of all cells [P, 2] and their strides [P] in pixels, and how many cells each level has."""
    centres, strides, counts = [], [], []
    for stride in STRIDES:
        at = (torch.arange(SIDE // stride, dtype=torch.float64) + 0.5) * stride
        y, x = torch.meshgrid(at, at, indexing="ij")
        centres.append(torch.stack([x, y], 2).view(-1, 2))
        counts.append(len(centres[-1]))
        strides.append(torch.full((counts[-1],), float(stride), dtype=torch.float64))
    return torch.cat(centres), torch.cat(strides), counts


def fcos_rows(seed: int) -> dict[str, float]:
    """The largest differences of FCOS's assignment and losses for two images, one without objects."""
    from torchvision.models.detection._utils import BoxLinearCoder
    from torchvision.models.detection.fcos import FCOS, FCOSHead
    from torchvision.ops import generalized_box_iou_loss

    generator = torch.Generator().manual_seed(seed)
    centres, strides, counts = places()
    boxes = random_boxes(generator, 12)
    names = torch.randint(0, CLASSES, (12,), generator=generator)
    anchors = torch.cat([centres - strides[:, None] / 2, centres + strides[:, None] / 2], 1)
    logits = torch.randn(2, len(centres), CLASSES + 1, generator=generator, dtype=torch.float64)
    reach = torch.rand(2, len(centres), 4, generator=generator, dtype=torch.float64) * 4  # in strides
    given = [{"boxes": boxes, "labels": names}, {"boxes": boxes[:0], "labels": names[:0]}]

    own = SimpleNamespace(center_sampling_radius=1.5, head=SimpleNamespace(compute_loss=lambda *found: found[3]))
    matched = FCOS.compute_loss(own, given, {}, [anchors, anchors], counts)
    coder = BoxLinearCoder(normalize_by_size=True)
    head = partial(FCOSHead.compute_loss, SimpleNamespace(box_coder=coder))
    outputs = {"cls_logits": logits[..., :-1], "bbox_regression": reach, "bbox_ctrness": logits[..., -1:]}
    theirs = head(given, outputs, [anchors, anchors], matched)

    targets = torch.zeros(2, 12, 9, dtype=torch.float64)
    targets[..., 0] = -1
    targets[0, :, 0], targets[0, :, 1:5] = names.double(), boxes / SIDE
    stride = strides[:, None].expand(-1, 2) / SIDE
    found, chosen, _ = assigned(centres / SIDE, stride, targets)
    expected = torch.where(matched[0] >= 0, names[matched[0].clamp_min(0)], -1)
    positive = expected >= 0
    assert int(positive.sum()) > 50
    boxes_apart = (chosen[0][positive] * SIDE - boxes[matched[0][positive]]).abs().max()

    predicted = coder.decode(reach, torch.stack([anchors, anchors]))
    columns = torch.cat([centres / SIDE, stride], 1).expand(2, -1, -1)
    rows = torch.cat([columns, predicted / SIDE, logits[..., -1:], logits[..., :-1]], 2)
    parts = loss_parts(rows, targets)
    giou = 1 - paired_giou(predicted[0][positive], boxes[matched[0][positive]])
    their_giou = generalized_box_iou_loss(predicted[0][positive], boxes[matched[0][positive]])
    # torchvision divides by the positive places of the batch, we by those of each image: here only one has any.
    count = int(positive.sum())
    return {
        "assignment": float((found[0] != expected).sum() + (found[1] != -1).sum()),
        "assigned boxes": float(boxes_apart),
        "focal loss": _relative(parts["classes"], theirs["classification"] * count),
        "centre-ness loss": _relative(parts["centres"], theirs["bbox_ctrness"] * count),
        "GIoU": float((giou - their_giou).abs().max()),
    }


def _relative(one: Tensor, other: Tensor) -> float:
    return abs(float(one) / float(other) - 1)


def loss_parts(rows: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The sums over both images of our loss's classes and centre-ness: the rest of the loss taken away.

    The loss of outputs whose boxes are true is that of classes and centre-ness; with centre-ness of a known logit, the
    latter is known, too.
    """
    loss = DetectionLoss()
    names, chosen, _ = assigned(rows[0, :, :2], rows[0, :, 2:4], targets)
    positive = names >= 0
    count = positive.sum(1).clamp_min(1)
    true = rows.clone()
    true[..., 4:8] = torch.where(positive[..., None], chosen, rows[..., 4:8])
    sure = true.clone()
    sure[..., LOGITS:] = -200.0  # no class anywhere: the focal loss is that of the positive places alone, 200 each
    both = loss.torch(true, targets).double() * count
    missed = 0.25 * 200.0 * positive.sum(1)
    centres = loss.torch(sure, targets).double() * count - missed
    return {"classes": (both - centres).sum(), "centres": centres.sum()}


def box_rows(seed: int) -> dict[str, float]:
    """The largest differences of overlaps, box coding, clipping and RoI align."""
    from torchvision.models.detection._utils import BoxCoder
    from torchvision.ops import box_iou as their_iou
    from torchvision.ops import clip_boxes_to_image
    from torchvision.ops.roi_align import _roi_align

    generator = torch.Generator().manual_seed(seed)
    a, b = random_boxes(generator, 40), random_boxes(generator, 40)
    coder = BoxCoder((1.0, 1.0, 1.0, 1.0))
    codes = torch.randn(40, 4, generator=generator, dtype=torch.float64) * 2
    maps = torch.randn(2, 3, 20, 20, generator=generator, dtype=torch.float64)
    images = torch.arange(2).repeat_interleave(20)
    own = roi_align(maps, a.view(2, 20, 4), (7, 7), scale=1 / 16, samples=2).flatten(0, 1)
    rois = torch.cat([images[:, None].double(), a], 1)
    theirs = _roi_align(maps, rois, 1 / 16, 7, 7, 2, True)
    pairs: dict[str, tuple[Any, Any]] = {
        "IoU": (box_iou(a, b), their_iou(a, b)),
        "box encoding": (encode_boxes(a, b), coder.encode_single(a, b)),
        "box decoding": (decode_boxes(codes, b), coder.decode_single(codes, b)),
        "clipping": (clip_boxes(a * 2 - 100, SIDE, SIDE), clip_boxes_to_image(a * 2 - 100, (SIDE, SIDE))),
        "RoI align": (own, theirs),
    }
    return {name: float((one - other).abs().max()) for name, (one, other) in pairs.items()}


def main() -> None:
    """Measure all and write the record. Exit code 1 if one does not agree."""
    torch.set_num_threads(1)
    kept = with_operators()  # registered while this object is alive
    largest: dict[str, float] = {}
    seeds = range(5)
    for seed in seeds:
        for name, value in {**fcos_rows(seed), **box_rows(seed)}.items():
            largest[name] = max(value, largest.get(name, 0.0))
    del kept
    rows = [
        {"what": f"{name}, as torchvision's", "command": "benchmarks/detection_peers.py", "n": len(seeds),
         "largest_difference": float(f"{value:.2e}"), "passed": value <= (OF_LOSSES if "loss" in name else LIMIT)}
        for name, value in largest.items()
    ]  # fmt: skip
    for row in rows:
        print(json.dumps(row))
    write_record("detection_peers", rows, PACKAGES)
    if wrong := [str(row["what"]) for row in rows if not row["passed"]]:
        raise SystemExit(f"different: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
