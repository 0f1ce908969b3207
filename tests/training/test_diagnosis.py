"""Diagnosis of learning curves: synthetic curves of every kind, and real runs, healthy and broken."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.recipe import Recipe
from striate.tasks import Classification, Regression
from striate.tasks.losses import BinaryCrossEntropy, CrossEntropy
from striate.training.diagnosis import LossRange, diagnose, loss_range
from striate.training.examples import Examples, training_loss
from striate.training.loop import fit

REACH = LossRange(2.3)
CONSTANT = Recipe().updated({"schedule.name": "constant"})

Digits = tuple[Tensor, Tensor, Tensor, Tensor]
Row = dict[str, float]


def drawn(loss: list[float], held: list[float] | None = None, rates: list[float] | None = None) -> list[Row]:
    rates = rates or [0.1 * (1 + math.cos(math.pi * place / len(loss))) / 2 for place in range(len(loss))]
    rows = [
        {"epoch": n + 1, "loss": one, "learning_rate": rate}
        for n, (one, rate) in enumerate(zip(loss, rates, strict=True))
    ]
    return [row | {"held_out_loss": one} for row, one in zip(rows, held, strict=True)] if held else rows


def kinds(loss: list[float], held: list[float] | None = None, recipe: Recipe = Recipe()) -> list[str]:  # noqa: B008
    rates = [recipe.optimizer.peak] * len(loss) if recipe.schedule.name == "constant" else None
    return [remark.kind for remark in diagnose(drawn(loss, held, rates), recipe, REACH)]


FALLING = [1.4, 0.6, 0.4, 0.3, 0.24, 0.2, 0.18, 0.17, 0.165, 0.16]


def test_healthy_curves_have_no_findings() -> None:
    assert kinds(FALLING) == kinds(FALLING, [loss * 0.8 for loss in FALLING]) == []
    assert kinds(FALLING, [0.5, 0.4, 0.35, 0.3, 0.29, 0.29, 0.3, 0.3, 0.3, 0.31]) == []  # more confident, hardly worse
    assert kinds([2.1, 1.2, 0.7]) == kinds([0.02, 0.021, 0.03, 0.02]) == []


def test_too_few_epochs_have_no_findings() -> None:
    assert kinds([2.3, 9.0]) == kinds([]) == []
    assert diagnose(drawn([1.0, math.nan, 1.0]), CONSTANT, REACH) == []
    assert diagnose(drawn([0.0, 0.0, 0.0]), CONSTANT, LossRange(0.0)) == []  # one class: no reducible loss


def test_divergence() -> None:
    assert kinds([1.0, 0.8, 0.7, 0.9, 1.5, 1.9]) == ["diverging"]
    assert kinds([9.0, 8.0, 7.0, 6.0, 5.0]) == ["diverging"]
    assert kinds([2.9, 50.0, 30.0, 10.0, 2.2, 1.9]) == ["diverging"]
    said = diagnose(drawn([1.0, 0.8, 1.5, 1.9]), Recipe().updated({"train.clip_norm": None, "optimizer.lr": 2}), REACH)[
        0
    ].line()
    assert said.startswith("The training diverges: its loss rose from 0.8 to 1.9; use a lower learning rate than 2")
    assert "clip_norm = 1" in said
    assert "clip_norm" not in diagnose(drawn([1.0, 0.8, 1.5, 1.9]), Recipe(), REACH)[0].line()


def test_a_flat_curve_is_a_low_learning_rate_or_a_dead_net() -> None:
    flat = [2.31, 2.3, 2.305, 2.3, 2.301]
    assert kinds(flat) == ["dead"]
    assert kinds(flat, recipe=Recipe().updated({"optimizer.lr": 1e-5})) == ["rate too low"]
    assert kinds([2.39, 2.38, 2.37, 2.36, 2.355], recipe=Recipe().updated({"optimizer.lr": 0.01})) == ["rate too low"]
    assert kinds(flat, recipe=Recipe().updated({"optimizer.name": "adam", "optimizer.lr": 1e-3})) == ["dead"]
    assert kinds(flat, recipe=Recipe().updated({"optimizer.name": "adam", "optimizer.lr": 1e-6})) == ["rate too low"]
    assert kinds([60.0, 2.31, 2.3, 2.31, 2.3]) == ["dead"]  # destroyed in the first epoch


def test_overfitting_and_the_order_of_its_measures() -> None:
    rising = [0.9, 0.6, 0.5, 0.52, 0.6, 0.7, 0.8, 0.85, 0.9, 0.9]
    (found,) = diagnose(drawn(FALLING, rising), Recipe(), REACH)
    assert (
        found.kind == "over-fitting" and "after epoch 3 the loss on held-out images rose from 0.5 to 0.9" in found.seen
    )
    order = [found.do.index(word) for word in ("more data", "augment", "architecture", "dropout", "smaller net")]
    assert order == sorted(order)
    assert kinds([loss / 3 for loss in FALLING], [1.9] * 10) == ["over-fitting"]  # memorised only
    assert kinds([2.0, 1.9, 1.8, 1.9, 2.0, 2.1, 2.1, 2.1], rising[:8])[0] != "over-fitting"


def test_a_plateau_at_the_full_learning_rate() -> None:
    stands = [1.8, 1.2, 0.9, 0.8, 0.8, 0.801, 0.8, 0.799, 0.8, 0.8]
    assert kinds(stands, recipe=CONSTANT) == ["plateau"]
    assert kinds(stands) == []  # here the learning rate had fallen
    assert kinds([loss / 10 for loss in stands], recipe=CONSTANT) == []  # practically fitted


def test_underfitting_and_noise() -> None:
    assert kinds([2.2, 2.0, 1.9, 1.8, 1.7]) == ["under-fitting"]
    assert "still 1.7, and falling" in diagnose(drawn([2.2, 2.0, 1.9, 1.8, 1.7]), Recipe(), REACH)[0].seen
    assert kinds([2.2, 2.0, 1.9, 1.8, 1.7], [1.4, 0.9, 0.7, 0.5, 0.4]) == []  # only augmentation makes training hard
    jumping = [1.0, 0.7, 0.9, 0.6, 0.8, 0.5, 0.8, 0.5, 0.7]
    assert kinds(jumping) == kinds(jumping, jumping) == ["noisy"]
    assert kinds(jumping, [1.0, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.38, 0.37]) == []  # augmentation alone


def test_the_loss_range_is_from_chance_level_to_perfect_predictions() -> None:
    plain, smooth = CrossEntropy(), CrossEntropy(0.1)
    even = np.arange(10).repeat(3)
    assert loss_range(plain, even, outputs=10) == LossRange(pytest.approx(math.log(10)), pytest.approx(0))
    least = -(0.91 * math.log(0.91) + 0.09 * math.log(0.01))
    assert loss_range(smooth, even, outputs=10) == LossRange(pytest.approx(math.log(10)), pytest.approx(least))
    rare = np.array([0] * 9 + [1])
    assert loss_range(plain, rare, outputs=2).chance == pytest.approx(0.3251, abs=1e-4)
    weights = np.where(rare == 1, 9.0, 1.0)
    assert loss_range(plain, rare, outputs=2, weights=weights).chance == pytest.approx(math.log(2))
    prior = Recipe().updated({"loss.label_smoothing": 0.1, "loss.smoothing_prior": "frequency"})
    by_frequency = training_loss(Classification(("a", "b")), rare, prior)
    assert loss_range(by_frequency, rare, outputs=2).chance == pytest.approx(0.3251, abs=1e-4)
    labels = np.array([[0.0, 1], [1, 1]])
    assert loss_range(BinaryCrossEntropy(), labels, outputs=2).chance == pytest.approx(math.log(2) / 2)
    ages, task = np.array([10.0, 20, 30, 80]), Regression(("age",))
    assert loss_range(task.loss("mse", ages), ages, outputs=1).chance == pytest.approx(1)
    assert 0 < loss_range(task.loss("huber", ages), ages, outputs=1).chance < math.inf


def run(net: nn.Module, examples: Examples, held: Examples, recipe: Recipe) -> list[str]:
    rows = [dataclasses.asdict(report) for report in fit(net, examples, recipe, held_out=held)]
    reach = loss_range(examples.loss(recipe), examples.targets.numpy(), outputs=10)
    return [remark.kind for remark in diagnose(rows, recipe, reach)]


def net_of(squash: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), squash(), nn.Flatten(), nn.Linear(288, 64), squash(), nn.Linear(64, 10)
    )


QUICK = Recipe().updated({"train.epochs": 6, "train.batch": 50, "augment": {"preset": "none"}})

REAL = [
    (QUICK, []),
    (QUICK.updated({"augment": {"preset": "none", "shift": 1, "mixup": 0.2}, "optimizer.name": "adamw"}), []),
    (QUICK.updated({"optimizer.lr": 10, "train.clip_norm": None, "schedule.warmup_epochs": 0}), ["diverging"]),
    (QUICK.updated({"optimizer.lr": 1e-7}), ["rate too low"]),
]


@pytest.mark.parametrize(("recipe", "told"), REAL)
def test_real_runs(recipe: Recipe, told: list[str], digits: Digits) -> None:
    learnt, held = (Examples(images, labels, [33.0], [78.0]) for images, labels in (digits[:2], digits[2:]))
    wild = recipe.optimizer.peak > 1  # so high that an unbounded net would not stay finite
    assert run(net_of(nn.Tanh if wild else nn.ReLU), learnt, held, recipe) == told


def test_thirty_images_of_noise_are_overfitted() -> None:
    generator = torch.Generator().manual_seed(1)
    noise, held = (
        Examples(
            torch.randint(0, 256, (count, 1, 14, 14), dtype=torch.uint8, generator=generator),
            torch.randint(0, 10, (count,), generator=generator),
            [127.0],
            [73.0],
        )
        for count in (30, 100)
    )
    assert run(net_of(), noise, held, QUICK.updated({"train.epochs": 30, "train.batch": 10})) == ["over-fitting"]


def test_a_dead_net_does_not_train(digits: Digits) -> None:
    net = net_of()
    nn.init.constant_(net[0].bias, -100.0)  # type: ignore[arg-type]
    nn.init.zeros_(net[3].bias)  # type: ignore[arg-type]
    learnt = Examples(digits[0][:500], digits[1][:500], [33.0], [78.0])
    assert run(net, learnt, learnt, QUICK.updated({"train.epochs": 4})) == ["dead"]
