"""Losses by hand, in both forms; the two forms equal on random input; shapes that do not fit refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from striate.errors import RequestError
from striate.tasks import Classification, Loss, Multilabel, Regression
from striate.tasks.losses import HUBER_DELTA, MAD_TO_STD, MSE, BinaryCrossEntropy, CrossEntropy, Huber

GENERATOR = np.random.default_rng(0)
CLASSES = GENERATOR.integers(0, 5, 40)
LABELS = GENERATOR.integers(0, 2, (40, 5)).astype(np.float32)
NUMBERS = GENERATOR.normal(3, 20, 40)
POINTS = GENERATOR.normal(3, 20, (40, 5))

CASES: list[tuple[str, Loss, int, np.ndarray]] = [
    ("cross-entropy", CrossEntropy(), 5, CLASSES),
    ("smoothed", CrossEntropy(0.1), 5, CLASSES),
    ("smoothed by frequency", CrossEntropy(0.2, np.array([0.5, 0.2, 0.3])), 5, CLASSES),
    ("binary cross-entropy", BinaryCrossEntropy(), 5, LABELS),
    ("mse", MSE((7.0,)), 1, NUMBERS),
    ("mse of five", MSE((7.0, 1.0, 2.0, 3.0, 4.0)), 5, POINTS),
    ("huber", Huber((9.0,)), 1, NUMBERS),
    ("huber of five", Huber((2.0,)), 5, POINTS),
]


@pytest.mark.parametrize(("name", "loss", "outputs", "targets"), CASES, ids=[case[0] for case in CASES])
def test_the_numpy_and_the_torch_form_are_the_same(name: str, loss: Loss, outputs: int, targets: np.ndarray) -> None:
    logits = np.random.default_rng(1).normal(0, 8, (40, outputs))
    losses, gradient = loss.numpy(logits, targets)
    theirs = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    aims = torch.from_numpy(targets)
    found = loss.torch(theirs, aims if aims.dtype == torch.int64 else aims.float())
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert losses.shape == (40,) and gradient.shape == logits.shape
    np.testing.assert_allclose(found.detach().numpy(), losses, rtol=2e-5, atol=1e-5)
    assert theirs.grad is not None
    np.testing.assert_allclose(theirs.grad.numpy(), gradient, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "loss", "outputs", "targets"), CASES, ids=[case[0] for case in CASES])
def test_the_curvature_is_the_change_of_the_gradient(name: str, loss: Loss, outputs: int, targets: np.ndarray) -> None:
    logits, step = np.random.default_rng(1).normal(0, 8, (40, outputs)), 1e-5
    curvature = loss.curvature(logits, targets)
    assert curvature.shape == logits.shape
    for output in range(outputs):
        nudge = step * np.eye(1, outputs, output)
        change = loss.numpy(logits + nudge, targets)[1] - loss.numpy(logits - nudge, targets)[1]
        np.testing.assert_allclose(change[:, output] / (2 * step), curvature[:, output], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "loss", "outputs", "targets"), CASES, ids=[case[0] for case in CASES])
def test_no_constant_prediction_is_better_than_chance_level(
    name: str, loss: Loss, outputs: int, targets: np.ndarray
) -> None:
    chance = loss.chance(targets, outputs)
    assert loss.floor(targets, outputs) < chance
    constants = np.random.default_rng(2).normal(0, 3, (50, outputs))
    if not name.startswith("huber"):  # whose centre is the median, near its minimum
        for constant in constants:
            assert loss.numpy(np.tile(constant, (40, 1)), targets)[0].mean() >= chance - 1e-9


def test_values_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    targets = torch.tensor([0, 1])
    assert CrossEntropy()(logits, targets).tolist() == pytest.approx([math.log(4 / 3), math.log(2)])
    smooth = 0.9 * math.log(4 / 3) + 0.1 * (math.log(4 / 3) + math.log(4)) / 2
    assert CrossEntropy(0.1)(logits, targets)[0].item() == pytest.approx(smooth)
    both = BinaryCrossEntropy()(logits, torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
    assert both.tolist() == pytest.approx([(math.log(4 / 3) + math.log(2)) / 2, math.log(2)])
    numbers, truth = torch.tensor([[3.0], [10.0]]), torch.tensor([2.0, 0.0])
    assert MSE((2.0,))(numbers, truth).tolist() == pytest.approx([0.25, 25])
    # Half a square up to delta, then a line of that slope.
    assert Huber((2.0,))(numbers, truth).tolist() == pytest.approx([0.125, HUBER_DELTA * (5 - HUBER_DELTA / 2)])


def test_smoothing_moves_mass_to_all_classes_or_by_their_frequency() -> None:
    logits, labels = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 3, 0])
    prior = np.array([0.7, 0.1, 0.2, 0.0])
    wanted = 0.9 * torch.eye(4)[labels] + 0.1 * torch.from_numpy(prior).float()
    by_hand = -(wanted * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(CrossEntropy(0.1, prior)(logits, labels), by_hand)
    # A class that no training image has is not in the prior, and has a share of none.
    torch.testing.assert_close(CrossEntropy(0.1, prior[:3])(logits, labels), by_hand)
    even = CrossEntropy(0.1, np.full(4, 0.25))(logits, labels)
    torch.testing.assert_close(even, CrossEntropy(0.1)(logits, labels))


def test_of_half_precision_logits_the_loss_is_in_float32() -> None:
    logits = torch.zeros(2, 3, dtype=torch.bfloat16)
    assert CrossEntropy()(logits, torch.tensor([0, 1])).dtype == torch.float32
    assert MSE()(logits[:, :1], torch.zeros(2)).dtype == torch.float32


def test_the_task_chooses() -> None:
    assert isinstance(Classification(("a", "b")).loss(), CrossEntropy)
    assert isinstance(Multilabel(("a",)).loss("binary-cross-entropy"), BinaryCrossEntropy)
    assert Regression(("n",)).loss() == MSE()
    assert Regression(("n",)).loss("huber") == Huber()
    with pytest.raises(RequestError, match="unknown loss of the task 'multilabel' 'mse'"):
        Multilabel(("a",)).loss("mse")


def test_the_scale_of_errors_is_that_of_the_standardised_targets() -> None:
    task, targets = Regression(("n",)), np.array([1.0, 2.0, 4.0, 5.0, 300.0])
    squares = task.standardisation(targets)
    robust = task.standardisation(targets, "huber")
    assert squares is not None and robust is not None
    assert squares.centre == (pytest.approx(targets.mean()),) and squares.scale == (pytest.approx(targets.std()),)
    assert robust.centre == (4.0,) and robust.scale == (pytest.approx(MAD_TO_STD * 2.0),)
    assert task.loss("huber", targets) == Huber(robust.scale)
    assert task.loss("mse", targets) == MSE(squares.scale)
    assert squares.apply(targets).std() == pytest.approx(1)
    same = np.full(9, 2.5)
    assert all(task.loss(name, same).scale == (1.0,) for name in task.losses)  # type: ignore[attr-defined]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RequestError, match=r"logits \[N, classes\] and targets \[N\], not \[4\] and \[4\]"):
        CrossEntropy()(torch.zeros(4), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(RequestError, match=r"not \[4, 2\] and \[4\]"):
        BinaryCrossEntropy()(torch.zeros(4, 2), torch.zeros(4))
    with pytest.raises(RequestError, match=r"not \[4, 2\] and \[4\]"):
        MSE()(torch.zeros(4, 2), torch.zeros(4))
    with pytest.raises(RequestError, match=r"not \[4, 1\] and \[3, 1\]"):
        Huber()(torch.zeros(4, 1), torch.zeros(3, 1))
    with pytest.raises(RequestError, match="must be above 0"):
        MSE((0.0,))
