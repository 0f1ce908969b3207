"""What a page shows of a training curve and of the checks before a run: remarks, and the learning-rate range test."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from pages import HOSTILE, inspect, plain, report_of

from striate.jobs.reporting.training import remark_step, training_section
from striate.report.page import render


@dataclass(frozen=True)
class Remark:
    what: str
    seen: str
    do: str


@dataclass(frozen=True)
class RangeTest:
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    low: float
    high: float
    rate: float


RATES = tuple(np.geomspace(1e-8, 0.5, 190).tolist())
LOSSES = (*np.linspace(2.3, 2.28, 120).tolist(), *np.linspace(2.28, 0.6, 60).tolist(), *[0.7 * 3**n for n in range(10)])
FOUND = RangeTest(RATES, LOSSES, 0.004, 0.2, 0.077)
CURVE = ({"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4})


def page(
    remarks: tuple[Remark, ...] = (), checks: tuple[str, ...] = (), found: RangeTest | None = None, **more: float
) -> str:
    section = training_section(CURVE, remarks, checks, found, (), more)
    return render(report_of(section, steps=tuple(remark_step(remarks))))


def test_the_most_serious_remark_leads_the_advice_and_all_stand_beside_the_curve() -> None:
    remarks = (Remark("It over-fits", "the loss rose", "get more data"), Remark("It is noisy", "it jumps", "slow down"))
    whole = page(remarks)
    inspect(whole)
    advice = re.findall(r'<li><a href="#training">(.*?)</li>', whole)
    assert advice == ["It over-fits</a>The loss rose. Get more data."]
    assert "<b>It over-fits.</b> The loss rose. Get more data." in whole
    assert "<b>It is noisy.</b> It jumps. Slow down." in whole


def test_the_range_test_is_drawn_and_what_diverged_is_cut_off() -> None:
    whole = page(checks=("Learning rate 0.077 found",), found=FOUND)
    inspect(whole)
    assert "chosen: <b>0.077</b>" in whole and "Learning rate 0.077 found." in whole
    drawing = next(part for part in whole.split("<figure>") if "Training loss by learning rate" in part)
    assert 'class="span"' in drawing and 'class="limit"' in drawing
    heights = [
        float(y) for points in re.findall(r'points="([^"]*)"', drawing) for y in re.findall(r",([\d.-]+)", points)
    ]
    assert min(heights) >= 12 and max(heights) <= 166
    powers = re.findall(r">10<tspan[^>]*>(.*?)</tspan>", drawing)
    assert [plain(power) for power in powers] == ["-8", "-6", "-4", "-2"]


def test_without_checks_none_are_shown() -> None:
    whole = page()
    assert "Checks before training" not in whole and 'href="#training">It' not in whole


def test_no_words_are_trusted() -> None:
    for name in HOSTILE:
        inspect(page((Remark(name, name, name),), (name,), FOUND, **{name: 1.0}))
