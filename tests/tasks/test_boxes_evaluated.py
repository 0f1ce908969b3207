"""The task of boxes: targets, loss, detections from outputs, metrics; images without objects never give NaN."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from striate.errors import RequestError
from striate.sections import Gallery
from striate.tasks import Detection, task_from_dict
from striate.tasks.box_pictures import COLOURS, Drawn, draw_boxes
from striate.tasks.detection_arrays import CENTRE, LOGITS, PREDICTED, QUALITY, STRIDE, detections
from striate.tasks.detection_loss import DetectionLoss, assigned, paired_giou
from striate.tasks.report_common import Example, ReportContext

TASK = Detection(("cat", "dog"))
ONE = (100, 50, ((1, 10.0, 10.0, 60.0, 40.0, 0, 1500.0),))
NOTHING = (80, 80, ())


def outputs(images: int, side: int = 8) -> np.ndarray:  # type: ignore[type-arg]
    """Outputs of two levels that find nothing: [images, side^2 + (side / 2)^2, 11]."""
    parts = []
    for count in (side, side // 2):
        one = np.zeros((count * count, LOGITS + 2), np.float32)
        rows, columns = np.divmod(np.arange(count * count), count)
        one[:, CENTRE] = np.stack([columns + 0.5, rows + 0.5], 1) / count
        one[:, STRIDE] = 1 / count
        one[:, PREDICTED] = np.concatenate([one[:, CENTRE] - 0.1, one[:, CENTRE] + 0.1], 1)
        one[:, LOGITS:] = -12
        parts.append(one)
    return np.stack([np.concatenate(parts)] * images)


def test_outputs_become_detections() -> None:
    given = outputs(3)
    given[0, 10, [LOGITS + 1, QUALITY]] = 4.0, 3.0
    given[0, 11, [LOGITS + 1, QUALITY]] = 3.0, 3.0
    given[0, [10, 11], PREDICTED] = [[0.2, 0.1, 0.5, 1.4], [0.21, 0.1, 0.5, 1.0]]  # the same object, beyond the border
    given[0, 40, [LOGITS, QUALITY]] = 1.0, 3.0  # another class at the same place stays
    given[0, 40, PREDICTED] = [0.2, 0.1, 0.5, 1.0]
    given[2, 0, 0] = np.nan
    found = detections(given)
    assert found.shape == (3, 100, 6) and found.dtype == np.float32
    assert found[0, :3, 0].tolist() == [1, 0, -1] and (found[1, :, 0] == -1).all() and np.isnan(found[2]).all()
    chance = [1 / (1 + math.exp(-value)) for value in (4, 3, 1)]
    assert found[0, :2, 1] == pytest.approx(
        [math.sqrt(chance[0] * chance[1]), math.sqrt(chance[2] * chance[1])], abs=1e-6
    )
    assert found[0, 0, 2:] == pytest.approx([0.2, 0.1, 0.5, 1.0])
    answer = TASK.answer(found[0])
    assert answer.label == "1 cat, 1 dog" and answer.line.startswith("dog 96.7 %, cat")
    assert json.loads(json.dumps(answer.facts))["objects"][0]["label"] == "dog"
    assert TASK.answer(found[1]).line == "nothing"
    assert TASK.agreement(found[:2], found[:2]).share == 1 and TASK.agreement(found[:1], found[1:2]).share == 0
    near = found[:1].copy()
    near[0, 0, 2] += 0.01  # a side of one object by a little, of the other by much
    assert TASK.agreement(found[:1], near).difference == pytest.approx(0.01, abs=1e-6)
    near[0, 1, 2] += 0.1
    assert TASK.agreement(found[:1], near).share == 0.5
    close, none = found[:1, 1:2].copy(), np.full((1, 1, 6), -1, np.float32)
    close[0, 0, 1] = 0.41
    assert TASK.agreement(close, none).share == 0 and TASK.agreement(close, none, ties=0.02).share == 1


def test_perfect_detections_have_a_precision_of_one_and_empty_images_none() -> None:
    targets = TASK.collate([ONE, NOTHING])
    predicted = TASK.no_predictions()
    assert predicted.shape == (0, 100, 6)
    predicted = np.zeros((2, 100, 6), np.float32)
    predicted[..., 0] = -1
    predicted[0, 0] = [1, 0.9, 0.1, 0.2, 0.6, 0.8]
    right = TASK.evaluate("val", predicted, targets)
    assert right.score == pytest.approx(1) and right.errors().tolist() == [0, 0] and right.worst(5) == []
    assert right.rows() == {"cat": "no object", "dog": "100.0\u00a0%"}
    assert right.details()["coco"]["AP small"] is None  # there is none
    predicted[1, 0] = [0, 0.95, 0.1, 0.1, 0.5, 0.5]  # wrong, of a class without an object: COCO does not count it
    predicted[1, 1] = [1, 0.8, 0.1, 0.1, 0.5, 0.5]
    wrong = TASK.evaluate("val", predicted, targets)
    assert wrong.score == pytest.approx(1) and wrong.worst(5) == [1] and wrong.errors().tolist() == [0, 1]
    assert wrong.mistakes.tolist() == [[1, 0, 0], [0, 0, 2]]
    for some in (slice(1, 2), slice(0, 0)):  # no object, and no image
        none = TASK.evaluate("val", predicted[some], targets[some])
        assert math.isnan(none.score) and "no average precision" in none.lines()[0]
        assert "NaN" not in json.dumps(none.as_dict())
        TASK.report_sections(none, ReportContext())
    assert right.lines()[1].endswith("| maxDets=100 ] = 1.000")


def test_the_report_draws_true_and_predicted_boxes_in_the_images_shape() -> None:
    predicted = np.zeros((1, 100, 6), np.float32)
    predicted[..., 0] = -1
    evaluation = TASK.evaluate("val", predicted, TASK.collate([ONE]))
    example = Example(0, "a.png", np.zeros((64, 64, 3), np.uint8))
    sections = TASK.report_sections(evaluation, ReportContext((example,)))
    (gallery,) = (block for block in sections[1].blocks if isinstance(block, Gallery))
    true, found = gallery.pictures
    assert true.image is not None and true.image.shape == (32, 64, 3)  # as wide as the 100 x 50 image
    assert found.image is not None and not found.image.any() and true.image.any()


def test_boxes_are_drawn() -> None:
    drawn = draw_boxes(
        np.zeros((60, 80), np.uint8), [Drawn((10, 20, 50, 50), 1), Drawn((-5, -5, 200, 90), 2, "dog 0.9")]
    )
    assert drawn.shape == (60, 80, 3)
    assert tuple(drawn[30, 10]) == tuple(drawn[49, 30]) == COLOURS[1] and not drawn[35, 30].any()
    assert (drawn[:14, :30].reshape(-1, 3) == COLOURS[2]).all(1).sum() > 100  # the label is inside


def test_places_are_assigned_as_the_paper_says() -> None:
    centres, strides = torch.from_numpy(outputs(1)[0, :, CENTRE]), torch.from_numpy(outputs(1)[0, :, STRIDE])
    # A small object, a large one around it, one that is a crowd.
    target = (
        80,
        80,
        ((0, 20.0, 20.0, 30.0, 30.0, 0, 1.0), (1, 2.0, 2.0, 78.0, 78.0, 0, 1.0), (0, 50.0, 0.0, 80.0, 30.0, 1, 1.0)),
    )
    names, boxes, held = assigned(centres, strides, torch.from_numpy(TASK.collate([target])))
    objects = [(one[0], *(value / 80 for value in one[1:5])) for one in target[2]]
    for place, ((x, y), (stride, _)) in enumerate(zip(centres.tolist(), strides.tolist(), strict=True)):
        fine, possible = stride < 0.2, []
        for name, x1, y1, x2, y2 in objects[:2]:
            reach = max(x - x1, y - y1, x2 - x, y2 - y) / stride
            inside = x1 < x < x2 and y1 < y < y2
            near = abs(x - (x1 + x2) / 2) < 1.5 * stride and abs(y - (y1 + y2) / 2) < 1.5 * stride
            if inside and near and (reach <= 8 if fine else reach > 4):
                possible.append(((x2 - x1) * (y2 - y1), name, (x1, y1, x2, y2)))
        assert int(names[0, place]) == (min(possible)[1] if possible else -1)
        if possible:
            assert boxes[0, place].tolist() == pytest.approx(min(possible)[2])
        crowd = 0.625 < x < 1 and 0 < y < 0.375
        assert bool(held[0, place]) == (crowd and not possible)
    assert sorted(set(names[0].tolist())) == [-1, 0, 1]


def test_the_loss_is_finite_without_objects_and_least_for_what_is_true() -> None:
    targets = torch.from_numpy(TASK.collate([ONE, NOTHING]))
    given = torch.from_numpy(outputs(2)).requires_grad_()
    losses = DetectionLoss()(given, targets)
    assert losses.shape == (2,) and losses.isfinite().all() and losses[0] > losses[1]
    losses.sum().backward()
    assert given.grad is not None and given.grad.isfinite().all()
    names, boxes, _ = assigned(given[0, :, CENTRE], given[0, :, STRIDE], targets)
    right = given.detach().clone()
    positive = names[0] >= 0
    assert positive.sum() > 2
    right[0, positive, LOGITS + 1] = 12.0
    right[0, :, PREDICTED] = torch.where(positive[:, None], boxes[0], right[0, :, PREDICTED])
    assert DetectionLoss()(right, targets)[0] < 0.75 * losses[0]
    swapped = right.clone()
    swapped[0, :, LOGITS:] = right[0, :, LOGITS:].flip(1)  # the other class: an offset of the ids would do this
    assert DetectionLoss()(swapped, targets)[0] > 5 * DetectionLoss()(right, targets)[0]
    assert paired_giou(torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2])).item() == pytest.approx(1 / 3)
    assert paired_giou(torch.tensor([0.0, 0, 1, 1]), torch.tensor([3.0, 0, 4, 1])).item() == pytest.approx(-0.5)
    with pytest.raises(RequestError, match="boxes take outputs"):
        DetectionLoss()(given, targets[:1])


def test_the_task_is_read_again_and_checks_its_targets() -> None:
    assert task_from_dict(TASK.as_dict(), TASK.names) == TASK
    assert TASK.is_target(ONE) and TASK.is_target(NOTHING) and not TASK.is_target((1, 1, ((2, 0, 0, 1, 1, 0, 1.0),)))
    assert TASK.reindexed(ONE, {1: 0})[2][0][0] == 0 and TASK.indices(ONE) == (1,) and TASK.text(NOTHING) == "nothing"
    TASK.check_targets(TASK.collate([ONE, NOTHING]))
    for wrong in (
        np.zeros((2, 3), np.float32),
        np.full((1, 1, 9), np.nan, np.float32),
        np.full((1, 1, 9), 2, np.float32),
    ):
        with pytest.raises(RequestError, match="targets must be"):
            TASK.check_targets(wrong)
    assert TASK.strata(TASK.collate([ONE, NOTHING])).table.tolist() == [[0, 1], [0, 0]]
