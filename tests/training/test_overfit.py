"""The checks before a run: the initial loss, and overfitting a small batch, or why it failed."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from striate.errors import WorkError
from striate.layers.stochastic_depth import StochasticDepth
from striate.recipe import Recipe
from striate.tasks import Multilabel, Regression
from striate.training.examples import Examples
from striate.training.overfit import first_loss, overfit_batch

SETTINGS = Recipe().updated(
    {
        "train.batch": 64,
        "augment": {"preset": "none", "shift": 2, "mixup": 0.5},
        "optimizer.lr": 0.05,
        "train.ema_decay": 0.99,
        "train.patience": 3,
        "train.epochs": 7,
    }
)

Digits = tuple[Tensor, Tensor, Tensor, Tensor]


def net_of(outputs: int = 10, *, dead: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(288, outputs))
    if dead:
        nn.init.constant_(net[0].bias, -100.0)  # type: ignore[arg-type]
    return net


@pytest.fixture(scope="module")
def training(digits: Digits) -> Examples:
    return Examples(digits[0][:500], digits[1][:500], [33.0], [78.0])


def test_a_small_batch_is_overfitted_on_a_copy(training: Examples) -> None:
    net = net_of()
    before = copy.deepcopy(net.state_dict())
    torch.manual_seed(3)
    state = torch.get_rng_state()
    found = overfit_batch(net, training, SETTINGS, images=20)
    assert found.images == 20 and 1 < found.steps < 100
    assert found.line() == f"Overfitted a batch of 20 images in {found.steps} steps"
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_batch_has_several_classes(training: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.training.overfit.STEPS", 2)
    rare = Examples(training.images, (torch.arange(500) >= 497).long(), [33.0], [78.0])
    with pytest.raises(
        WorkError, match=r"not even a batch of 6 images was overfitted: after 2 steps the accuracy was [0-9.]+ %"
    ):
        overfit_batch(net_of(2), rare, SETTINGS.updated({"optimizer.lr": 1e-9}), images=6)


FAILURES = [
    ({"optimizer.lr": 1e-7}, False, r"2 steps.*likely cause: a learning rate of 1e-07 that is too low"),
    ({"optimizer.lr": 50.0, "train.clip_norm": None}, False, "a learning rate of 50 that is too high"),
    ({}, True, r"likely cause: a dead net, as no gradient reaches '3\.weight'"),
]


@pytest.mark.parametrize(("changed", "dead", "told"), FAILURES)
def test_the_likely_cause_is_named(
    changed: dict[str, float], dead: bool, told: str, training: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("striate.training.overfit.STEPS", 2)
    with pytest.raises(WorkError, match=told):
        overfit_batch(net_of(dead=dead), training, SETTINGS.updated(changed))


class SometimesThere(nn.Module):
    """Stochastic depth around a convolution that is there in one of two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = StochasticDepth(nn.Conv2d(8, 8, 3, padding=1), 0.5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.branch(x, x)
        return out


def test_a_part_that_is_left_out_at_random_is_not_dead(training: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.training.overfit.STEPS", 12)
    plain = net_of()
    net = nn.Sequential(plain[0], plain[1], SometimesThere(), *plain[2:])
    with pytest.raises(WorkError, match="a learning rate of 1e-09 that is too low"):
        overfit_batch(net, training, SETTINGS.updated({"optimizer.lr": 1e-9}))


def test_one_image_with_two_labels_is_reported(training: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.training.overfit.STEPS", 2)
    twice = Examples(training.images[:1].expand(4, 1, 14, 14), torch.tensor([0, 1, 2, 3]), [33.0], [78.0])
    with pytest.raises(WorkError, match="the same image occurs twice with different labels"):
        overfit_batch(net_of(), twice, SETTINGS)


def test_a_loss_that_is_not_finite_is_reported(training: Examples) -> None:
    wild = SETTINGS.updated({"optimizer.lr": 1000.0, "train.clip_norm": None, "optimizer.momentum": 0.99})
    deep = nn.Sequential(nn.Flatten(), nn.Linear(196, 50), nn.Linear(50, 50), nn.Linear(50, 10))
    with pytest.raises(WorkError, match="the check on 16 images failed: the loss is not a finite number"):
        overfit_batch(deep, training, wild)


def test_multilabel_and_regression_are_overfitted_too(training: Examples) -> None:
    digits = training.targets
    several = torch.stack([digits < 5, digits % 2 == 0], 1).float()
    labels = dataclasses.replace(training, targets=several, task=Multilabel(("a", "b", "c")))
    assert overfit_batch(net_of(2), labels, SETTINGS, images=8).images == 8
    numbers = dataclasses.replace(training, targets=digits.float(), task=Regression(("n",)))
    few = SETTINGS.updated({"optimizer.lr": 0.01})
    assert overfit_batch(net_of(1), numbers, few, images=8).images == 8


def test_indices_among_more_images_are_respected(training: Examples) -> None:
    among = torch.arange(100, 140)
    some = dataclasses.replace(training, targets=training.targets[among], among=among)
    assert overfit_batch(net_of(), some, SETTINGS, images=16).images == 16


def test_the_initial_loss_is_chance_level(training: Examples) -> None:
    found = first_loss(net_of(), training, SETTINGS)
    assert found.expected == pytest.approx(math.log(10)) and not found.suspicious
    assert found.line() == f"First loss {found.loss:.3g}; chance level is ln 10 = 2.3"
    torch.manual_seed(1)
    assert first_loss(net_of(), training, SETTINGS) == found
    several = dataclasses.replace(training, targets=torch.zeros(500, 3), task=Multilabel(("a", "b", "c")))
    assert first_loss(net_of(3), several, SETTINGS).expected == pytest.approx(math.log(2))
    numbers = dataclasses.replace(training, targets=torch.zeros(500), task=Regression(("n",)))
    assert first_loss(net_of(1), numbers, SETTINGS).expected is None


def test_an_initial_loss_far_from_chance_is_a_warning(training: Examples) -> None:
    loud = net_of()
    with torch.no_grad():
        loud[3].weight.mul_(50)
    found = first_loss(loud, training, SETTINGS)
    assert found.suspicious and "far off: the initial weights are too large" in found.line()
    fitted = nn.Sequential(nn.Flatten(), nn.Linear(196, 10))
    nn.init.zeros_(fitted[1].weight)  # type: ignore[arg-type]
    nn.init.zeros_(fitted[1].bias)  # type: ignore[arg-type]
    fitted[1].bias.data[0] = 10
    zeros = dataclasses.replace(training, targets=torch.zeros(500, dtype=torch.int64))
    assert "predicts the labels already" in first_loss(fitted, zeros, SETTINGS).line()
