"""The learning curve over the number of training images: the law, the parts, the extrapolation, and its limits."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import striate
from striate.data.audit.audit import Audit, Usable
from striate.data.audit.looking import Record
from striate.data.sources.base import Item
from striate.jobs.reporting.learning_curve import learning_curve_section, learning_curve_step
from striate.learning.learning_curve import SHARES, LearningCurve, learning_curve
from striate.learning.power_law import fit_power_law
from striate.learning.split import Split
from striate.report.page import render
from striate.sections import Headline, Report
from striate.sections.wording import number
from striate.tasks import Classification, Task
from striate.tasks.multilabel import Multilabel
from striate.tasks.regression import Regression

SIZES = np.array([10.0, 20, 40, 70, 100])


@pytest.mark.parametrize("law", [(0.05, 0.2, 0.5), (0.0, 0.1, 0.25), (0.3, 0.05, 1.5), (0.1, 0.0, 1.0)])
def test_the_fit_finds_the_law_that_made_the_errors(law: tuple[float, float, float]) -> None:
    offset, factor, exponent = law
    errors = offset + factor * (SIZES / 100) ** -exponent
    found = fit_power_law(SIZES, errors[None], np.ones(5))
    ahead = np.array([200.0, 400])
    assert np.allclose(found(ahead)[0], offset + factor * (ahead / 100) ** -exponent, atol=1e-9)


def test_a_prior_draws_the_exponent_to_the_usual_one() -> None:
    errors = (0.05 + 0.2 * (SIZES / 100) ** -1.5)[None]
    free, drawn, strict = (fit_power_law(SIZES, errors, np.ones(5), prior).exponent[0] for prior in (0, 0.1, 1e6))
    assert free == 1.5 and 0.5 < drawn < 1.5 and strict == pytest.approx(0.5)


def test_the_fit_is_the_best_of_laws_that_fall_towards_an_offset_not_below_zero() -> None:
    generator = np.random.default_rng(0)
    errors = np.clip(0.2 * (SIZES / 100) ** -0.4 + 0.05 * generator.standard_normal((40, 5)), 0, 1)
    weights = np.array([1.0, 2, 3, 2, 1])
    found = fit_power_law(SIZES, errors, weights)
    assert (found.offset >= 0).all() and (found.factor >= 0).all()

    def loss(values: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(((rows - values) ** 2) @ weights)

    least = loss(found(SIZES), errors)
    for offset in np.linspace(0, 0.4, 21):
        for factor in np.linspace(0, 0.4, 21):
            for exponent in (0.1, 0.5, 1.0, 2.0):
                other = offset + factor * (SIZES / 100) ** -exponent
                assert (loss(other[None], errors) >= least - 1e-12).all()


def split_of(task: Task, targets: list[object], held_out: int, groups: list[str] | None = None) -> Split:
    """Usable images with these targets; the last `held_out` ones are the part "val"."""
    usable = [
        Usable(Item(f"{place}.png", target, group=groups[place] if groups else ""), Record(f"{place:064x}", 8, 8))
        for place, target in enumerate(targets)
    ]
    parts = ["train"] * (len(targets) - held_out) + ["val"] * held_out
    return Split(Audit(task, usable, [], [], []), parts)


def classes(trained: int, held_out: int, groups: list[str] | None = None) -> Split:
    return split_of(Classification(("a", "b")), [place % 2 for place in range(trained + held_out)], held_out, groups)


class Heads:
    """Predictions whose accuracy is a law of the number of training images; what they were fitted to is kept."""

    def __init__(self, split: Split, offset: float, factor: float, exponent: float, seed: int = 0) -> None:
        self.split, self.law, self.parts = split, (offset, factor, exponent), list[list[int]]()
        self.order = np.random.default_rng(seed).permutation(len(split.held_out_rows))

    def __call__(self, rows: list[int]) -> NDArray[np.float32]:
        self.parts.append(rows)
        offset, factor, exponent = self.law
        targets = np.asarray(self.split.targets(self.split.held_out_rows))
        wrong = round((offset + factor * len(rows) ** -exponent) * len(targets))
        predicted = targets.copy()
        predicted[self.order[:wrong]] = 1 - predicted[self.order[:wrong]]
        return np.eye(2, dtype=np.float32)[predicted]

    def curve(self, seed: int = 0) -> LearningCurve:
        return learning_curve(self.split, self(self.split.rows("train")), self, seed)


def test_parts_are_nested_of_every_class_and_of_the_shares() -> None:
    heads = Heads(classes(200, 100), 0.0, 1.0, 0.5)
    found = heads.curve()
    assert [(point.images, point.draws) for point in found.points] == [(20, 5), (40, 4), (80, 3), (140, 2), (200, 1)]
    sizes: dict[int, list[set[int]]] = {}
    for rows in heads.parts[1:]:
        sizes.setdefault(len(rows), []).append(set(rows))
        assert sum(row % 2 for row in rows) == len(rows) / 2 and max(rows) < 200
    for smaller, larger in ((20, 40), (40, 80), (80, 140)):
        assert all(inner < outer for inner, outer in zip(sizes[smaller], sizes[larger], strict=False))
    assert sizes[20][0] != sizes[20][1]


def test_images_of_one_group_are_drawn_together() -> None:
    groups = [f"group {place // 4}" if place < 200 else "" for place in range(300)]
    heads = Heads(classes(200, 100, groups), 0.0, 1.0, 0.5)
    heads.curve()
    for rows in heads.parts[1:]:
        drawn = {groups[row] for row in rows}
        assert len(rows) == 4 * len(drawn)


def test_the_extrapolation_finds_what_more_images_give_and_its_interval_holds_it() -> None:
    heads = Heads(classes(400, 2000), 0.02, 1.0, 0.5)
    found = heads.curve()
    for one, times in zip(found.forecasts, (2, 4), strict=True):
        true = 1 - 0.02 - (400 * times) ** -0.5
        assert one.images == 400 * times and one.score == pytest.approx(true, abs=0.005)
        assert one.interval[0] < true < one.interval[1] and one.difference[0] > 0
    twice = found.forecasts[0]
    low, high = (f"{100 * end:.1f} %" for end in twice.interval)
    assert f"twice as many images: about {100 * twice.score:.1f} %, {low} to {high}" in found.line()
    assert "no difference" not in found.line() and learning_curve_step(found)
    assert heads.curve() == found  # the same images give the same figures


def test_a_flat_curve_promises_nothing() -> None:
    found = Heads(classes(400, 200), 0.1, 0.0, 0.5).curve()
    assert found.forecasts[0].score == pytest.approx(0.9, abs=0.001)
    assert "twice as many may make no difference" in found.line() and learning_curve_step(found) == []


@pytest.mark.parametrize(
    ("trained", "held_out", "why"),
    [
        (10, 100, "10 training images are too few"),
        (200, 10, "10 held-out images are too few"),
        (200, 0, "no images are held out"),
        (100, 24, "twice as many could mean anything"),
    ],
)
def test_where_the_data_are_too_few_it_says_so(trained: int, held_out: int, why: str) -> None:
    found = Heads(classes(trained, held_out), 0.1, 2.5, 0.5).curve()
    assert (
        not found.forecasts and why in found.line() and found.line().startswith("Learning curve: nothing can be said")
    )
    assert why in str(learning_curve_section(found)) and found.as_dict()["why_not"]


def test_classes_of_one_image_leave_no_parts_of_different_sizes() -> None:
    task = Classification(tuple(map(str, range(30))))
    found = learning_curve(
        split_of(task, [*range(30), *range(30)], 30), np.eye(30, dtype=np.float32), lambda rows: np.eye(30), 0
    )
    assert "too few images to be divided" in found.line()


def test_other_tasks_have_a_curve_of_their_metric() -> None:
    generator = np.random.default_rng(0)
    values = [float(place) for place in range(300)]
    split = split_of(Regression(("metres",)), values, 100)
    truth = np.asarray(split.targets(split.held_out_rows), np.float32).reshape(-1, 1)
    noise = generator.standard_normal(truth.shape).astype(np.float32)

    def guess(rows: list[int]) -> NDArray[np.float32]:
        return np.asarray(truth + 40 * noise * len(rows) ** -0.5, np.float32)

    found = learning_curve(split, guess(split.rows("train")), guess, 0)
    now, twice = found.points[-1].score, found.forecasts[0]
    assert twice.score == pytest.approx(now / math.sqrt(2), rel=0.05) and twice.difference[1] < 0
    assert learning_curve_step(found)  # a smaller error is better

    labels = [tuple(np.flatnonzero(row).tolist()) for row in generator.integers(0, 2, (260, 3))]
    split = split_of(Multilabel(("x", "y", "z")), labels, 60)
    marked = np.asarray(split.targets(split.held_out_rows), np.float32)
    noise = generator.random(marked.shape).astype(np.float32)
    found = learning_curve(split, marked, lambda rows: marked + noise * 30 / len(rows), 0)
    assert [point.draws for point in found.points] == [*(draws for _, draws in SHARES), 1]
    assert found.points[0].score < found.points[-1].score == 1


def test_the_section_draws_the_curve_and_says_what_more_images_give() -> None:
    found = Heads(classes(400, 2000), 0.02, 1.0, 0.5).curve()
    page = render(
        Report("photos", "400 images", Headline("Accuracy", "93 %", ()), (), (), (learning_curve_section(found),))
    )
    assert 'id="more-data"' in page and "Would more data help?" in page and "With 800 images: about" in page
    assert f"{number(1600)} (extrapolated)" in page and "<svg" in page and "extrapolated" in page


def test_train_says_logs_and_draws_it(trained: object, photos: Path, tmp_path: Path, cli) -> None:
    pieces = ("train", photos, "--quick", "--learning-curve", "--out", tmp_path / "run")
    code, out, _ = cli(*pieces)
    assert code == 0 and "Learning curve: nothing can be said of more images: 16 held-out images are too few" in out
    arrays = np.random.default_rng(0).integers(0, 120, (120, 16, 16), dtype=np.uint8)
    targets = np.arange(120) % 2
    arrays[targets == 1, :4] += 60
    run = striate.train(
        {"train": (arrays[:60], targets[:60]), "val": (arrays[60:], targets[60:])},
        out=tmp_path / "arrays",
        strategy="features",
        recipe={"head": {"learning_curve": True}},
    )
    found = run.result.evidence.learning_curve
    assert found is not None and found.points[-1].score == run.evaluation.score and found.points[-1].images == 60
    (done,) = [
        facts
        for line in (tmp_path / "arrays" / "log.jsonl").read_text().splitlines()
        if (facts := json.loads(line))["event"] == "done"
    ]
    assert done["learning_curve"] == run.metrics["learning_curve"] == found.as_dict()
    assert "Would more data help?" in (tmp_path / "arrays" / "report.html").read_text()
    assert "learning_curve = true" in (tmp_path / "arrays" / "recipe.toml").read_text()
