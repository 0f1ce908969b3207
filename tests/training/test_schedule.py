"""The learning rate rises in a line, then falls as half a cosine, and is never zero."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.training.schedule import learning_rate


def test_the_values_of_a_short_run() -> None:
    rates = [learning_rate(step, 8, 4, 0.4) for step in range(8)]
    cosine = [0.2 * (1 + math.cos(math.pi * part)) for part in (0, 0.25, 0.5, 0.75)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, *cosine])


@given(st.data(), st.integers(1, 10_000), st.floats(1e-6, 10))
def test_rises_to_the_peak_and_falls_from_it(data: st.DataObject, total: int, peak: float) -> None:
    warmup = data.draw(st.integers(0, total))
    step = data.draw(st.integers(0, total - 1))
    rate = learning_rate(step, total, warmup, peak)
    assert 0 < rate <= peak
    if step + 1 < total:
        after = learning_rate(step + 1, total, warmup, peak)
        assert rate <= after if step + 1 <= warmup else rate >= after
    if warmup:
        assert learning_rate(warmup - 1, total, warmup, peak) == peak


def test_agrees_with_torch_after_the_warm_up() -> None:
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(50):
        assert learning_rate(step, 50, 0, 0.3) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_the_run_is_refused(step: int) -> None:
    with pytest.raises(RequestError, match=f"steps 0 to 9, not {step}"):
        learning_rate(step, 10, 0, 0.1)
