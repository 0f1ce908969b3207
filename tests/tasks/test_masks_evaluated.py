"""The loss and the figures of masks, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from striate import RequestError
from striate.nets.enet import class_weights
from striate.tasks import Segmentation
from striate.tasks.pixel_losses import VOID, PixelCrossEntropy, enet_weights, pixel_shares
from striate.tasks.report_common import Example, ReportContext
from striate.tasks.segmentation_evaluation import boundary_f1, colours, overlay

TASK = Segmentation(("sky", "tree", "car"))


def test_iou_is_of_the_whole_set_and_void_is_left_out() -> None:
    true = np.array([[[0, 0, 1, VOID]], [[0, 1, 1, 1]]], np.uint8)
    predicted = np.array([[[0, 1, 1, 1]], [[0, 0, 1, 1]]], np.uint8)
    found = TASK.evaluate("val", predicted, true)
    assert found.matrix.tolist() == [[2, 1, 0], [1, 3, 0], [0, 0, 0]]  # type: ignore[attr-defined]
    assert found.details()["iou"] == {"sky": 2 / 4, "tree": 3 / 5, "car": None}
    assert found.score == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert found.details()["pixel_accuracy"] == pytest.approx(5 / 7)
    assert found.errors() == pytest.approx([1 - (1 / 2 + 1 / 2) / 2, 1 - (1 / 2 + 2 / 3) / 2])
    assert found.rows()["car"] == "not there"
    nothing = TASK.evaluate("", predicted[:1], np.full((1, 1, 4), VOID, np.uint8))
    assert math.isnan(nothing.score) and nothing.errors().tolist() == [0] and nothing.details()["mean_iou"] is None


def test_outlines_match_within_a_small_share_of_the_diagonal() -> None:
    square = np.zeros((100, 100), np.uint8)
    square[30:60, 30:60] = 1
    assert boundary_f1(square, square, 2) == 1
    assert boundary_f1(np.roll(square, 1, axis=1), square, 2) == 1  # a pixel of 141 is within 0.75 %
    assert 0.3 < boundary_f1(np.roll(square, 5, axis=1), square, 2) < 0.7
    assert boundary_f1(np.zeros_like(square), square, 2) == 0
    assert math.isnan(boundary_f1(np.zeros_like(square), np.zeros_like(square), 2))


def test_the_loss_is_the_mean_over_pixels_with_a_class() -> None:
    logits = torch.tensor([[[[2.0, 0.0]], [[0.0, 0.0]], [[0.0, 1.0]]]], requires_grad=True)
    by_pixel = [-math.log(math.exp(2) / (math.exp(2) + 2)), -math.log(1 / (2 + math.e))]
    loss = PixelCrossEntropy()
    both, one, none = (torch.tensor([[row]], dtype=torch.uint8) for row in ([0, 1], [0, VOID], [VOID, VOID]))
    assert loss(logits, both).item() == pytest.approx(sum(by_pixel) / 2)
    assert loss(logits, one).item() == pytest.approx(by_pixel[0])
    loss(logits, none).sum().backward()
    assert logits.grad is not None and not logits.grad.any()
    weighted = PixelCrossEntropy(np.array([1.0, 3.0, 1.0]))
    assert weighted(logits, both).item() == pytest.approx((by_pixel[0] + 3 * by_pixel[1]) / 4)
    with pytest.raises(RequestError, match=r"takes logits \[N, classes, H, W\]"):
        loss(logits, both[:, 0])


def test_weights_are_those_of_enets_paper() -> None:
    masks = np.array([[[0, 0, 0, 1, VOID]]], np.uint8)
    shares = pixel_shares(masks, 3)
    assert shares.tolist() == [0.75, 0.25, 0]
    assert enet_weights(shares)[:2] == pytest.approx([1 / math.log(1.77), 1 / math.log(1.27)])
    assert class_weights(torch.from_numpy(shares)).numpy() == pytest.approx(enet_weights(shares))
    loss = TASK.loss("weighted-cross-entropy", masks)
    assert isinstance(loss, PixelCrossEntropy) and loss.weights == pytest.approx(enet_weights(shares))
    assert TASK.loss().chance(masks, 3) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert TASK.loss().untrained(3) == (pytest.approx(math.log(3)), "ln 3")


def test_masks_of_other_values_are_refused() -> None:
    TASK.check_targets(np.array([[[0, 2, VOID]]], np.uint8))
    with pytest.raises(RequestError, match="masks of 3 classes have the values 0 to 2, not 3"):
        TASK.check_targets(np.array([[[3]]], np.uint8))
    with pytest.raises(RequestError, match=r"uint8 masks \[N, H, W\]"):
        TASK.check_targets(np.zeros((1, 2, 2), np.int64))


def test_the_report_shows_true_and_predicted_masks_of_the_worst() -> None:
    true, predicted = np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8), np.uint8)
    true[:, 2:6, 2:6] = 1
    predicted[0] = true[0]
    found = TASK.evaluate("val", predicted, true)
    assert found.worst(5) == [1]
    context = ReportContext([Example(1, "b.png", np.full((8, 8, 3), 100, np.uint8))], true)
    figures, worst = TASK.report_sections(found, context)
    assert [row[0] for row in figures.blocks[1].rows] == ["sky", "tree", "car"]  # type: ignore[attr-defined]
    shown = worst.blocks[0].pictures  # type: ignore[attr-defined]
    assert shown[0].caption == "true mask" and len(shown) == 2
    assert (shown[0].image[3, 3] != shown[1].image[3, 3]).any()
    steps = [step.title for step in TASK.next_steps(found, context)]
    assert steps == ["Check the masks of the worst images"]


def test_an_overlay_leaves_the_background_clear() -> None:
    image, mask = np.full((6, 6), 90, np.uint8), np.zeros((6, 6), np.uint8)
    mask[1:5, 1:5] = 2
    mask[0, 0] = VOID
    shown = overlay(image, mask)
    assert (shown[5] == 90).all() and (shown[0, 0] == 90).all()
    assert (shown[1, 1] == colours(3)[2]).all() and (shown[2, 2] != colours(3)[2]).any()
