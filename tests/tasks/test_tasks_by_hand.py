"""One task that everything follows: what is asked, how scores become answers, and how targets become arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.sources.base import Item
from striate.errors import RequestError
from striate.tasks import Classification, Multilabel, Regression, Task
from striate.tasks.base import sigmoid, softmax

COLOURS = ("red", "green", "blue")


def test_softmax_keeps_its_feet() -> None:
    scores = np.array([[1e4, -1e4, 0], [0, 0, 0]], np.float32)
    assert np.allclose(softmax(scores), [[1, 0, 0], [1 / 3] * 3])


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20))
def test_sigmoid_never_overflows_and_is_symmetric(values: list[float]) -> None:
    scores = np.array(values, np.float32)
    assert np.isfinite(sigmoid(scores)).all()
    assert np.allclose(sigmoid(scores) + sigmoid(-scores), 1, atol=1e-6)


def test_targets_become_arrays() -> None:
    assert Classification(COLOURS).targets([Item("a", 2), Item("b", 0)]).tolist() == [2, 0]
    table = Multilabel(COLOURS).targets([Item("a", (0, 2)), Item("b", ())])
    assert table.dtype == np.float32 and table.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert Regression(("age",)).targets([Item("a", 3.5)]).tolist() == [3.5]


def test_answers_follow_the_kind() -> None:
    scores = np.array([[0.0, 2.0, -1.0]], np.float32)
    assert np.isclose(Classification(COLOURS).answers(scores).sum(), 1)
    assert np.allclose(Multilabel(COLOURS).answers(scores), [[0.5, 0.8808, 0.2689]], atol=1e-4)
    assert Regression(("age",)).answers(scores[:, :1]).tolist() == [[0.0]]


def test_thresholds_decide_what_is_given() -> None:
    answers = np.array([[0.4, 0.6, 0.5]], np.float32)
    assert Multilabel(COLOURS).given(answers).tolist() == [[False, True, True]]
    assert Multilabel(COLOURS, (0.3, 0.7, 0.9)).given(answers).tolist() == [[True, False, False]]


def test_targets_are_spoken() -> None:
    assert Classification(COLOURS).spoken(1) == "green"
    assert Multilabel(COLOURS).spoken((0, 2)) == "red, blue"
    assert Multilabel(COLOURS).spoken(()) == "none"
    assert Regression(("age",)).spoken(41.5) == "41.5"


@pytest.mark.parametrize(
    "task", [Classification(COLOURS), Multilabel(COLOURS, (0.1, 0.2, 0.3)), Regression(("n",))]
)
def test_it_comes_back_from_json(task: Task) -> None:
    assert Task.from_dict(json.loads(json.dumps(task.as_dict())), task.names) == task


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "classes", "thresholds": []}, "did you mean 'class'"),
        ({"kind": "class", "thresholds": [0.5] * 3}, "thresholds go with labels"),
        ({"kind": "labels", "thresholds": [0.5]}, "one from 0 to 1 each"),
        ({"kind": "labels", "thresholds": [0.5, 2, 0.5]}, "one from 0 to 1 each"),
        ({"kind": "labels", "thresholds": ["a"]}, "list of numbers"),
        ({"kind": "number", "thresholds": []}, "cannot have 3 names"),
        ({}, "a kind and thresholds"),
        ([], "a kind and thresholds"),
    ],
)
def test_anything_else_is_refused(values: object, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        Task.from_dict(values, COLOURS)  # type: ignore[arg-type]
