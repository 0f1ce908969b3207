"""Combinations of techniques and edge cases of the loop's recipe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_cases import QUICK, examples, same, small_net, some

from striate.errors import RequestError, WorkError
from striate.recipe import Recipe
from striate.recipe.keys import keys_of
from striate.recipe.optimizers import OPTIMIZERS
from striate.tasks import Regression, Standardisation
from striate.tasks.losses import CrossEntropy
from striate.training.batches import SampleOrder
from striate.training.diagnosis import diagnose, loss_range
from striate.training.finder import POINTS, find_lr, read
from striate.training.hooks import Hook
from striate.training.loop import fit
from striate.training.loop_state import LoopState
from striate.training.optimizers import optimizer_for
from striate.training.plain import fit_plain
from striate.training.segments import in_segments
from striate.training.standardised import StandardisedTarget
from striate.training.step_timing import choose_fastest


class Joined(nn.Sequential):
    """Layers that each take all earlier outputs, as in a dense block: no chain, though an `nn.Sequential`."""

    def forward(self, x: Tensor) -> Tensor:
        for link in self:
            x = torch.cat([x, link(x)], 1)
        return x


def joined() -> nn.Sequential:
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Conv2d(2**place, 2**place, 3, padding=1), nn.ReLU()) for place in range(3)]
    return nn.Sequential(Joined(*blocks), nn.Flatten(), nn.Linear(8 * 196, 10))


class Around(nn.Module):
    """A network whose outermost `nn.Sequential` is not a chain."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.flatten, self.head = joined()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.flatten(self.body(x)))
        return scores


def test_a_sequential_with_its_own_forward_is_no_chain() -> None:
    plain, segmented = Around(), Around()
    with in_segments(segmented):
        assert "forward" not in vars(segmented.body)
        assert all("forward" in vars(link) for link in segmented.body)
    for net, recompute in ((plain, "none"), (segmented, "sqrt")):
        fit(net, examples(*some(32)), QUICK.updated({"train.gradient_checkpointing": recompute}))
    assert same(plain, segmented)


def test_frozen_parameters_do_not_count_in_gradient_clipping() -> None:
    recipe = QUICK.updated({"train.batch": 16, "train.clip_norm": 0.01})
    frozen, shared = small_net(norm=False), small_net(norm=False)
    for parameter in frozen[0].parameters():
        parameter.requires_grad_(False)
    rates = lambda name: 0.0 if name.startswith("0.") else 1.0  # noqa: E731
    fit(frozen, examples(*some(64)), recipe, rates=rates)
    fit(shared, examples(*some(64)), recipe, rates=rates)
    assert same(frozen, shared)


class Momenta(Hook):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def step_done(self, loop: LoopState) -> None:
        self.seen.append(loop.optimizer.param_groups[0]["momentum"])


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_one_cycle_restores_momentum_from_zero(optimizer: str) -> None:
    momenta = Momenta()
    recipe = QUICK.updated(
        {
            "train.batch": 8,
            "optimizer": {"name": optimizer, "lr": 0.001} | ({} if optimizer == "sgd" else {"momentum": 0.1}),
            "schedule.name": "one-cycle",
        }
    )
    fit(small_net(), examples(*some(64)), recipe, hooks=[momenta])
    assert min(momenta.seen) == pytest.approx(0)
    assert momenta.seen[-1] == pytest.approx(0.0 if optimizer == "sgd" else 0.1)


def test_a_low_loss_in_the_first_batch_is_no_fall() -> None:
    rates = np.geomspace(1e-8, 1, POINTS).tolist()
    noise = np.random.default_rng(0).normal(2.3, 0.1, POINTS)
    noise[0] = 2.0
    with pytest.raises(WorkError, match="no learning rate found"):
        read(rates, noise.tolist())


def test_a_non_finite_initial_parameter_is_named() -> None:
    net = small_net()
    with torch.no_grad():
        net[0].weight[0] = float("nan")
    with pytest.raises(WorkError, match=r"parameter '0\.weight'"):
        find_lr(net, examples(*some(32)), QUICK)


class Freezing(Hook):
    """Freezes the first layer of a net that it holds."""

    def __init__(self, net: nn.Sequential) -> None:
        self.net, self.begun = net, 0

    def epoch_begins(self, loop: LoopState) -> None:
        assert self.net is loop.net and self.net.training
        self.net[0].requires_grad_(False)
        self.begun += 1


