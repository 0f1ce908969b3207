"""Errors: exit codes, one line, and suggestions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.errors import RequestError, StriateError, WorkError, nearest, printable, unknown


def test_kinds_and_exit_codes() -> None:
    assert (RequestError.exit_code, WorkError.exit_code) == (2, 1)
    assert issubclass(RequestError, StriateError) and issubclass(RequestError, ValueError)
    assert issubclass(WorkError, StriateError) and issubclass(WorkError, RuntimeError)


@pytest.mark.parametrize(
    ("given_name", "near"),
    [("resnet21", "resnet20"), ("RESNET20", "resnet20"), ("lenet", "lenet5"), ("alexnt", "AlexNet")],
)
def test_the_nearest_name_comes_first(given_name: str, near: str) -> None:
    assert nearest(given_name, ["resnet20", "lenet5", "AlexNet"])[0] == near


def test_without_a_near_name_the_known_ones_are_listed() -> None:
    assert nearest("zebra", ["resnet20", "lenet5"]) == []
    assert str(unknown("net", "zebra", ["resnet20", "lenet5"])) == "unknown net 'zebra'; known: resnet20, lenet5"
    many = [f"q{number}" for number in range(40)]
    assert str(unknown("net", "zebra", many)).endswith("q11, ...")


@given(st.text(), st.lists(st.text(max_size=8), max_size=20))
def test_the_message_names_the_given_value(value: str, known: list[str]) -> None:
    assert set(nearest(value, known)) <= set(known)
    error = unknown("net", value, known)
    assert isinstance(error, RequestError)
    assert repr(value) in str(error)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("café 2.png", "café 2.png"),
        ("two\nlines", "two\\nlines"),
        ("bad\udcff", "bad\\udcff"),
        ("a\x1b[31m", "a\\x1b[31m"),
    ],
)
def test_printable_escapes_only_what_does_not_fit_on_a_line(text: str, shown: str) -> None:
    assert printable(text) == shown
