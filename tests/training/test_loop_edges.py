"""Where techniques meet: what must hold at the edges of the loop's settings."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_cases import QUICK, examples, same, small_net, some

from striate.errors import RequestError, WorkError
from striate.recipe import Recipe, Settings
from striate.recipe.settings import FINDER, OPTIMIZERS
from striate.tasks import Regression, Standardisation
from striate.tasks.losses import CrossEntropy
from striate.training.batches import SampleOrder
from striate.training.diagnosis import diagnose, reach_of
from striate.training.finder import POINTS, find_rate, read
from striate.training.hooks import Hook
from striate.training.loop import fit
from striate.training.optimizers import optimizer_for
from striate.training.pace import fastest
from striate.training.plain import fit_plain
from striate.training.run import Run
from striate.training.segments import in_segments
from striate.training.standardised import StandardisedTarget


class Joined(nn.Sequential):
    """Links that each see what all before them made, as a dense block's do: no chain, though an `nn.Sequential`."""

    def forward(self, x: Tensor) -> Tensor:
        for link in self:
            x = torch.cat([x, link(x)], 1)
        return x


def joined() -> nn.Sequential:
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Conv2d(2**place, 2**place, 3, padding=1), nn.ReLU()) for place in range(3)]
    return nn.Sequential(Joined(*blocks), nn.Flatten(), nn.Linear(8 * 196, 10))


