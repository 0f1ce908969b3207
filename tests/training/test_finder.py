"""The learning-rate finder: the range over which the loss of a trial falls, on a copy, and an error if it never
falls."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from striate.errors import RequestError, WorkError
from striate.recipe import Recipe
from striate.training.examples import Examples
from striate.training.finder import POINTS, RangeTest, averaged, find_lr, read
from striate.training.loop import fit
from striate.training.plain import fit_plain

SETTINGS = Recipe().updated(
    {
        "train.batch": 16,
        "augment": {"preset": "none", "shift": 1},
        "optimizer.lr": "auto",
        "train.epochs": 2,
        "schedule.warmup_epochs": 0,
    }
)
RATES = [10 ** (-8 + 8 * place / (POINTS - 1)) for place in range(POINTS)]

Digits = tuple[Tensor, Tensor, Tensor, Tensor]


def net_of(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(288, 10)
    )


@pytest.fixture(scope="module")
def training(digits: Digits) -> tuple[Examples, Examples]:
    images, labels, *held = digits
    return Examples(images[:1000], labels[:1000], [33.0], [78.0]), Examples(held[0], held[1], [33.0], [78.0])


@pytest.fixture(scope="module")
def found(training: tuple[Examples, Examples]) -> Iterator[RangeTest]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in every test here; a module's fixture runs before the autouse one
    yield find_lr(net_of(), training[0], SETTINGS)
    torch.set_num_threads(threads)


def test_the_trial_covers_powers_of_ten(found: RangeTest) -> None:
    assert found.rates == pytest.approx(RATES[: len(found.rates)]) and len(found.losses) == len(found.rates)
    assert found.rates[0] <= found.low <= found.rate <= found.high <= 1
    assert f"{found.rate:.2g}" in found.line()


def test_the_suggested_rate_trains_and_distant_ones_do_not(
    found: RangeTest, training: tuple[Examples, Examples]
) -> None:
    def score(rate: float) -> float:
        reports = fit(net_of(), training[0], SETTINGS.updated({"optimizer.lr": rate}), held_out=training[1])
        assert reports[-1].score is not None
        return reports[-1].score

    assert score(found.rate) > 0.8
    assert score(found.low / 100) < 0.5


def test_the_net_and_the_random_state_do_not_change(found: RangeTest, training: tuple[Examples, Examples]) -> None:
    net = net_of().eval()
    before = copy.deepcopy(net.state_dict())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    again = find_lr(net, training[0], SETTINGS)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    assert not net.training and all(parameter.grad is None for parameter in net.parameters())
    assert again == found


def test_it_stops_where_the_loss_explodes(training: tuple[Examples, Examples]) -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(196, 50), nn.ReLU(), nn.Linear(50, 10))
    found = find_lr(plain, training[0], SETTINGS.updated({"train.clip_norm": None, "optimizer.momentum": 0.99}))
    assert len(found.rates) < POINTS
    assert found.rate < found.high < found.rates[-1]


def test_few_images_are_repeated_over_epochs(training: tuple[Examples, Examples]) -> None:
    few = dataclasses.replace(training[0], images=training[0].images[:20], targets=training[0].targets[:20])
    assert len(find_lr(net_of(), few, SETTINGS).rates) > 50


def test_a_net_that_trains_at_no_rate_is_refused(training: tuple[Examples, Examples]) -> None:
    net = net_of()
    with torch.no_grad():
        net[5].weight.zero_()
        net[5].bias.zero_()
    net.requires_grad_(False)
    net[0].weight.requires_grad_(True)
    with pytest.raises(
        WorkError, match=r"no learning rate found: over 200 batches.*stayed at about 2\.3.*--overfit-batch"
    ):
        find_lr(net, training[0], SETTINGS)


def test_synthetic_curves() -> None:
    falls = [2.3] * 100 + [2.3 - 0.03 * place for place in range(50)] + [0.8] * 50
    found = read(RATES, falls)
    assert RATES[95] < found.low < RATES[125] and RATES[140] < found.high < RATES[180]
    assert found.low < found.rate < found.high
    with pytest.raises(WorkError, match="stayed at about 2"):
        read(RATES, [2.3 + 0.1 * (-1) ** place for place in range(POINTS)])
    with pytest.raises(WorkError, match="rose from 2"):
        read(RATES, [2.3] * 60 + [2.3 * 1.2**place for place in range(10)])


def test_the_average_is_bias_corrected() -> None:
    assert averaged([3.0, 3.0, 3.0]) == pytest.approx([3.0, 3.0, 3.0])
    assert averaged([1.0, 2.0])[1] == pytest.approx((0.9 * 0.1 * 1 + 0.1 * 2) / 0.19)


def test_the_loop_itself_needs_a_number(training: tuple[Examples, Examples]) -> None:
    for trainer in (fit, fit_plain):
        with pytest.raises(RequestError, match="'auto' is not a number yet"):
            trainer(net_of(), training[0], SETTINGS)  # type: ignore[operator]
