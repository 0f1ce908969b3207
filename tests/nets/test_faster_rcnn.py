"""Faster R-CNN: the paper's size, its regions, and its loss. It is trained in tests/jobs/test_detection.py."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.boxes import box_iou, encode_boxes, nms, suppressed
from striate.nets.build import create
from striate.nets.faster_rcnn import ROWS, FasterRCNN, FasterRcnnHead
from striate.tasks import Detection
from striate.tasks.detection_arrays import (
    BOX,
    FOUND_BOX,
    FOUND_CLASS,
    LOGITS,
    NOTHING,
    PREDICTED,
    QUALITY,
    REFERENCE,
    SCORE,
    detections,
)
from striate.tasks.region_loss import is_anchor, matched

TASK = Detection(("red", "green"))
OBJECTS = ((0, 4.0, 6.0, 30.0, 40.0, 0, 1.0), (1, 34.0, 20.0, 60.0, 60.0, 0, 1.0))


def tiny(classes: int = 2) -> FasterRCNN:
    torch.manual_seed(0)
    net = create("faster_rcnn_lite_tiny", classes=classes).eval()
    assert isinstance(net, FasterRCNN)
    return net


def outputs(net: FasterRCNN, count: int = 2) -> Tensor:
    with torch.no_grad():
        found: Tensor = net(torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    return found


def test_with_vgg16_it_has_the_papers_parameters() -> None:
    with torch.device("meta"):
        trunk = [module for module in create("vgg16").modules() if isinstance(module, nn.Conv2d)]
        head = FasterRcnnHead(512, 20, width=512, hidden=4096, regions=300, anchor=128)
    assert sum(one.numel() for one in head.rpn.parameters()) == 2_387_510
    assert sum(one.numel() for part in (*trunk, head) for one in part.parameters()) == 137_078_239
    assert [row.part for row in ROWS if row.layer == "linear"] == ["fc6", "fc7", "classes", "boxes"]


def test_regions_are_what_suppression_keeps_of_the_best_anchors() -> None:
    generator = torch.Generator().manual_seed(0)
    centre, half = torch.rand(2, 60, 2, generator=generator), 0.05 + torch.rand(2, 60, 2, generator=generator) / 5
    boxes, scores = torch.cat([centre - half, centre + half], 2), torch.rand(2, 60, generator=generator)
    head = tiny().head
    found = head.proposed(scores, boxes, (1 / 16, 1 / 16))
    for some, own, regions in zip(boxes.clamp(0, 1), scores, found, strict=True):
        kept = nms(some, own, 0.7)[: head.regions]
        assert 10 < len(kept) < 60 and torch.allclose(regions[: len(kept)], some[kept])
        order = own.argsort(descending=True)
        dropped = suppressed(some[order], 0.2, 12)  # many boxes drop each other, one after another
        assert set(order[~dropped].tolist()) == set(nms(some, own, 0.2).tolist())
    assert ((found[..., 2:] - found[..., :2]) > 1 / 16 - 1e-6).all()


def test_scores_are_the_probabilities_of_a_softmax() -> None:
    for classes in (1, 2):
        net, logits = tiny(classes), []
        net.head.classes.register_forward_hook(lambda module, given, made, to=logits: to.append(made))
        with torch.no_grad():
            net.head.classes.weight.mul_(200)
        made = outputs(net)
        anchors = is_anchor(made)
        assert (int(anchors.sum()), int((~anchors).sum())) == (4 * 4 * 9, 16 * classes)
        chances = logits[0].softmax(2)
        rows = made[:, ~anchors].unflatten(1, (-1, classes))
        assert torch.allclose(rows[..., LOGITS:].diagonal(dim1=2, dim2=3).sigmoid(), chances[..., 1:], atol=1e-5)
        assert torch.allclose(rows[..., QUALITY].sigmoid(), 1 - chances[..., :1].expand(-1, -1, classes), atol=1e-5)
        found = detections(made.numpy())
        assert (found[..., SCORE] > 0.05).any() and found[..., FOUND_CLASS].max() < classes
        if classes == 1:  # of one class the score is its probability, as in the paper
            best = chances[..., 1].amax(1).numpy()
            assert found[:, 0, SCORE] == pytest.approx(best, abs=1e-5)
        assert (found[..., FOUND_BOX] >= 0).all() and (found[..., FOUND_BOX] <= 1).all()


def plain_loss(rows: Tensor, target: Tensor) -> float:
    """One image's loss as the paper writes it, over the average sample of anchors and of regions, row by row."""
    anchors, real = is_anchor(rows[None]), target[:, 0] >= 0
    boxes, total = target[real][:, BOX], 0.0
    for some, high, low, most, drawn in ((rows[anchors], 0.7, 0.3, 128, 256), (rows[~anchors], 0.5, 0.5, 32, 128)):
        regions = len(some) < 100
        some = some.unflatten(0, (-1, 2)) if regions else some[:, None]
        overlap = box_iou(some[:, 0, REFERENCE], boxes)
        value, row = overlap.max(1)
        right = value >= high
        right |= ~torch.tensor(regions) & ((overlap == overlap.amax(0)) & (overlap > 0)).any(1)
        sums = {True: torch.zeros(()), False: torch.zeros(())}
        for number, one in enumerate(some):
            if not right[number] and not value[number] < low:
                continue
            name = int(target[real][row[number], 0]) if regions else 0
            logit = one[name, LOGITS + name] if regions and right[number] else one[0, QUALITY]
            loss = -F.logsigmoid(logit if right[number] else -logit)
            if right[number]:
                given, wanted = (encode_boxes(box[None], one[:1, REFERENCE]) for box in
                                 (one[name, PREDICTED], boxes[row[number]]))  # fmt: skip
                scale = torch.tensor([0.1, 0.1, 0.2, 0.2]) if regions else torch.ones(4)
                loss = loss + F.smooth_l1_loss(given / scale, wanted / scale, beta=1 if regions else 1 / 9,
                                               reduction="sum")  # fmt: skip
            sums[bool(right[number])] += loss
        wrong = int((~right & (value < low)).sum())
        p, q = min(int(right.sum()), most), min(wrong, drawn - min(int(right.sum()), most))
        total += float(p * sums[True] / max(1, int(right.sum())) + q * sums[False] / max(1, wrong)) / (p + q)
    return total


def test_the_loss_is_that_of_the_paper_on_average() -> None:
    made = outputs(tiny())
    targets = torch.from_numpy(TASK.collate([(64, 64, OBJECTS), (64, 64, ())]))
    made[0, 0:4, REFERENCE] = targets[0, [0, 0, 1, 1]][:, BOX] + 0.02  # so that some regions are objects
    losses = TASK.loss()(made, targets)
    assert losses[0].item() == pytest.approx(plain_loss(made[0], targets[0]), rel=1e-4)
    right = made.clone()
    anchors = is_anchor(made)
    right[1, :, QUALITY] = -20  # nothing anywhere, in the image without objects
    assert TASK.loss()(right, targets)[1] < 1e-6 < losses[1]
    crowd = torch.from_numpy(TASK.collate([(64, 64, ((0, -400.0, -400.0, 400.0, 400.0, 1, 1.0),))]))
    assert TASK.loss()(made[:1], crowd).item() == 0  # within a crowd nothing is learned
    assert matched(made[:1, anchors][..., REFERENCE], crowd).held.all()
    trained = made.requires_grad_()
    TASK.loss()(trained, targets).sum().backward()
    assert trained.grad is not None and trained.grad.isfinite().all()
    assert float(made.detach()[0, anchors, LOGITS:].max()) == NOTHING
