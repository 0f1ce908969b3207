"""Boxes and RoI align against plain loops: overlaps, suppression, coding, anchors, reading a map within boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.errors import RequestError
from striate.layers.boxes import anchors, box_iou, clip_boxes, decode_boxes, encode_boxes, nms
from striate.layers.roi_align import roi_align
from striate.tasks import boxes as arrays


def drawn(count: int, seed: int = 0) -> Tensor:
    corner = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)) * 30
    return torch.cat([corner, corner + torch.rand(count, 2, generator=torch.Generator().manual_seed(seed + 1)) * 20], 1)


def plain_iou(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def plain_nms(boxes: list[list[float]], scores: list[float], threshold: float, classes: list[int]) -> list[int]:
    left, kept = sorted(range(len(boxes)), key=lambda n: -scores[n]), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [n for n in left if classes[n] != classes[best] or plain_iou(boxes[n], boxes[best]) <= threshold]
    return kept


def test_overlaps_are_those_of_a_loop() -> None:
    a, b = drawn(40), drawn(30, seed=5)
    a[3, 2:] = a[3, :2]  # no area
    b[4] = a[3]
    wanted = [[plain_iou(one, other) for other in b.tolist()] for one in a.tolist()]
    assert box_iou(a, b).numpy() == pytest.approx(np.array(wanted), abs=1e-6)
    assert arrays.ious(a.numpy(), b.numpy()) == pytest.approx(np.array(wanted), abs=1e-6)
    assert box_iou(a, b[:0]).shape == (40, 0)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_suppression_is_that_of_a_loop(threshold: float) -> None:
    boxes, scores = drawn(300), torch.rand(300, generator=torch.Generator().manual_seed(3))
    scores[10:20] = scores[10]  # of equal scores the first stays
    classes = torch.arange(300) % 3
    listed = boxes.tolist(), scores.tolist(), threshold
    assert nms(boxes, scores, threshold, classes).tolist() == plain_nms(*listed, classes.tolist())
    assert nms(boxes, scores, threshold).tolist() == plain_nms(*listed, [0] * 300)
    assert nms(boxes[:0], scores[:0], threshold).tolist() == []


def test_codes_are_inverted_and_known() -> None:
    codes = encode_boxes(torch.tensor([[10.0, 20, 30, 60]]), torch.tensor([[0.0, 0, 10, 20]]))
    assert codes.tolist()[0] == pytest.approx([1.5, 1.5, math.log(2), math.log(2)])
    boxes, places = drawn(50) + torch.tensor([0.0, 0, 1, 1]), drawn(50, seed=7) + torch.tensor([0.0, 0, 1, 1])
    assert decode_boxes(encode_boxes(boxes, places), places) == pytest.approx(boxes, abs=1e-4)
    point = torch.tensor([[5.0, 5, 5, 5]], requires_grad=True)  # a box without an extent
    codes = encode_boxes(point, torch.tensor([[0.0, 0, 10, 20]]))
    (slope,) = torch.autograd.grad(codes.sum(), point)
    assert torch.isfinite(codes).all() and torch.isfinite(slope).all()
    assert decode_boxes(torch.full((1, 4), 1e4), places[:1]).isfinite().all()
    assert clip_boxes(torch.tensor([[-5.0, -1, 50, 70]]), 40, 30).tolist() == [[0, 0, 30, 40]]


def test_anchors_lie_around_their_cells() -> None:
    found = anchors(2, 3, 16, scales=(32, 64), ratios=(0.5, 1, 2))
    assert found.shape == (2 * 3 * 6, 4)
    centres, sides = (found[:, :2] + found[:, 2:]) / 2, found[:, 2:] - found[:, :2]
    assert centres[::6].tolist() == [[8, 8], [24, 8], [40, 8], [8, 24], [24, 24], [40, 24]]
    assert sides.prod(1)[:6].tolist() == pytest.approx([32**2, 64**2] * 3)
    assert (sides[:, 1] / sides[:, 0])[:6].tolist() == pytest.approx([0.5, 0.5, 1, 1, 2, 2])
    with pytest.raises(RequestError, match="above 0"):
        anchors(2, 2, 16, scales=(0,), ratios=(1,))


def plain_roi_align(maps: Tensor, box: list[float], image: int, size: tuple[int, int], scale: float, n: int) -> Tensor:
    """One box, value by value, as the paper says it."""
    height, width = maps.shape[2:]

    def at(y: float, x: float) -> Tensor:
        if y < -1 or y > height or x < -1 or x > width:
            return torch.zeros(maps.shape[1])
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        v, u = y - top, x - left
        one = maps[image]
        upper = one[:, top, left] * (1 - u) + one[:, top, right] * u
        lower = one[:, bottom, left] * (1 - u) + one[:, bottom, right] * u
        return upper * (1 - v) + lower * v

    x1, y1, x2, y2 = (value * scale - 0.5 for value in box)
    out = torch.zeros(maps.shape[1], *size)
    for row in range(size[0]):
        for column in range(size[1]):
            values = [
                at(
                    y1 + (y2 - y1) * (row + (i + 0.5) / n) / size[0],
                    x1 + (x2 - x1) * (column + (j + 0.5) / n) / size[1],
                )
                for i in range(n)
                for j in range(n)
            ]
            out[:, row, column] = torch.stack(values).mean(0)
    return out


def test_maps_are_read_within_boxes_as_by_a_loop() -> None:
    maps = torch.randn(2, 3, 9, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    boxes = torch.tensor(
        [[[3.0, 5, 60, 50], [80, 60, 130, 100], [200, 200, 220, 230]],
         [[-30, -20, 20, 30], [10, 10, 10, 10], [0, 0, 96, 72]]]
    )  # fmt: skip
    found = roi_align(maps, boxes, (3, 2), scale=1 / 8, samples=2)
    wanted = [plain_roi_align(maps.detach(), box, image, (3, 2), 1 / 8, 2)
              for image, some in enumerate(boxes.tolist()) for box in some]  # fmt: skip
    assert found.detach().flatten(0, 1) == pytest.approx(torch.stack(wanted), abs=1e-5)
    assert not found[0, 2].any()
    found.sum().backward()
    assert maps.grad is not None and maps.grad.abs().sum() > 0
    ramp = torch.arange(12.0).expand(1, 1, 9, 12)  # linear: a cell's mean is the value in its middle
    assert roi_align(ramp, torch.tensor([[[2.0, 2, 8, 8]]]), (1, 3))[0, 0, 0, 0].tolist() == [
        2.5,
        4.5,
        6.5,
    ]
