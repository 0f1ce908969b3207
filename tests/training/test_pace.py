"""The arithmetic of learning is chosen by measured steps, on a copy, and only where it pays."""

from __future__ import annotations

import copy

import pytest
import torch
from training_cases import QUICK, noise, same, small_net

from striate.recipe import Recipe
from striate.training import pace
from striate.training.pace import fastest

OPEN = QUICK.updated({"train.precision": "auto", "train.compile": "auto"})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], float]:
    """Seconds a step by (precision, compile), to be filled in by a test; and a net that is never run."""
    seconds: dict[tuple[str, str], float] = {}

    def step_seconds(net: object, examples: object, recipe: Recipe, rates: object, hooks: object) -> float:
        found = seconds[recipe.train.precision, recipe.train.compile]
        if found < 0:
            raise RuntimeError("no compiler")
        return found

    monkeypatch.setattr(pace, "_step_seconds", step_seconds)
    return seconds


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({("float32", "no"): 1.0}, ("float32", "no")),  # 8 steps of a second: nothing else is tried
        ({("float32", "no"): 5.0, ("bfloat16", "no"): 2.0}, ("bfloat16", "no")),
        ({("float32", "no"): 5.0, ("bfloat16", "no"): 4.9}, ("float32", "no")),  # too little to change the weights for
        ({("float32", "no"): 500.0, ("bfloat16", "no"): 200.0, ("bfloat16", "yes"): 150.0}, ("bfloat16", "yes")),
        ({("float32", "no"): 500.0, ("bfloat16", "no"): 900.0, ("float32", "yes"): 480.0}, ("float32", "no")),
        ({("float32", "no"): 500.0, ("bfloat16", "no"): 900.0, ("float32", "yes"): -1.0}, ("float32", "no")),
    ],
)
def test_what_pays_is_chosen(
    seconds: dict[tuple[str, str], float], chosen: tuple[str, str], clock: dict[tuple[str, str], float]
) -> None:
    clock |= seconds
    found = fastest(small_net(), noise(128), OPEN)  # 2 epochs of 4 steps
    assert (found.precision, found.compile) == chosen
    assert len(found.seconds) == len([taken for taken in seconds.values() if taken > 0])
    assert all(f"{1000 * taken:.3g} ms" in found.line() for taken in seconds.values() if taken > 0)


def test_what_is_settled_is_not_tried(clock: dict[tuple[str, str], float]) -> None:
    settled = QUICK.updated({"train.precision": "bfloat16", "train.compile": "no"})
    assert fastest(small_net(), noise(64), settled) == pace.Pace("bfloat16", "no", {})
    clock[("bfloat16", "no")] = 1.0
    half = QUICK.updated({"train.precision": "bfloat16", "train.compile": "auto"})
    assert fastest(small_net(), noise(64), half).precision == "bfloat16"


def test_a_trial_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "SHORT", 0.0)
    net = small_net(dropout=0.5)
    before, random = copy.deepcopy(net), torch.get_rng_state()
    found = fastest(net, noise(200), OPEN.updated({"train.compile": "no"}))
    assert set(found.seconds) == {"float32", "bfloat16"}
    assert all(taken > 0 for taken in found.seconds.values())
    assert same(net, before)
    assert net.training
    assert torch.equal(torch.get_rng_state(), random)
    assert not any("_conv_forward" in vars(module) for module in net.modules())
