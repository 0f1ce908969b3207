"""Runs side by side: a winner only where there is one, a warning where nothing compares, only what differs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from pages import inspect, names, plain

from striate.errors import RequestError
from striate.report.compare.comparing import Comparison
from striate.report.compare.page import render_comparison
from striate.report.compare.summary import RunSummary
from striate.report.compare.text import comparison_text
from striate.tasks.metrics import wilson


def run(name: str, correct: int, **more) -> RunSummary:
    fields = {
        "data": "insects",
        "net": "lite0",
        "strategy": "a linear head",
        "score_name": "accuracy",
        "score": correct / 200,
        "interval": wilson(correct, 200),
        "images": 200,
        "seconds": 12.0,
        "megabytes": 18.7,
        "parameters": 4_651_012,
        "metrics": {"balanced accuracy": 0.913},
        "curve": ({"epoch": 1, "loss": 0.5, "accuracy": 0.8}, {"epoch": 2, "loss": 0.4, "accuracy": 0.9}),
        "recipe": '[training]\nseed = 7\nrate = 0.1\n[data]\nsplit = "given"\n',
        "recalls": {"ants": 0.9, "bees": 0.95},
        "held_out": "a1b2",
    }
    return RunSummary(name=name, **{**fields, **more})


def test_the_best_is_marked_where_it_can_be_said() -> None:
    page = render_comparison([run("small", 120), run("large", 190)])
    inspect(page)
    assert "large is best" in page
    assert page.count('<span class="tag good">best</span>') == 1
    assert "large is best." in comparison_text([run("small", 120), run("large", 190)])


def test_overlapping_intervals_are_too_close_to_call() -> None:
    runs = [run("a", 188), run("b", 190), run("c", 100)]
    page = render_comparison(runs)
    inspect(page)
    assert '<div class="big words">Too close to call</div>' in page
    assert "tag good" not in page
    assert Comparison(tuple(runs)).best == 1
    assert Comparison(tuple(runs)).close == (0,)
    assert "Too close to call. The 95 % intervals overlap: b, a." in comparison_text(runs)
    assert Comparison((run("a", 100, interval=None), run("b", 190))).close == (0,)


def test_other_images_are_warned_of_loudly_and_nothing_is_best() -> None:
    runs = [run("a", 100), run("b", 190, held_out="ffff")]
    page = render_comparison(runs)
    inspect(page)
    assert '<p class="warning" role="alert">These runs were not evaluated on the same images' in page
    assert "No comparison" in page
    assert "best</span>" not in page
    assert "Warning: These runs were not evaluated on the same images" in comparison_text(runs)
    assert "Not known to be evaluated on the same images: the images of b are not recorded" in comparison_text(
        [run("a", 100), run("b", 190, held_out="")]
    )
    other = run("b", 190, score_name="mean average precision", task="multilabel")
    assert "have different metrics (accuracy, mean average precision)" in comparison_text([run("a", 100), other])


def test_of_errors_the_smaller_is_better() -> None:
    fields = {"higher_is_better": False, "score_form": "digits", "score_name": "mean absolute error"}
    runs = [run("a", 0, score=6.2, interval=(5.8, 6.6), **fields), run("b", 0, score=9.1, interval=(8, 10), **fields)]
    assert Comparison(tuple(runs)).verdict() == "a is best"
    assert "6.20" in comparison_text(runs)
    missing = [run("a", 0, score=math.nan, interval=None, **fields), runs[1]]
    assert Comparison(tuple(missing)).best == 1
    assert "nan" not in render_comparison(missing)


def test_only_what_differs_is_listed() -> None:
    other = '[training]\nseed = 7\nrate = 0.01\n[loss]\nsmoothing = 0.1\nweights = [1, 2]\n[data]\nsplit = "given"\n'
    found = Comparison((run("a", 100), run("b", 190, recipe=other)))
    assert found.differing == {
        "training.rate": ("0.1", "0.01"),
        "loss.smoothing": ("", "0.1"),
        "loss.weights": ("", "[1, 2]"),
    }
    page = render_comparison(found.runs)
    assert "training.seed" not in page
    assert "The recipes are the same" in render_comparison([run("a", 100), run("b", 190)])
    assert "No readable recipe: b." in render_comparison([run("a", 100), run("b", 190, recipe="= broken")])


def test_figures_stand_side_by_side() -> None:
    low, high = wilson(190, 200)
    page = plain(render_comparison([run("a", 100, recalls={"ants": 0.5, "bees": 0.95}, seconds=640), run("b", 190)]))
    for said in (
        f"95.0 %</span><small>{100 * low:.1f} % to {100 * high:.1f} %</small>",
        "10 min 40 s</td><td>12 s<small>fastest</small>",
        "<td>18.7 MB</td><td>18.7 MB</td>",  # equal: neither is marked
        "<td>4,651,012</td>",
        "<td>0.913</td>",
        '<th scope="row">ants</th><td>50.0 %',
    ):
        assert said in page, said
    assert page.index('<th scope="row">ants') < page.index('<th scope="row">bees')  # differs most
    assert page.count("<polyline") == 4


def test_one_run_is_no_comparison() -> None:
    for compare in (render_comparison, comparison_text):
        with pytest.raises(RequestError, match="needs two runs or more, not 1"):
            compare([run("a", 100)])


def test_many_runs_and_classes_stay_small() -> None:
    recalls = {f"a class with a name as long as they come, number {place}": 0.5 for place in range(1000)}
    page = render_comparison([run(f"run {place}", 100 + place, recalls=recalls) for place in range(50)])
    inspect(page)
    assert "10 further runs not shown." in page
    assert "that differ less are not listed" in page
    assert "The first 6 runs are drawn." in page


@settings(max_examples=25, deadline=None)
@given(names)
def test_no_name_is_believed(name: str) -> None:
    words = dict.fromkeys(("data", "net", "strategy", "score_name", "recipe", "held_out"), name)
    runs = [run(name, 100, metrics={name: 0.5}, recalls={name: 0.5}, **words), run("b", 190)]
    inspect(render_comparison(runs))
    for line in comparison_text(runs).splitlines():
        assert line.isprintable()


def of_images(name: str, wrong: set[int], kept: range, moved: frozenset[int] = frozenset()) -> RunSummary:
    """A run on the images of `kept`; those of `moved` have another label than elsewhere."""
    outcomes = {f"{n}.jpg": ("bees" if n in moved else "ants", float(n not in wrong)) for n in kept}
    score = sum(value for _, value in outcomes.values()) / len(outcomes)
    return RunSummary(
        name=name, data="d", net="n", strategy="s", score_name="accuracy", score=score, images=len(outcomes),
        held_out=f"{kept}{sorted(moved)}", outcomes=outcomes,
    )  # fmt: skip


def test_runs_on_other_images_are_compared_on_the_common_ones() -> None:
    good, bad = of_images("good", {90, 95}, range(200)), of_images("bad", set(range(40, 70)), range(20, 220))
    text = comparison_text([good, bad])
    assert "compared on the 180 that all evaluated" in text
    assert "good is best." in text
    assert "98.9 %" in text and "83.3 %" in text  # on the common images
    page = plain(render_comparison([good, bad]))
    assert "Score on the 180 common images" in page and "on the 180 images that all evaluated" in page


def test_relabelled_images_are_told_and_left_out() -> None:
    one = of_images("one", {1, 2, 3}, range(100))
    other = of_images("other", {1, 2, 5}, range(10, 120), moved=frozenset({50, 51}))
    text = comparison_text([one, other])
    assert "compared on the 88 that all evaluated" in text
    assert "Relabelled in another run, 2 of them are left out: 50.jpg." in text
    assert "Too close to call" in text and "do not differ beyond chance: one, other" in text


def test_too_few_common_images_are_no_comparison() -> None:
    text = comparison_text([of_images("one", set(), range(10)), of_images("other", {12}, range(7, 20))])
    assert "No comparison" in text
