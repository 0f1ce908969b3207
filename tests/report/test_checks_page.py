"""What a page says of a curve and of the checks before a run: the words, and the trial of the learning rate drawn."""

from __future__ import annotations

import re

import numpy as np
from pages import HOSTILE, inspect, plain
from striate.report.run.content import Finder, Remark, RunReport
from striate.report.run.page import render

RATES = tuple(np.geomspace(1e-8, 0.5, 190).tolist())
LOSSES = (*np.linspace(2.3, 2.28, 120).tolist(), *np.linspace(2.28, 0.6, 60).tolist(), *[0.7 * 3**n for n in range(10)])
FINDER = Finder(RATES, LOSSES, 0.004, 0.2, 0.077)


def page(**more: object) -> str:
    fields = {
        "title": "t", "data": "d", "net": "n", "strategy": "scratch", "why": "w", "images": {"train": 9},
        "held_out": "val", "classes": ("a", "b"), "confusion": np.array([[3, 1], [0, 4]]), "correct": 7, "total": 8,
        "accuracy": 7 / 8, "curve": ({"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4}),
    }  # fmt: skip
    return render(RunReport(**(fields | more)))  # type: ignore[arg-type]


def test_the_gravest_remark_leads_the_advice_and_all_stand_beside_the_curve() -> None:
    remarks = (Remark("It over-fits", "the loss rose", "get more data"), Remark("It is noisy", "it jumps", "slow down"))
    whole = page(remarks=remarks)
    inspect(whole)
    advice = re.findall(r'<li><a href="#training">(.*?)</li>', whole)
    assert advice == ["It over-fits</a>The loss rose. Get more data."]
    assert "<b>It over-fits.</b> The loss rose. Get more data." in whole
    assert "<b>It is noisy.</b> It jumps. Slow down." in whole


def test_the_trial_is_drawn_and_what_exploded_is_cut_off() -> None:
    whole = page(finder=FINDER, checks=("Learning rate 0.077 found",))
    inspect(whole)
    assert "taken: <b>0.077</b>" in whole and "Learning rate 0.077 found." in whole
    drawing = next(part for part in whole.split("<figure>") if "Training loss by learning rate" in part)
    assert 'class="span"' in drawing and 'class="limit"' in drawing
    heights = [
        float(y) for points in re.findall(r'points="([^"]*)"', drawing) for y in re.findall(r",([\d.-]+)", points)
    ]
    assert min(heights) >= 12 and max(heights) <= 166
    powers = re.findall(r">10<tspan[^>]*>(.*?)</tspan>", drawing)
    assert [plain(power) for power in powers] == ["-8", "-6", "-4", "-2"]


def test_without_checks_nothing_is_said_of_them() -> None:
    whole = page()
    assert "Before the training" not in whole and 'href="#training">It' not in whole


def test_no_words_are_believed() -> None:
    for name in HOSTILE:
        inspect(page(remarks=(Remark(name, name, name),), checks=(name,), finder=FINDER))
