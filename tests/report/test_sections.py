"""What a run's report says, section by section: every figure stands on the page, and the advice follows from them."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from pages import Album, classified, inspect, labelled, names, picture, plain, regressed, report_of

from striate.data.audit.findings import Finding
from striate.jobs.reporting.atypical import atypical_section, atypical_step
from striate.jobs.reporting.cross_validation import FoldScores, fold_section, fold_step
from striate.jobs.reporting.data import data_section, leak_step, set_aside_step
from striate.jobs.reporting.details import details_section
from striate.jobs.reporting.inputs import input_section
from striate.jobs.reporting.label_errors import label_error_section, label_error_step
from striate.jobs.reporting.ood import ood_section, ood_step
from striate.jobs.reporting.run_report import most_useful
from striate.learning.label_errors import Suspects
from striate.learning.ood import OODEvaluation
from striate.report.page import render
from striate.sections import ConfusionMatrix, Section, Step
from striate.tasks import LabelError, Regression, Task, metrics
from striate.tasks import classification_evaluation as classification
from striate.tasks import multilabel_evaluation as multilabel
from striate.tasks import regression_evaluation as regression
from striate.tasks.report_common import Example, ReportContext

SMALL = picture(12, 9)
MATRIX = [[40, 10], [8, 42]]
FOLDS = FoldScores((20,) * 5, (0.8, 0.85, 0.7, 0.9, 0.85), 0.82, (0.733, 0.883), "percent")


def examples(evaluation, name: str = "odd", limit: int = 24) -> tuple[Example, ...]:
    return tuple(Example(row, f"{name}{row}", SMALL) for row in evaluation.worst(limit))


def page_of(task, evaluation, context: ReportContext) -> str:
    sections = task.report_sections(evaluation, context)
    steps = tuple(step for step in task.next_steps(evaluation, context) if step.anchor != "input")
    return render(report_of(*sections, steps=steps, headline=task.headline(evaluation, context)))


def classes(evaluation, **more) -> str:
    return page_of(classification, evaluation, ReportContext(examples(evaluation), **more))


def findings(*found: Finding, aside: tuple = ()) -> SimpleNamespace:
    return SimpleNamespace(findings=list(found), set_aside=list(aside))


def ood(inside, outside, paths=(), name: str = "odd") -> OODEvaluation:
    """An evaluation of OOD detection with the threshold 1.62."""
    known, unknown = np.asarray(inside, np.float32), np.asarray(outside, np.float32)
    source = SimpleNamespace(name=name)
    return OODEvaluation(source, tuple(paths), 1.62, known, unknown, 0.973, ("bees",) * len(paths))


def errors_of(*probabilities: tuple[float, float], label: str = "odd") -> list[LabelError]:
    return [LabelError(place, label, "bees", own, other, 1) for place, (own, other) in enumerate(probabilities)]


def of_labels(name: str = "dog"):
    truth = np.zeros((8, 3))
    truth[[0, 2, 5], 0] = truth[[0, 1, 2], 1] = 1
    predictions = np.full((8, 3), 0.1)
    predictions[:, 0] = [0.9, 0.8, 0.7, 0.4, 0.3, 0.6, 0.2, 0.1]
    predictions[:3, 1] = 0.9
    return labelled((name, "cat", "never"), predictions, truth, (0.65, 0.5, 0.5))


# Classification


def test_figures_of_a_classifier_are_those_given() -> None:
    evaluation = classified(MATRIX, confidence=0.95)
    page = plain(classes(evaluation))
    inspect(classes(evaluation))
    low, high = metrics.wilson(40, 50)
    for said in (
        '<div class="big">82.0 %</div>',
        "<b>82 of 100 images</b> correct on the held-out part <b>val</b>.",
        "Balanced accuracy: 82.0 %",
        "majority-class baseline (ants): 50.0 %",
        f"{100 * low:.1f} % to {100 * high:.1f} %",  # the interval of a recall
        f"left:{100 * low:.1f}%;right:{100 - 100 * high:.1f}%",  # and its whisker
        "At a confidence of about 95 % (100 images) the accuracy is <b>82.0 %</b>",
        "Predictions by confidence, at most 100 in a range",
        "Expected calibration error: <b>13.0 %</b>",
        "<b>ants</b> predicted as <b>bees</b>, confidence 95.0 %",
        "12 of 18 misclassified held-out images",
        "10 of 50, 20.0 %",
    ):
        assert said in page, said
    assert page.index('id="mistakes"') < page.index('id="confusion"') < page.index('id="classes"')
    # Errors stand in their section and behind the matrix.
    assert page.count("data:image/jpeg;base64,") == 12 + 8 + 8


def test_a_held_out_part_and_folds_are_told_apart() -> None:
    pooled = classified(MATRIX)
    object.__setattr__(pooled, "part", "cross-validated")
    assert "each predicted by a model that was not trained on it (all folds pooled)" in classes(pooled)


def test_empty_states_are_written_in_words() -> None:
    perfect = classes(classified([[5, 0], [0, 5]]))
    assert "No errors on the held-out images." in perfect
    assert "No two classes are confused." in perfect
    unmeasured = classes(classified([[0, 0], [0, 0]]))
    assert "Not evaluated" in unmeasured
    assert "nan" not in unmeasured.lower()
    for page in (perfect, unmeasured):
        inspect(page)
    inspect(page_of(regression, regressed("age", [], []), ReportContext()))
    inspect(page_of(regression, regressed("age", [5, 5], [5, 5]), ReportContext()))
    inspect(page_of(multilabel, labelled(("a",), np.zeros((0, 1)), np.zeros((0, 1)), (0.5,)), ReportContext()))
    data = render(report_of(data_section(findings(), Album((), SMALL)), details_section("", {}, ())))
    assert "found nothing unusual" in data and "No files were set aside." in data


@pytest.mark.parametrize("count", [100, 1000])
def test_a_report_of_many_classes_stays_small(count: int) -> None:
    generator = np.random.default_rng(0)
    matrix = np.diag(np.full(count, 10))
    np.add.at(matrix, (generator.integers(0, count, 4 * count), generator.integers(0, count, 4 * count)), 1)
    large = np.random.default_rng(1).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    evaluation = classified(matrix, tuple(f"a class of many, number {place}" for place in range(count)))
    shown = tuple(Example(row, f"val/{row}.jpg", large) for row in evaluation.worst(400))
    page = page_of(evaluation.task, evaluation, ReportContext(shown))
    assert len(page) < 3_000_000
    assert "The 20 most confused of" in plain(page) and "<summary>" in page
    assert page.count("<td") < 20_000


def test_class_metrics_come_from_the_matrix() -> None:
    matrix = ConfusionMatrix(("ants", "bees", "wasps"), np.array([[6, 4, 0], [1, 9, 0], [0, 0, 0]]))
    ants, bees, wasps = classification.class_metrics(matrix)
    assert (ants.count, ants.recall, ants.precision) == (10, 0.6, 6 / 7)
    assert (bees.recall, bees.precision) == (0.9, 9 / 13)
    assert (wasps.count, wasps.recall, wasps.precision) == (0, None, None)
    assert [one.name for one in classification.weakest_first(matrix)] == ["ants", "bees", "wasps"]


def test_advice_on_a_classifier_follows_the_figures() -> None:
    assert "Not better than the baseline" in classes(classified([[50, 0], [45, 5]]))
    assert "Not better than the baseline" not in classes(classified(MATRIX))
    assert "Check the labels of 12 confident errors" in classes(classified(MATRIX, confidence=0.95))
    assert "Check the labels" not in classes(classified(MATRIX, confidence=0.95), label_errors=2)
    assert "Check the labels" not in classes(classified(MATRIX, confidence=0.8))
    assert "ants predicted as bees</a>The most frequent confusion" in classes(classified(MATRIX))
    assert "Hold out more images" in classes(classified([[5, 1], [1, 5]]))
    assert "Weakest class: ants" in classes(classified([[30, 20], [1, 99]]))
    assert "Overconfident</a>Confidence and accuracy differ by 13 points" in classes(
        classified(MATRIX, confidence=0.95)
    )
    assert "Underconfident</a>" in classes(classified([[95, 5], [0, 100]], confidence=0.6))


# Several labels, and a number


def test_several_labels() -> None:
    evaluation = of_labels()
    context = ReportContext(examples(evaluation))
    page = plain(page_of(multilabel, evaluation, context))
    inspect(page_of(multilabel, evaluation, context))
    average = metrics.average_precision(evaluation.predictions[:, 0], evaluation.targets[:, 0])
    for said in (
        f'<div class="big">{50 * (1 + average):.1f} %</div>',
        "Of 8 images, <b>6</b> have every label right (75.0 %)",
        "random ranking: 37.5 %",
        f"<b>dog</b> {100 * average:.1f} %",
        "missing <b>dog</b>",
        "wrong <b>dog</b>; right <b>cat</b>",
        '<td class="num">0.65</td><td class="num">66.7 %</td><td class="num">66.7 %</td><td class="num">66.7 %</td>',
        "2 of 8 held-out images have a missing or a wrong label",
        "Weakest label: dog",
        "3 labels with uncertain metrics",
        "Are the given labels complete?",
    ):
        assert said in page, said
    assert page.index('<th scope="row">dog') < page.index('<th scope="row">cat') < page.index('<th scope="row">never')
    assert 'id="confusion"' not in page


def test_a_number() -> None:
    truth = np.array([20.0, 30.0, 40.0, 63.0])
    evaluation = regressed("age in years", truth, truth + np.array([1, -3, 2, -22]))
    context = ReportContext(examples(evaluation), np.array([20.0, 30.0]))
    page = plain(page_of(regression, evaluation, context))
    inspect(page_of(regression, evaluation, context))
    low, high = evaluation.interval
    assert low == 0.0
    assert high == pytest.approx(7 + 3.182 * np.std([1, 3, 2, 22], ddof=1) / 2, rel=1e-3)  # Student's t of 3
    for said in (
        '<div class="big">7.00</div>',
        "Mean absolute error: age in years",
        f"0 to {high:.1f}",
        "has an error of 15.8; this run's is 55.6 % lower".replace(
            "'", "&#x27;"
        ),  # |20, 30, 40, 63 - 25| has mean 15.75
        "predicted <b>41.0</b>, true <b>63</b>",
        "<dt>Median absolute error</dt><dd>2.50</dd>",
        f"<dd>{math.sqrt((1 + 9 + 4 + 484) / 4):.1f}</dd>",
        "5.50 too low",
        "Not better than the baseline",
        "Check the 4 largest errors",
        "Biased: predictions too low",
        "Predictions shrink towards the mean",
    ):
        assert said in page, said
    assert evaluation.r2 == pytest.approx(1 - 498 / np.square(truth - 38.25).sum())


def test_many_numbers_are_drawn_as_a_sample() -> None:
    truth = np.linspace(0, 1, 20_000)
    page = page_of(regression, regressed("share", truth, truth**2), ReportContext())
    inspect(page)
    assert "a sample of 1,500" in plain(page)
    assert len(page) < 300_000


def test_a_task_without_a_report_of_its_own_has_a_plain_one() -> None:
    evaluation = regressed("age", [20, 30, 40], [21, 27, 42])
    context = ReportContext(examples(evaluation))
    page = plain(page_of(report_default_of(Regression), evaluation, context))
    assert '<h2>Mean absolute error</h2><div class="big">2.00</div>' in page
    assert "Over <b>3 images</b> on the held-out part <b>val</b>" in page
    assert "Worst errors" in page and "predicted <b>27</b>" in page
    assert "Not evaluated" in page_of(report_default_of(Regression), regressed("age", [], []), ReportContext())


def report_default_of(task: type[Task]) -> SimpleNamespace:
    """What a task inherits that overrides nothing of its report."""
    names = ("headline", "report_sections", "next_steps")
    return SimpleNamespace(**{name: partial(getattr(Task, name), task(("age",))) for name in names})


# What every task has


def test_likely_label_errors_are_shown_and_the_rest_listed() -> None:
    found = errors_of((0.031, 0.942), *[(0.4, 0.6)] * 24)
    section = label_error_section(Suspects(tuple(found)), Album([f"{place}.jpg" for place in range(25)], SMALL))
    assert section is not None
    page = plain(render(report_of(section, steps=tuple(label_error_step(found)))))
    assert "given <b>odd</b> (3.1 %), predicted <b>bees</b> (94.2 %)" in page
    assert "<summary>1 more likely label error</summary><ul><li><code>24.jpg</code>: given <b>odd</b> (40.0 %)" in page
    assert page.count("data:image") == 24
    assert "Check 25 likely label errors</a>" in page
    assert label_error_section(Suspects(), Album((), SMALL)) is None and label_error_step([]) == []
    number = errors_of((math.nan, math.nan), label="100")
    section = label_error_section(Suspects(tuple(number)), Album(["a.jpg"], SMALL))
    assert section is not None and "given <b>100</b>, predicted <b>bees</b>" in render(report_of(section))


def test_hard_images_stand_apart_from_likely_label_errors() -> None:
    found = tuple(errors_of((0.03, 0.9), *[(0.4, 0.6)] * 14))
    album = Album([f"{place}.jpg" for place in range(15)], SMALL)
    section = label_error_section(Suspects(found[:1], found[1:]), album)
    assert section is not None
    page = plain(render(report_of(section, steps=tuple(label_error_step(found[:1])))))
    assert "Of 15 labels that models doubt, about 1 are estimated to be wrong." in page
    assert page.index("0.jpg") < page.index("Hard images</h3>") < page.index("<small>1.jpg")
    assert "2 more hard images</summary>" in page
    assert "Check 1 likely label error</a>" in page and page.count("data:image") == 13
    none = label_error_section(Suspects((), found), album)
    assert none is not None and none.title == "Hard images"
    assert "No label is estimated to be wrong." in plain(render(report_of(none)))


def test_atypical_images_are_the_farthest_ones() -> None:
    distances = np.array([1.0, 3.26, 0.4, 1.7], np.float32)
    section = atypical_section(distances, Album("abcd", SMALL, "odd"))
    assert section is not None
    page = render(report_of(section, steps=tuple(atypical_step(section))))
    assert "<b>odd</b>, 3.3 ×" in page and page.index("<small>b</small>") < page.index("<small>d</small>")
    assert page.count("data:image") == 2 and "2 images far from the rest" in page
    assert atypical_section(None, Album("", SMALL)) is atypical_section(distances[:1], Album("a", SMALL)) is None
    assert atypical_step(None) == []


def test_folds_their_mean_and_the_pooled_score() -> None:
    page = plain(render(report_of(fold_section(FOLDS), steps=tuple(fold_step(FOLDS)))))
    inspect(render(report_of(fold_section(FOLDS))))
    low, high = metrics.mean_interval(FOLDS.scores)
    assert f"Mean of 5 folds: <b>82.0 %</b> (95 % interval {100 * low:.1f} % to {100 * high:.1f} %)" in page
    assert "All predictions pooled: <b>82.0 %</b> (73.3 % to 88.3 %)" in page
    assert "The folds differ</a>From 70.0 % to 90.0 %" in page
    assert page.count("<circle") == 6
    numbers = FoldScores((2, 2), (6.5, 7.5), 7.0, (5.5, 8.5), "digits")
    page = plain(render(report_of(fold_section(numbers))))
    assert "Mean of 2 folds: <b>7.00</b> (95 % interval 0.647 to 13.4)" in page  # 7 - 12.706 x 0.5
    assert "All predictions pooled: <b>7.00</b> (5.50 to 8.50)" in page
    whole = FoldScores((5, 5), (1.0, 0.9), 0.95, (0.9, 1.0), "percent")
    assert whole.spread == (0.95, pytest.approx(0.95 - 12.706 * 0.05, abs=1e-3), 1.0)
    unknown = FoldScores((0,), (math.nan,), math.nan, (math.nan, math.nan), "percent")
    assert "nan" not in render(report_of(fold_section(unknown))).lower() and fold_step(unknown) == []


def test_ood_detection_shows_the_images_that_are_missed() -> None:
    found = ood(np.linspace(0.5, 1.8, 100), np.linspace(1.2, 2.6, 1000), [f"{place}.jpg" for place in range(1000)])
    section = ood_section(found, {f"{place}.jpg": SMALL for place in range(12)})
    page = plain(render(report_of(section, steps=tuple(ood_step(found)))))
    inspect(render(report_of(section)))
    for said in (
        "Of 1,000 images in <b>odd</b>, which show none of the classes, <b>70.0 %</b> are detected",
        "86.0 % of the held-out images are accepted",
        "AUROC: 97.3 %",
        "above 1.62 is predicted as OOD",
        "predicted as <b>bees</b>",
        "OOD images are accepted</a>Only 70.0 %",
    ):
        assert said in page, said
    assert page.count("data:image") == 12
    odd = ood([1.0], [math.nan, math.inf])
    inspect(render(report_of(ood_section(odd, {}))))


def test_the_network_input_is_shown_plain_and_augmented() -> None:
    paths = [f"train/{place}.jpg" for place in range(9)]
    views = np.stack([SMALL] * 4)
    page = render(report_of(input_section(list(range(9)), lambda place: views, Album(paths, SMALL, "ants"))))
    assert page.count("data:image") == 8 + 3 * 4
    assert page.count('class="frame first"') == 3 and "<b>ants</b><small>train/0.jpg</small>" in page
    assert "No pictures are available." in render(report_of(input_section([], None, Album((), SMALL))))


def test_findings_stand_with_their_pictures_and_files() -> None:
    near = Finding("near-duplicate", "kept", "why", ("odd", "b"), groups=(("odd", "b"),))
    rotated = Finding("exif-rotated", "converted", "turned", ("c",))
    aside = SimpleNamespace(path="train/broken.jpg", kind="truncated", why="the file is incomplete")
    audit = findings(near, rotated, aside=(aside,))
    page = plain(render(report_of(data_section(audit, Album(["odd", "b", "c"], SMALL)))))
    inspect(render(report_of(data_section(audit, Album(["odd", "b", "c"], SMALL)))))
    assert "<b>Near-duplicates</b>: 2" in page and "near-duplicate: why" in page
    assert "<summary>1 group</summary><ul><li><code>odd</code> = <code>b</code></li></ul>" in page
    assert page.count("data:image") == 2
    rare = Finding("odd-format", "kept", "why", ("c",), remarks=("GIF",))
    page = render(report_of(data_section(findings(rare), Album(["c"], SMALL))))
    assert page.count("data:image") == 1 and "<code>c (GIF)</code>" in page
    page = plain(render(report_of(data_section(audit, Album(["odd", "b", "c"], SMALL)))))
    assert "<summary>File</summary><ul><li><code>c</code></li></ul>" in page
    assert "<li><code>train/broken.jpg</code>: truncated: the file is incomplete</li>" in page
    assert leak_step(audit.findings) == []  # worth a look, and not what spoils an evaluation
    leak = leak_step([Finding("leak", "kept", "why", ("a", "b", "c", "d"))])
    assert [(step.anchor, step.title) for step in leak] == [("data", "Train/test leakage: exact duplicates")]
    assert [step.title for step in set_aside_step(audit)] == ["1 file was set aside"]


def test_recipe_versions_and_notes() -> None:
    section = details_section('[training]\nnote = "<b>"\n', {"numpy": "2.4.0"}, ("bfloat16 was not used.",))
    page = render(report_of(section))
    for said in ("note = &quot;&lt;b&gt;&quot;", "[training]\nnote", "numpy 2.4.0", "bfloat16 was not used."):
        assert said in page, said


def test_the_most_useful_steps_come_first_and_there_is_always_one() -> None:
    steps = [Step("a", str(place), "why", urgent=place == 5) for place in range(6)]
    assert [step.title for step in most_useful(steps)] == ["5", "0", "1", "2"]
    assert [step.title for step in most_useful([])] == ["Look at the network input"]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names)
def test_no_name_is_trusted(name: str) -> None:
    album = Album([name], SMALL, name)
    evaluation = classified(MATRIX, (name, "bees"))
    inspect(page_of(classification, evaluation, ReportContext(examples(evaluation, name))))
    for task, other in ((multilabel, of_labels(name)), (regression, regressed(name, [1, 2, 3], [3, 2, 1]))):
        inspect(page_of(task, other, ReportContext(examples(other, name))))
    aside = SimpleNamespace(path=name, kind=name, why=name)
    audit = findings(Finding(name, name, name, (name,), groups=((name, name),)), aside=(aside,))
    sections = (
        label_error_section(Suspects(tuple(errors_of((0.1, 0.9), label=name))), album),
        atypical_section(np.array([3.0]), album),
        ood_section(ood([1.0], [1.0], [name], name), {name: SMALL}),
        input_section([0], lambda place: np.stack([SMALL] * 2), album),
        data_section(audit, album),
        details_section(name, {name: name}, (name,)),
    )
    inspect(render(report_of(*[section for section in sections if isinstance(section, Section)])))


def test_names_as_long_as_a_file_system_has_stay_small() -> None:
    long = "é\u202e" * 2000
    paths = tuple(f"{place}{long}" for place in range(2000))
    kinds = ("leak", "duplicate", "near-duplicate", "blank", "tiny", "huge", "mistyped", "odd-format")
    found = [Finding(kind, "kept", paths[0], paths, groups=(paths,) * 30) for kind in kinds]
    aside = tuple(SimpleNamespace(path=path, kind=path, why=path) for path in paths)
    errors = [LabelError(place, path, path, 0.1, 0.9, 1) for place, path in enumerate(paths)]
    sections = (
        data_section(findings(*found, aside=aside), Album(paths, SMALL)),
        label_error_section(Suspects(tuple(errors)), Album(paths, SMALL)),
        details_section(long, {path: path for path in paths}, paths),
    )
    page = render(report_of(*[section for section in sections if section is not None]))
    inspect(page)
    assert len(page) < 1_500_000
