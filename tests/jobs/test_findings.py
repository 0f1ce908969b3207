"""Findings at the end of a run: after the result, in plain words, at most ten lines."""

from __future__ import annotations

from pathlib import Path

from drawings import blocks
from PIL import Image

from striate.data.audit.findings import Finding
from striate.jobs.reporting.findings import MOST, finding_lines


def test_a_line_is_plain_and_short() -> None:
    group = Finding("duplicate", "kept", "a policy", ("a.jpg", "b.jpg", "c.jpg"), groups=(("a.jpg", "b.jpg", "c.jpg"),))
    small = Finding("imbalance", "kept", "a policy", ("wasps",), ("3 of 90",))
    assert finding_lines([group, small]) == [
        "Exact duplicates: 3 files, a.jpg = b.jpg = ...",
        "Class imbalance: 1 class, wasps (3 of 90)",
    ]


def test_there_are_at_most_ten_lines() -> None:
    kinds = [Finding(f"kind-{place}", "kept", "a policy", ("a.jpg",)) for place in range(14)]
    lines = finding_lines(kinds)
    assert len(lines) == MOST == 10
    assert lines[-1] == "5 more kinds of findings: see the report"


def test_findings_come_after_the_result(tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    data = blocks(tmp_path / "set", {"low": 12, "high": 12})
    Image.new("RGB", (40, 40), (9, 9, 9)).save(data / "low" / "blank.png")
    code, out, err = cli(
        "train", data, "--strategy", "scratch", "--net", "lenet5_plain", "--epochs", 1, "--out", tmp_path / "run"
    )
    assert code == 0
    assert "Blank images: 1 file, low/blank.png" in err.splitlines()[-2:]
    assert "Blank" not in out and "blank, kept" not in err


def test_an_error_comes_before_what_would_be_trained(tmp_path: Path, cli) -> None:  # type: ignore[no-untyped-def]
    data = blocks(tmp_path / "set", {"low": 6, "high": 6})
    arguments = ("train", data, "--strategy", "scratch", "--net", "lenet5_plain", "--out", tmp_path / "run")
    code, out, err = cli(*arguments, "--net-option", "depth=3")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1 and err.startswith("striate: ")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("words")
    code, _, err = cli(*arguments)
    assert code == 2 and len(err.splitlines()) == 1
