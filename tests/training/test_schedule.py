"""Every schedule is a pure function of the step: known values, agreement with torch, and no step outside the run."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.recipe import Recipe
from striate.training.schedule import Schedule


def rates(epochs: int, steps: int, lr: float | None = None, **more: Any) -> list[float]:
    warmup = {} if more.get("name") == "triangular" else {"warmup_epochs": 0.0}
    schedule = Schedule(Recipe().updated({"optimizer.lr": lr, "schedule": {**warmup, **more}}), epochs, steps)
    return [schedule.rate(step) for step in range(epochs * steps)]


def test_the_values_of_a_short_run() -> None:
    cosine = [0.2 * (1 + math.cos(math.pi * part)) for part in (0, 0.25, 0.5, 0.75)]
    assert rates(8, 1, lr=0.4, warmup_epochs=4.0) == pytest.approx([0.1, 0.2, 0.3, 0.4, *cosine])
    assert rates(8, 1, lr=0.4, name="constant", warmup_epochs=2.0) == [0.2, *[0.4] * 7]


@given(st.data(), st.integers(1, 10_000), st.floats(1e-6, 10))
def test_rises_to_the_peak_and_falls_from_it(data: st.DataObject, total: int, peak: float) -> None:
    warmup = data.draw(st.integers(0, 1000))
    step = data.draw(st.integers(0, total - 1))
    schedule = Schedule(Recipe().updated({"optimizer.lr": peak, "schedule.warmup_epochs": float(warmup)}), total, 1)
    rate = schedule.rate(step)
    assert 0 < rate <= peak
    if step + 1 < total:
        after = schedule.rate(step + 1)
        assert rate <= after if step + 1 <= schedule.warmup else rate >= after
    if schedule.warmup:
        assert schedule.rate(schedule.warmup - 1) == peak
        assert schedule.warmup <= total / 2  # or a short run would end before its learning rate has fallen


def test_cosine_agrees_with_torch_after_the_warm_up() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for rate in rates(50, 1, lr=0.3):
        assert rate == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
def test_one_cycle_agrees_with_torch_in_learning_rate_and_momentum(optimizer: str) -> None:
    parameter = [torch.nn.Parameter(torch.zeros(1))]
    sgd = torch.optim.SGD(parameter, lr=0.3, momentum=0.9)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        sgd, 0.3, total_steps=101, base_momentum=0.8, max_momentum=0.9, final_div_factor=1e4 / 25
    )
    mine = Schedule(
        Recipe().updated({"optimizer.lr": 0.3, "schedule.name": "one-cycle", "optimizer.name": optimizer}), 101, 1
    )
    # Torch's peak is a step earlier, so the two are compared at the ends and near the peak.
    assert mine.rate(0) == pytest.approx(0.3 / 25)
    assert max(mine.rate(step) for step in range(101)) == pytest.approx(0.3)
    assert mine.rate(100) == pytest.approx(0.3e-4)
    for step in range(100):
        assert mine.rate(step) == pytest.approx(theirs.get_last_lr()[0], abs=0.3 * 0.05)
        assert mine.momentum(step) == pytest.approx(sgd.param_groups[0]["momentum"], abs=0.1 * 0.06)
        sgd.step()
        theirs.step()


def test_steps_at_milestones_or_shares_or_intervals() -> None:
    by_share = rates(8, 2, lr=1.0, name="step", milestones=[0.5, 0.75], gamma=0.1)
    assert by_share == pytest.approx([1.0] * 8 + [0.1] * 4 + [0.01] * 4)
    by_epoch = rates(8, 2, lr=1.0, name="step", milestones=[1, 7.5], gamma=0.5)
    assert by_epoch == pytest.approx([1.0] * 2 + [0.5] * 13 + [0.25])
    every = rates(6, 5, lr=1.0, name="step", step_epochs=2.4, gamma=0.97)
    assert every == pytest.approx([0.97 ** (step // 12) for step in range(30)])


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_the_run_is_refused(step: int) -> None:
    with pytest.raises(RequestError, match=f"steps 0 to 9, not {step}"):
        Schedule(Recipe(), 10, 1).rate(step)


def test_triangular_cycles_agree_with_torch() -> None:
    """Smith's figure: from 0.1 to 0.35 and back, with a step size in iterations."""
    mine = rates(10, 10, lr=0.35, name="triangular", floor=0.1 / 0.35, step_size=20)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.CyclicLR(optimizer, 0.1, 0.35, step_size_up=20, cycle_momentum=False)
    for rate in mine:
        assert rate == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert mine[0] == pytest.approx(0.1) and mine[20] == pytest.approx(0.35) and mine[40] == pytest.approx(0.1)
    assert rates(8, 5, lr=0.35, name="triangular")[20] == pytest.approx(0.35)  # the peak after four epochs
    assert rates(8, 5, lr=0.35, name="triangular")[0] == pytest.approx(0.1)


@pytest.mark.parametrize(("period", "growth"), [(1.0, 2.0), (2.0, 1.0), (0.5, 3.0)])
def test_warm_restarts_agree_with_torch(period: float, growth: float) -> None:
    mine = rates(14, 10, lr=0.05, name="warm-restarts", period=period, period_factor=growth)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, round(10 * period), round(growth))
    for rate in mine:
        assert rate == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert mine[round(10 * period)] == pytest.approx(0.05)


def test_a_plateaus_rate_is_constant_until_it_drops() -> None:
    assert rates(6, 2, lr=0.3, name="plateau") == [0.3] * 12
