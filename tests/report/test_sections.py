"""The run's page in full: every figure it is given stands on it, every cell opens, no name is believed."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pages import inspect, names, picture, plain

from striate.report.run.content import (
    Atypical,
    Doubtful,
    Example,
    Finding,
    Fold,
    LabelCurve,
    LabelMistake,
    LabelScore,
    NumberMistake,
    Numbers,
    Pooled,
    RunReport,
    Seen,
    Strangers,
    Taken,
    Views,
)
from striate.report.run.numbers import mean_absolute_error_interval
from striate.report.run.page import render
from striate.tasks import metrics

SMALL = picture(12, 9)
BASE = {"data": "d", "net": "lite0", "strategy": "s", "why": "w", "images": {"train": 9}, "held_out": "val"}


def of_classes(matrix: np.ndarray, classes: tuple[str, ...] = ("ants", "bees"), **more) -> RunReport:
    correct, total = int(np.trace(matrix)), int(matrix.sum())
    fields = {**BASE, "title": "t", "interval": metrics.wilson(correct, total), "balanced_accuracy": 0.9, **more}
    return RunReport(
        classes=classes, confusion=matrix, correct=correct, total=total, accuracy=correct / total, **fields
    )


def full(name: str = "odd") -> RunReport:
    """Everything there is for a run of classes, with `name` wherever a name may stand."""
    confidence = np.repeat([0.55, 0.95], [20, 80])
    right = np.r_[np.ones(10), np.zeros(10), np.ones(72), np.zeros(8)]
    return of_classes(
        np.array([[40, 10], [8, 42]]),
        (name, "bees"),
        calibration=metrics.calibration(confidence, right),
        mistakes=(Example(name, SMALL, name, "bees", 0.97),),
        answers=tuple(Example(f"{name}{i}", SMALL, name, "bees", 0.6) for i in range(12)),
        doubtful=(Doubtful(name, SMALL, name, "bees", 0.031, 0.942), Doubtful(name, None, name, "bees", 0.4, 0.6)),
        atypical=(Atypical(name, SMALL, name, 3.26),),
        folds=tuple(Fold(i + 1, 20, score) for i, score in enumerate((0.8, 0.85, 0.7, 0.9, 0.85))),
        pooled=Pooled(0.82, (0.733, 0.883)),
        strangers=Strangers(
            folder=name,
            count=1000,
            auroc=0.973,
            threshold=1.62,
            known_accepted=0.951,
            strangers_refused=0.7,
            known=np.linspace(0.5, 1.8, 100),
            strangers=np.linspace(1.2, 4, 1000),
            taken=(Taken(name, SMALL, "bees"),),
        ),
        seen=(Seen(name, SMALL, name),),
        views=(Views(name, name, (SMALL, SMALL, SMALL)),),
        findings=(Finding("near-duplicate", 2, "kept", "why", (name, "b"), ((name, "b"),), {name: SMALL, "b": SMALL}),),
        curve=({"epoch": 1, "loss": 0.5, "held_out_loss": 0.7, "accuracy": 0.8},),
    )


def of_labels(name: str = "dog") -> RunReport:
    truth = np.array([1, 0, 1, 0, 0, 1, 0, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.6, 0.2, 0.1])
    precision, recall = metrics.precision_recall(scores, truth)
    average = metrics.average_precision(scores, truth)
    return RunReport(
        **BASE,
        title="t",
        classes=(name, "cat", "never"),
        task_kind="multilabel",
        correct=5,
        total=8,
        label_scores=(
            LabelScore("cat", 3, 0.9, 0.5, 0.75, 1.0, 0.857),
            LabelScore(name, 3, average, 0.55, 0.753, 0.667, 0.707),
            LabelScore("never", 0, math.nan, 0.5, math.nan, math.nan, math.nan),
        ),
        label_curves=(LabelCurve(name, precision, recall),),
        label_mistakes=(LabelMistake(name, SMALL, (name, "cat"), ("cat", "never")),),
    )


def of_numbers(name: str = "age in years", **more) -> RunReport:
    truth = np.array([20.0, 30.0, 40.0, 63.0])
    numbers = Numbers(
        name=name,
        truth=truth,
        predicted=truth + np.array([1, -3, 2, -22]),
        usual=25.0,
        mistakes=(NumberMistake(name, SMALL, 63, 41),),
    )
    fields = {
        **BASE,
        "title": "t",
        "classes": (name,),
        "task_kind": "regression",
        "total": 4,
        "numbers": numbers,
        **more,
    }
    return RunReport(**fields)


def test_figures_on_the_page_are_those_given() -> None:
    page = plain(render(full()))
    inspect(render(full()))
    low, high = metrics.wilson(40, 50)
    for said in (
        f"{100 * low:.1f} % to {100 * high:.1f} %",  # the recall of a class
        f"left:{100 * low:.1f}%;right:{100 - 100 * high:.1f}%",  # and its whisker
        "When it says about 95 %, as it did of 80 images, it is right in <b>90.0 %</b>",
        "Answers by confidence, at most 80 in a range",
        "<b>5.0 points</b> apart (expected calibration error)",
        "labelled <b>odd</b> (3.1 %), looks like <b>bees</b> (94.2 %)",
        "<summary>1 more label to check</summary><ul><li><code>odd</code>: odd, perhaps bees</li></ul>",
        "<b>odd</b>, 3.3 times",
        "<b>Nearly the same picture more than once</b>: 2",
        "The mean of 5 folds is <b>82.0 %</b>",
        "pooled: <b>82.0 %</b>, 73.3 % to 88.3 %",
        "Of 1,000 images in <b>odd</b>",
        "<b>70.0 %</b> are refused; of the held-out images 95.1 % are accepted",
        "in 97.3 % of all pairs (AUROC)",
        "taken for <b>bees</b>",
        "Loss on held-out images: <b>0.700</b>",
        "each by a network that had not seen it",
    ):
        assert said in page, said
    mean = metrics.mean_interval([0.8, 0.85, 0.7, 0.9, 0.85])
    assert f"plausibly {100 * mean[0]:.1f} % to {100 * mean[1]:.1f} %" in page


def test_cells_open_to_their_images_and_say_what_they_leave_out() -> None:
    page = render(full())
    assert '<a href="#pair-0-1">10</a>' in page
    assert '<td class="miss" style="--s:0.16">8</td>' in page  # no picture, no link
    panel = page[page.index('id="pair-0-1"') :]
    panel = panel[: panel.index('href="#confusion"') + 8000]
    assert "2 more images not shown." in panel
    assert 'taken for <b>bees</b><span>10 of 50, 20.0&nbsp;%<a href="#pair-0-1">images</a>' in page


def test_what_there_is_nothing_to_say_of_is_left_out() -> None:
    page = render(of_classes(np.array([[5, 1], [0, 6]])))
    for anchor in ("calibration", "folds", "doubtful", "atypical", "strangers", "ranking", "numbers"):
        assert f'id="{anchor}"' not in page
    inspect(page)


def test_a_thousand_classes_and_fifty_thousand_mistakes_stay_small() -> None:
    count, generator = 1000, np.random.default_rng(0)
    matrix = np.zeros((count, count), np.int64)
    for _ in range(5):
        np.add.at(matrix, (np.arange(count), generator.permutation(count)), 10)
    np.fill_diagonal(matrix, 40)
    classes = tuple(f"a class with a name as long as they come, number {place}" for place in range(count))
    noise = [picture(224, 224, seed) for seed in range(5)]
    rows, columns = np.nonzero(matrix - np.diag(np.diagonal(matrix)))
    answers = tuple(
        Example(f"val/{classes[row]}/{turn}.jpg", noise[turn % 5], classes[row], classes[column], 0.9)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        for turn in range(matrix[row, column])
    )
    assert len(answers) > 49_000
    page = render(of_classes(matrix, classes, mistakes=answers[:24], answers=answers))
    parsed = inspect(page)
    assert 100 < page.count("data:image") <= 250
    panels = [f"#{anchor}" for anchor in parsed.values("id") if anchor.startswith("pair-")]
    assert len(panels) > 50
    assert set(panels) <= set(parsed.values("href"))  # a panel that nothing leads to would only weigh
    assert "more images not shown" in page


def test_several_labels() -> None:
    content = of_labels()
    page = plain(render(content))
    inspect(render(content))
    average = content.label_scores[1].average_precision
    assert content.mean_average_precision == pytest.approx((0.9 + average) / 2)
    for said in (
        f'<div class="big">{50 * (0.9 + average):.1f} %</div>',
        "Of 8 images, <b>5</b> have every label right (62.5 %)",
        "ranking at random: 37.5 %",
        f"<b>dog</b> {100 * average:.1f} %",
        "missed <b>dog</b>; wrongly <b>never</b>; right: <b>cat</b>",
        '<td class="num">0.55</td><td class="num">75.3 %</td><td class="num">66.7 %</td><td class="num">70.7 %</td>',
        "3 of 8 held-out images have a label too few or too many",
    ):
        assert said in page, said
    assert page.index('<th scope="row">dog') < page.index('<th scope="row">cat') < page.index('<th scope="row">never')
    assert "Weakest label: dog" in page
    assert 'id="confusion"' not in page


def test_a_number() -> None:
    content = of_numbers()
    page = plain(render(content))
    inspect(render(content))
    low, high = mean_absolute_error_interval([20, 30, 40, 63], [21, 27, 42, 41])
    assert low == 0.0
    assert high == pytest.approx(7 + 3.182 * np.std([1, 3, 2, 22], ddof=1) / 2, rel=1e-3)  # Student's t of 3
    for said in (
        '<div class="big">7.00</div>',
        "Mean error: age in years",
        f"between 0 and {high:.1f} (95 % interval)",
        "would be off by 15.8; this is 55.6 % less",  # |20, 30, 40, 63 - 25| has mean 15.75
        "said <b>41.0</b>, is <b>63</b>",
        "<dt>Half of the answers are within</dt><dd>2.50</dd>",
        f"<dd>{math.sqrt((1 + 9 + 4 + 484) / 4):.1f}</dd>",
        "5.50 too low",
        "Not yet better than guessing",
    ):
        assert said in page, said
    assert content.numbers is not None
    assert content.numbers.r2 == pytest.approx(1 - 498 / np.square(np.array([20, 30, 40, 63]) - 38.25).sum())


def test_many_numbers_are_drawn_as_a_sample() -> None:
    truth = np.linspace(0, 1, 20_000)
    content = of_numbers(total=20_000, numbers=Numbers(name="share", truth=truth, predicted=truth**2))
    page = render(content)
    inspect(page)
    assert "a sample of 1&#8239;500" in page
    assert len(page) < 300_000


def test_figures_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="2 true numbers cannot be compared with 3 answers"):
        Numbers(name="age", truth=[1, 2], predicted=[1, 2, 3])
    with pytest.raises(ValueError, match="5 images needs as many numbers; 4 are given"):
        of_numbers(total=5)
    with pytest.raises(ValueError, match="none are given"):
        of_numbers(numbers=None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names)
def test_no_name_is_believed(name: str) -> None:
    for content in (full(name), of_labels(name), of_numbers(name)):
        page = render(dataclasses.replace(content, title=name, net=name, recipe=name, notes=(name,), engine=name))
        inspect(page)


def test_advice_follows_what_is_found() -> None:
    page = render(full())
    assert "Check 2 doubtful labels</a>" in page
    assert "Nearly the same picture more than once</a>" not in page  # worth a look, and not what spoils a measurement
    leak = Finding("leak", 4, "kept", "why")
    assert "Test images that were also practised on</a>4 files" in render(dataclasses.replace(full(), findings=(leak,)))
    settled = dataclasses.replace(full(), mistakes=(), answers=(), doubtful=(), interval=(0.79, 0.86))
    assert "Strangers get through" in render(settled)
    sure = metrics.calibration(np.full(100, 0.99), np.r_[np.ones(82), np.zeros(18)])
    assert "Surer than it should be</a>What it says and what happens are 17 points" in render(
        dataclasses.replace(settled, calibration=sure)
    )


def test_samples_that_are_empty_or_not_finite_are_borne() -> None:
    strangers = dataclasses.replace(full().strangers, known=[], strangers=[math.nan, math.inf], taken=())
    nothing = metrics.calibration([], [])
    content = dataclasses.replace(
        full(), strangers=strangers, calibration=nothing, folds=(Fold(1, 0, math.nan),), pooled=None
    )
    page = render(content)
    inspect(page)
    assert "nan" not in page.lower().replace("&nbsp;", "")
    inspect(render(of_numbers(total=0, numbers=Numbers(name="age", truth=[], predicted=[]))))
    inspect(render(of_numbers(total=2, numbers=Numbers(name="age", truth=[5, 5], predicted=[5, 5]))))


def test_folds_of_numbers_are_in_their_own_unit() -> None:
    content = of_numbers(folds=(Fold(1, 2, 6.5), Fold(2, 2, 7.5)), pooled=Pooled(7.0, (5.5, 8.5)))
    page = plain(render(content))
    assert "The mean of 2 folds is <b>7.00</b>, plausibly 0.647 to 13.4 (95 %)" in page  # 7 - 12.706 x 0.5
    assert "All answers pooled: <b>7.00</b>, 5.50 to 8.50" in page
    whole = dataclasses.replace(full(), folds=(Fold(1, 5, 1.0), Fold(2, 5, 0.9)))
    assert whole.fold_spread == (0.95, pytest.approx(0.95 - 12.706 * 0.05, abs=1e-3), 1.0)


def test_names_as_long_as_a_file_system_has_stay_small() -> None:
    long = "é\u202e" * 2000
    paths = tuple(f"{place}{long}" for place in range(2000))
    kinds = ("leak", "duplicate", "near-duplicate", "blank", "tiny", "huge", "mistyped", "odd-format")
    findings = tuple(Finding(kind, 2000, "kept", paths[0], paths) for kind in kinds)
    content = dataclasses.replace(
        full(paths[0]), findings=findings, set_aside=tuple((path, path) for path in paths), notes=paths
    )
    page = render(content)
    inspect(page)
    assert len(page) < 1_200_000
