"""Precision and compiling are chosen by timed steps, on a copy, and only if it pays off."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from training_cases import QUICK, noise, same, small_net

from striate.recipe import Recipe
from striate.training import step_timing
from striate.training.step_timing import choose_fastest

OPEN = QUICK.updated({"train.precision": "auto", "train.compile": "auto"})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[tuple[str, str], float]:
    """Seconds per step by (precision, compile), to be set by a test; no net is run, and the cache is empty."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    seconds: dict[tuple[str, str], float] = {}

    def step_seconds(net: object, examples: object, recipe: Recipe, rates: object, hooks: object) -> float:
        found = seconds[recipe.train.precision, recipe.train.compile]
        if found < 0:
            raise RuntimeError("no compiler")
        return found

    monkeypatch.setattr(step_timing, "_step_seconds", step_seconds)
    return seconds


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({("float32", "no"): 1.0}, ("float32", "no")),  # 8 steps of a second: nothing else is tried
        ({("float32", "no"): 5.0, ("bfloat16", "no"): 2.0}, ("bfloat16", "no")),
        ({("float32", "no"): 5.0, ("bfloat16", "no"): 4.9}, ("float32", "no")),  # too small a gain
        ({("float32", "no"): 500.0, ("bfloat16", "no"): 200.0, ("bfloat16", "yes"): 150.0}, ("bfloat16", "yes")),
        ({("float32", "no"): 500.0, ("bfloat16", "no"): 900.0, ("float32", "yes"): 480.0}, ("float32", "no")),
        ({("float32", "no"): 500.0, ("bfloat16", "no"): 900.0, ("float32", "yes"): -1.0}, ("float32", "no")),
    ],
)
def test_a_clearly_faster_setting_is_chosen(
    seconds: dict[tuple[str, str], float], chosen: tuple[str, str], clock: dict[tuple[str, str], float]
) -> None:
    clock |= seconds
    found = choose_fastest(small_net(), noise(128), OPEN)  # 2 epochs of 4 steps
    assert (found.precision, found.compile) == chosen
    assert len(found.seconds) == len([taken for taken in seconds.values() if taken > 0])
    assert all(f"{1000 * taken:.3g} ms" in found.line() for taken in seconds.values() if taken > 0)


def test_a_set_value_is_not_timed(clock: dict[tuple[str, str], float]) -> None:
    settled = QUICK.updated({"train.precision": "bfloat16", "train.compile": "no"})
    assert choose_fastest(small_net(), noise(64), settled) == step_timing.StepTiming("bfloat16", "no", {})
    clock[("bfloat16", "no")] = 1.0
    half = QUICK.updated({"train.precision": "bfloat16", "train.compile": "auto"})
    assert choose_fastest(small_net(), noise(64), half).precision == "bfloat16"


def test_a_trial_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_timing, "SHORT", 0.0)
    net = small_net(dropout=0.5)
    before, random = copy.deepcopy(net), torch.get_rng_state()
    found = choose_fastest(net, noise(200), OPEN.updated({"train.compile": "no"}))
    assert set(found.seconds) == {"float32", "bfloat16"}
    assert all(taken > 0 for taken in found.seconds.values())
    assert same(net, before)
    assert net.training
    assert torch.equal(torch.get_rng_state(), random)
    assert not any("_conv_forward" in vars(module) for module in net.modules())


@pytest.mark.parametrize(("gain", "chosen"), [(0.7, "yes"), (0.95, "no"), (None, "no")])
def test_compiling_is_tried_once_on_a_machine(
    gain: float | None, chosen: str, clock: dict[tuple[str, str], float], tmp_path: Path
) -> None:
    fixed = OPEN.updated({"train.precision": "float32"})
    clock |= {("float32", "no"): 100.0, ("float32", "yes"): -1.0 if gain is None else 100 * gain}
    assert choose_fastest(small_net(), noise(128), fixed).compile == chosen
    del clock["float32", "yes"]  # a second trial would fail
    again = choose_fastest(small_net(), noise(128), fixed)
    assert again.compile == chosen and set(again.seconds) == {"float32"}
    (kept,) = (tmp_path / "steps").iterdir()
    kept.write_bytes(b"damaged")
    clock["float32", "yes"] = 50.0
    assert choose_fastest(small_net(), noise(128), fixed).compile == "yes"
    clock["float32", "yes"] = 99.0  # another batch is another step
    assert choose_fastest(small_net(), noise(128), fixed.updated({"train.batch": 64})).compile == "no"
