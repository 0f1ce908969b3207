"""The tasks: how logits become predictions, targets arrays and words, and how files hold a task."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import RequestError
from striate.tasks import Classification, Multilabel, Regression, Target, Task, register, task_from_dict
from striate.tasks.values import sigmoid, softmax

COLOURS = ("red", "green", "blue")


def test_softmax_keeps_its_feet() -> None:
    logits = np.array([[1e4, -1e4, 0], [0, 0, 0]], np.float32)
    assert np.allclose(softmax(logits), [[1, 0, 0], [1 / 3] * 3])


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
@settings(deadline=None)
def test_sigmoid_never_overflows_and_is_symmetric(values: list[float]) -> None:
    logits = np.array(values, np.float32)
    assert np.isfinite(sigmoid(logits)).all()
    assert np.allclose(sigmoid(logits) + sigmoid(-logits), 1, atol=1e-6)


def test_targets_become_arrays() -> None:
    assert Classification(COLOURS).collate([2, 0]).tolist() == [2, 0]
    table = Multilabel(COLOURS).collate([(0, 2), ()])
    assert table.dtype == np.float32 and table.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert Regression(("age",)).collate([3.5]).tolist() == [3.5]


def test_predictions_follow_the_task() -> None:
    logits = np.array([[0.0, 2.0, -1.0]], np.float32)
    assert np.isclose(Classification(COLOURS).predictions(logits).sum(), 1)
    assert np.allclose(Multilabel(COLOURS).predictions(logits), [[0.5, 0.8808, 0.2689]], atol=1e-4)
    assert Regression(("age",)).predictions(logits[:, :1]).tolist() == [[0.0]]


def test_thresholds_decide_what_is_given() -> None:
    answers = np.array([[0.4, 0.6, 0.5]], np.float32)
    assert Multilabel(COLOURS).predicted(answers).tolist() == [[False, True, True]]
    assert Multilabel(COLOURS, (0.3, 0.7, 0.9)).predicted(answers).tolist() == [[True, False, False]]


def test_targets_in_words() -> None:
    assert Classification(COLOURS).text(1) == "green"
    assert Multilabel(COLOURS).text((0, 2)) == "red, blue"
    assert Multilabel(COLOURS).text(()) == "none"
    assert Regression(("age",)).text(41.5) == "41.5"


@pytest.mark.parametrize("task", [Classification(COLOURS), Multilabel(COLOURS, (0.1, 0.2, 0.3)), Regression(("n",))])
def test_it_comes_back_from_json(task: Task) -> None:
    assert task_from_dict(json.loads(json.dumps(task.as_dict())), task.names) == task


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "classificaton"}, "is not registered; did you mean 'classification'"),
        ({"kind": "polygon"}, "is not registered"),
        ({"kind": ["classification"]}, "is not registered"),
        ({"kind": "classification", "thresholds": [0.5] * 3}, "has no 'thresholds'"),
        ({"kind": "multilabel", "thresholds": [0.5]}, "must be from 0 to 1"),
        ({"kind": "multilabel", "thresholds": [0.5, 2, 0.5]}, "must be from 0 to 1"),
        ({"kind": "multilabel", "thresholds": ["a"]}, "list of numbers"),
        ({"kind": "multilabel"}, "has thresholds, and nothing else"),
        ({"kind": "regression"}, "cannot have 3 names"),
        ({}, "needs a kind"),
        ([], "needs a kind"),
    ],
)
def test_anything_else_is_refused(values: object, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        task_from_dict(values, COLOURS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "target", "text", "written"),
    [
        (Classification(COLOURS), 1, "green", "green"),
        (Multilabel(COLOURS), (0, 2), "red, blue", "red|blue"),
        (Multilabel(COLOURS), (), "none", ""),
        (Regression(("age",)), 41.5, "41.5", "41.5"),
        (Regression(("age",)), 1234567.5, "1.23457e+06", "1234567.5"),
    ],
)
def test_a_target_comes_back_from_its_text(task: Task, target: Target, text: str, written: str) -> None:
    assert (task.text(target), task.written(target)) == (text, written)
    assert task.parsed(written, COLOURS.index) == target
    assert task.is_target(target)
    assert task.reindexed(target, {0: 0, 1: 1, 2: 2}) == target


def test_what_is_no_target() -> None:
    assert not Classification(COLOURS).is_target(3) and not Classification(COLOURS).is_target(True)
    assert not Multilabel(COLOURS).is_target((0, 3)) and not Multilabel(COLOURS).is_target(0)
    assert not Regression(("n",)).is_target(float("nan")) and not Regression(("n",)).is_target("3")
    with pytest.raises(ValueError, match="is not a number"):
        Regression(("n",)).parsed("1e40", COLOURS.index)


def test_an_answer_in_words() -> None:
    one = Classification(COLOURS).answer(np.array([0.1, 0.7, 0.2], np.float32))
    assert (one.label, one.value, one.line) == ("green", None, "green 70.0 %, blue 20.0 %, red 10.0 %")
    assert one.confidence == one.facts["confidence"] == pytest.approx(0.7)
    several = Multilabel(COLOURS).answer(np.array([0.6, 0.1, 0.5], np.float32))
    assert several.label == "red, blue" and several.line == "red, blue (red 60.0 %, blue 50.0 %, green 10.0 %)"
    number = Regression(("age",)).answer(np.array([41.5], np.float32))
    assert (number.label, number.value, number.line) == ("41.5", 41.5, "age 41.5")
    assert dict(number.facts) == {"name": "age", "value": 41.5} and not len(number.probabilities)


def test_predictions_that_agree() -> None:
    sure = np.array([[0.9, 0.05, 0.05], [0.4, 0.39, 0.21]], np.float32)
    other = np.array([[0.88, 0.07, 0.05], [0.39, 0.4, 0.21]], np.float32)
    task = Classification(COLOURS)
    assert task.agreement(sure, other).share == 0.5
    assert task.agreement(sure, other, ties=0.02).share == 1
    assert task.agreement(sure, other).difference == pytest.approx(0.02)
    assert Multilabel(COLOURS).agreement(sure, other).share == 1
    numbers = np.array([[10.0], [20.0]], np.float32)
    assert Regression(("n",)).agreement(numbers, numbers + 0.1).difference == pytest.approx(0.02, rel=1e-3)
    assert Regression(("n",)).agreement(numbers, numbers + 1).share == 0


def test_own_metrics_are_stored_by_name() -> None:
    predictions, targets = np.eye(3, dtype=np.float32), np.array([0, 1, 1])
    found = Classification(COLOURS).evaluate(
        "val", predictions, targets, metrics={"top 2": lambda given, aims: float((given.argmax(1) == aims).mean())}
    )
    assert found.as_dict()["top 2"] == found.score == pytest.approx(2 / 3)


def test_a_registered_kind_is_not_taken_twice() -> None:
    class Another(Classification):
        pass

    with pytest.raises(RequestError, match="'classification' is taken"):
        register(Another)
    assert register(Classification) is Classification