class Around(nn.Module):
    """A network whose outermost `nn.Sequential` is no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.flatten, self.head = joined()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.flatten(self.body(x)))
        return scores


def test_what_has_a_forward_of_its_own_is_no_chain() -> None:
    plain, segmented = Around(), Around()
    with in_segments(segmented):
        assert "forward" not in vars(segmented.body)
        assert all("forward" in vars(link) for link in segmented.body)
    for net, recompute in ((plain, "none"), (segmented, "sqrt")):
        fit(net, examples(*some(32)), dataclasses.replace(QUICK, recompute=recompute))
    assert same(plain, segmented)


def test_what_is_not_learnt_does_not_shorten_the_gradient() -> None:
    settings = dataclasses.replace(QUICK, batch=16, clip_norm=0.01)
    frozen, shared = small_net(norm=False), small_net(norm=False)
    for parameter in frozen[0].parameters():
        parameter.requires_grad_(False)
    rates = lambda name: 0.0 if name.startswith("0.") else 1.0  # noqa: E731
    fit(frozen, examples(*some(64)), settings, rates=rates)
    fit(shared, examples(*some(64)), settings, rates=rates)
    assert same(frozen, shared)


class Momenta(Hook):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def step_done(self, run: Run) -> None:
        self.seen.append(run.optimizer.param_groups[0]["momentum"])


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_momentum_that_one_cycle_takes_to_nothing_comes_back(optimizer: str) -> None:
    momenta = Momenta()
    settings = dataclasses.replace(
        QUICK, batch=8, optimizer=optimizer, schedule="one-cycle", momentum=0.1, learning_rate=0.001
    )
    fit(small_net(), examples(*some(64)), settings, hooks=[momenta])
    assert min(momenta.seen) == pytest.approx(0)
    assert momenta.seen[-1] == pytest.approx(0.0 if optimizer == "sgd" else 0.1)


def test_a_first_batch_that_is_low_by_chance_is_no_fall() -> None:
    rates = np.geomspace(1e-8, 1, POINTS).tolist()
    noise = np.random.default_rng(0).normal(2.3, 0.1, POINTS)
    noise[0] = 2.0
    with pytest.raises(WorkError, match="no learning rate found"):
        read(rates, noise.tolist())


def test_a_net_that_begins_spoilt_is_told_by_name() -> None:
    net = small_net()
    with torch.no_grad():
        net[0].weight[0] = float("nan")
    with pytest.raises(WorkError, match=r"parameter '0\.weight'"):
        find_rate(net, examples(*some(32)), QUICK)


class Freezing(Hook):
    """Freezes the first layer of a net that it holds."""

    def __init__(self, net: nn.Sequential) -> None:
        self.net, self.begun = net, 0

    def epoch_begins(self, run: Run) -> None:
        assert self.net is run.net and self.net.training
        self.net[0].requires_grad_(False)
        self.begun += 1


def test_a_trial_goes_by_copies_of_the_runs_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.training.pace.SHORT", 0.0)
    net, data = small_net(), examples(*some(64))
    hook = Freezing(net)
    found = find_rate(net, data, dataclasses.replace(QUICK, batch=16), hooks=[hook])
    assert found.rate > 0
    fastest(net, data, dataclasses.replace(QUICK, compile="no"), hooks=[hook])
    assert hook.begun == 0 and all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_value_in_range_is_one_that_the_library_takes(name: str) -> None:
    for square, momentum in ((0.999999, 0.9999), (0.0, 0.0), (1e-6, 0.9)):
        optimizer_for(small_net(), Settings(optimizer=name, square_decay=square, momentum=momentum))
    with pytest.raises(RequestError, match="square_decay must lie in"):
        Settings(optimizer=name, square_decay=1.0)


@pytest.mark.parametrize(("given", "words"), [("-2", "by its word"), ("-2.0", "by its word"), ("Auto", "or 'auto'")])
def test_a_rate_to_be_found_is_asked_for_by_its_word(given: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Recipe().with_settings([f"learning_rate={given}"])


def test_a_net_with_auxiliary_heads_that_has_learnt_nothing_does_not_diverge() -> None:
    targets, settings = np.arange(30) % 3, Settings(label_smoothing=0.0)
    losses = [2.2, 1.9, 1.8, 1.77, 1.6 * float(np.log(3))]  # what guessing costs, by one head and 0.3 times by two
    rows = [{"loss": loss, "learning_rate": 0.1} for loss in losses]
    kinds: dict[int, list[Any]] = {}
    for heads in (0, 2):
        reach = reach_of(CrossEntropy(), targets, outputs=3, times=1 + settings.auxiliary * heads)
        kinds[heads] = [remark.kind for remark in diagnose(rows, settings, reach)]
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


def test_auxiliary_heads_of_a_number_learn_too() -> None:
    images, _ = some(32)
    numbers = torch.linspace(100, 200, 32)
    net = Numbered()
    before = net.other.weight.clone()
    data = examples(images, numbers, task=Regression(("n",)))
    fit(StandardisedTarget(net, MIDDLE), data, dataclasses.replace(QUICK, learning_rate=1e-3))
    assert not torch.equal(net.other.weight, before)
    fit(StandardisedTarget(small_number(), MIDDLE), data, dataclasses.replace(QUICK, learning_rate=1e-3))


def small_number() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(196, 1))


def test_python_takes_what_a_file_takes() -> None:
    asked = Settings(learning_rate="auto", epochs="3", batch=8.0)  # type: ignore[arg-type]
    assert asked == Settings(learning_rate=FINDER, epochs=3, batch=8)
    assert isinstance(asked.batch, int)
    for wrong in ({"drop_at": 5}, {"batch": True}, {"ema": "much"}):
        with pytest.raises(RequestError, match=f"recipe key '{next(iter(wrong))}' takes"):
            Settings(**wrong)  # type: ignore[arg-type]


def test_a_key_that_another_leaves_unread_is_told() -> None:
    asked = Recipe(drop_at="3 5", optimizer="sgd", momentum=0.5, epsilon=0.1)
    assert asked.unread() == [
        "Set, but not used with optimizer 'sgd': momentum",
        "Set, but not used with optimizer 'sgd': epsilon",
        "Set, but not used with schedule 'cosine': drop_at",
    ]
    assert asked.changed({"optimizer": "adam", "schedule": "step"}).unread() == Recipe().unread() == []


def test_the_plain_twin_takes_the_settings_as_they_come() -> None:
    settings, data = Settings(epochs=2, batch=32), examples(*some(64))
    expected = [report.loss for report in fit(small_net(), data, settings)]
    assert fit_plain(small_net(), data, settings) == pytest.approx(expected, rel=1e-4)


def test_a_loss_that_moves_by_chance_has_not_exploded(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([0.001, 0.02, 0.02, 0.02] + [0.01] * (POINTS - 4))  # of a head that was fitted before

    def learnt(run: Run, batch: SampleOrder) -> None:
        run.sums.loss, run.sums.seen, run.batch = next(losses) * len(batch), len(batch), run.batch + 1

    monkeypatch.setattr("striate.training.finder.learn", learnt)
    with pytest.raises(WorkError, match="over 200 batches"):
        find_rate(small_net(), examples(*some(64)), QUICK)