def test_a_trial_uses_copies_of_the_runs_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.training.step_timing.SHORT", 0.0)
    net, data = small_net(), examples(*some(64))
    hook = Freezing(net)
    found = find_lr(net, data, QUICK.updated({"train.batch": 16}), hooks=[hook])
    assert found.rate > 0
    choose_fastest(net, data, QUICK.updated({"train.compile": "no"}), hooks=[hook])
    assert hook.begun == 0 and all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_torch_accepts_every_value_in_range(name: str) -> None:
    for square, momentum in ((0.999999, 0.9999), (0.0, 0.0), (1e-6, 0.9)):
        values = {"alpha": square, "beta1": momentum, "beta2": square, "momentum": momentum, "epsilon": 0.0}
        fields = [key.field for key in keys_of(OPTIMIZERS[name])]
        chosen = {field: value for field, value in values.items() if field in fields}
        optimizer_for(small_net(), Recipe().updated({"optimizer": {"name": name, **chosen}}))
        for field in chosen:
            with pytest.raises(RequestError, match=f"optimizer.{field} takes a number from 0 to"):
                Recipe().updated({"optimizer": {"name": name, field: 11.0}})


@pytest.mark.parametrize(("given", "words"), [("-2", "not '-2'"), ("0", "not '0'"), ("Auto", "or 'auto'")])
def test_the_learning_rate_finder_is_requested_by_auto(given: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Recipe().assigned([f"optimizer.lr={given}"])


def test_an_untrained_net_with_auxiliary_heads_is_not_diverging() -> None:
    targets, recipe = np.arange(30) % 3, Recipe().updated({"loss.label_smoothing": 0.0})
    losses = [2.2, 1.9, 1.8, 1.77, 1.6 * float(np.log(3))]  # chance level of one head plus 0.3 times two more
    rows = [{"loss": loss, "learning_rate": 0.1} for loss in losses]
    kinds: dict[int, list[Any]] = {}
    for heads in (0, 2):
        reach = loss_range(CrossEntropy(), targets, outputs=3, times=1 + recipe.loss.aux_weight * heads)
        kinds[heads] = [remark.kind for remark in diagnose(rows, recipe, reach)]
    assert kinds == {0: ["diverging"], 2: ["dead"]}


MIDDLE = Standardisation((150.0,), (30.0,))


class Numbered(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Flatten()
        self.head, self.other = nn.Linear(196, 1), nn.Linear(196, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(x))
        return scores

    def forward_aux(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self(x), [self.other(self.body(x))]


def test_auxiliary_heads_of_regression_are_trained() -> None:
    images, _ = some(32)
    numbers = torch.linspace(100, 200, 32)
    net = Numbered()
    before = net.other.weight.clone()
    data = examples(images, numbers, task=Regression(("n",)))
    fit(StandardisedTarget(net, MIDDLE), data, QUICK.updated({"optimizer.lr": 1e-3}))
    assert not torch.equal(net.other.weight, before)
    fit(StandardisedTarget(small_number(), MIDDLE), data, QUICK.updated({"optimizer.lr": 1e-3}))


def small_number() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(196, 1))


def test_python_and_recipe_files_accept_the_same_values() -> None:
    asked = Recipe().updated({"optimizer.lr": "auto", "train.epochs": "3", "train.batch": 8.0})
    assert asked == Recipe().updated({"optimizer.lr": "auto", "train.epochs": 3, "train.batch": 8})
    assert isinstance(asked.train.batch, int)
    for wrong in ({"augment.crop": 5}, {"train.batch": True}, {"train.ema_decay": "much"}):
        with pytest.raises(RequestError, match=f"{next(iter(wrong))} takes"):
            Recipe().updated(wrong)


def test_the_plain_loop_matches_fit_with_default_recipes() -> None:
    recipe, data = Recipe().updated({"train.epochs": 2, "train.batch": 32}), examples(*some(64))
    expected = [report.loss for report in fit(small_net(), data, recipe)]
    assert fit_plain(small_net(), data, recipe) == pytest.approx(expected, rel=1e-4)


def test_a_noisy_loss_has_not_exploded(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.001, 0.02, 0.02, 0.02] + [0.01] * (POINTS - 4))  # of a previously fitted head

    def recorded(loop: LoopState, batch: SampleOrder) -> None:
        loop.sums.loss, loop.sums.seen, loop.batch = next(losses) * len(batch), len(batch), loop.batch + 1

    monkeypatch.setattr("striate.training.finder.train_step", recorded)
    with pytest.raises(WorkError, match="over 200 batches"):
        find_lr(small_net(), examples(*some(64)), QUICK)
