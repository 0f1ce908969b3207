"""Losses an image, by the task: values by hand, and shapes that do not fit refused."""

from __future__ import annotations

import math

import pytest
import torch

from striate.errors import RequestError
from striate.training.losses import binary_cross_entropy, cross_entropy, huber, loss_for, squared_error


def test_values_by_hand() -> None:
    scores = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    assert cross_entropy(scores, torch.tensor([0, 1])).tolist() == pytest.approx([math.log(4 / 3), math.log(2)])
    smooth = 0.9 * math.log(4 / 3) + 0.1 * (math.log(4 / 3) + math.log(4)) / 2
    assert cross_entropy(scores, torch.tensor([0, 1]), label_smoothing=0.1)[0].item() == pytest.approx(smooth)
    both = binary_cross_entropy(scores, torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
    assert both.tolist() == pytest.approx([(math.log(4 / 3) + math.log(2)) / 2, math.log(2)])
    numbers, truth = torch.tensor([[3.0], [10.0]]), torch.tensor([2.0, 0.0])
    assert squared_error(numbers, truth, unit=2).tolist() == pytest.approx([0.25, 25])
    # Half a square up to one unit, then a line of that slope.
    assert huber(numbers, truth, unit=2).tolist() == pytest.approx([0.125, 4.5])


def test_smoothing_moves_mass_to_all_classes_or_by_their_frequency() -> None:
    scores, labels = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 0])
    prior = torch.tensor([0.7, 0.1, 0.2, 0.0])
    wanted = 0.9 * torch.eye(4)[labels] + 0.1 * prior
    by_hand = -(wanted * scores.log_softmax(1)).sum(1)
    torch.testing.assert_close(cross_entropy(scores, labels, label_smoothing=0.1, prior=prior), by_hand)
    # A class that no training image has is not in the prior, and has a share of none.
    torch.testing.assert_close(cross_entropy(scores, labels, label_smoothing=0.1, prior=prior[:3]), by_hand)
    even = cross_entropy(scores, labels, label_smoothing=0.1, prior=torch.full((4,), 0.25))
    torch.testing.assert_close(even, cross_entropy(scores, labels, label_smoothing=0.1))


def test_of_half_precision_scores_the_loss_is_in_float32() -> None:
    scores = torch.zeros(2, 3, dtype=torch.bfloat16)
    assert cross_entropy(scores, torch.tensor([0, 1])).dtype == torch.float32
    assert squared_error(scores[:, :1], torch.zeros(2)).dtype == torch.float32


def test_the_task_chooses() -> None:
    scores = torch.tensor([[2.0], [0.0]])
    assert loss_for("number")(scores, torch.zeros(2)).tolist() == [4, 0]
    assert loss_for("number", "huber")(scores, torch.zeros(2)).tolist() == [1.5, 0]
    assert loss_for("labels")(scores, torch.ones(2, 1))[1].item() == pytest.approx(math.log(2))
    with pytest.raises(RequestError, match="unknown loss of the task 'labels' 'mse'"):
        loss_for("labels", "mse")


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RequestError, match=r"scores \[B, classes\] and labels \[B\], not \[4\] and \[4\]"):
        cross_entropy(torch.zeros(4), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(RequestError, match=r"not \[4, 2\] and \[4\]"):
        binary_cross_entropy(torch.zeros(4, 2), torch.zeros(4))
    with pytest.raises(RequestError, match=r"not \[4, 2\] and \[4\]"):
        squared_error(torch.zeros(4, 2), torch.zeros(4))
    with pytest.raises(RequestError, match=r"not \[4, 1\] and \[4, 1\]"):
        huber(torch.zeros(4, 1), torch.zeros(4, 1))
