"""What was promised is held by tests that exist and can run, or says why it is missing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import named_tests
import pytest
from named_tests import ROOT, kind_of, missing, named_in, rendered_by, rows, wrong_in_door

ITEMS = rows("coverage")
IDS = [item["promise"][:50] for item in ITEMS]


@pytest.mark.parametrize("item", ITEMS, ids=IDS)
def test_promise_is_kept_or_explained(item: dict[str, Any]) -> None:
    assert item.keys() <= {"work", "promise", "door", "test", "missing"}
    assert item["work"] and item["promise"] and item["door"]
    assert ("test" in item) != ("missing" in item)
    assert "test" in item or len(item["missing"]) > 20


def test_every_test_named_exists_and_can_run() -> None:
    wrong = [f"{item['promise'][:60]!r}\n    {line}" for item in ITEMS for line in missing(named_in(item))]
    assert not wrong, "docs/coverage.toml names tests that cannot hold their row:\n" + "\n".join(wrong)


EXAMPLES = """
import pytest

def test_fine(): ...

@pytest.mark.skip(reason="always")
def test_marked(): ...

def test_first_thing():
    "Skipped in its body."
    pytest.skip("always")
"""


def test_a_name_that_names_no_test_is_reported(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(EXAMPLES)
    assert missing([f"{tmp_path}/test_some.py::test_fine"]) == []
    for name, why in (
        ("test_some.py", "name the test, as path::test"),
        ("test_none.py::test_fine", "there is no such file"),
        ("test_some.py::test_fin", "no such test; is it test_fine"),
        ("test_some.py::test_marked", "always skipped"),
        ("test_some.py::test_first_thing", "always skipped"),
    ):
        (line,) = missing([f"{tmp_path}/{name}"])
        assert name in line and why in line


def test_a_full_run_fails_where_a_named_test_did_not_run(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests").mkdir()
    names = ["test_ran", "test_skipped", "test_slow", "test_left_out"]
    rows = "".join(f'[[item]]\ntest = "tests/test_some.py::{name}"\n' for name in names)
    (tmp_path / "docs" / "coverage.toml").write_text(rows)
    (tmp_path / "docs" / "lectures.toml").write_text("item = []\n")
    shutil.copyfile(ROOT / "tests" / "named_tests.py", tmp_path / "tests" / "named_tests.py")
    hooks = [name for name in vars(named_tests) if name.startswith("pytest_")]
    (tmp_path / "tests" / "conftest.py").write_text(f"from named_tests import {', '.join(hooks)}\n")
    (tmp_path / "tests" / "test_some.py").write_text(
        "import pytest\n"
        "def test_ran(): ...\n"
        "def test_skipped(): pytest.skip('no data')\n"
        "@pytest.mark.slow\ndef test_slow(): ...\n"
        "if False:\n    def test_left_out(): ...\n"
    )
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ntestpaths = tests\naddopts = -m 'not slow'\nmarkers =\n  slow\n  unit\n  end_to_end\n"
    )

    def printed(*arguments: str) -> tuple[int, list[str]]:
        command = [sys.executable, "-m", "pytest", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, [line for line in done.stdout.splitlines() if line.startswith("NOT RUN")]

    code, lines = printed()
    assert code == 1
    assert len(lines) == 1 and "tests/test_some.py::test_left_out" in lines[0]
    assert printed("tests/test_some.py") == (0, [])


def test_every_test_is_a_unit_or_an_end_to_end_test(request: pytest.FixtureRequest) -> None:
    for item in request.session.items:
        assert [mark.name for mark in item.iter_markers() if mark.name in ("unit", "end_to_end")] == [kind_of(item)]


def test_the_records_name_command_machine_versions_and_runs() -> None:
    records = sorted((ROOT / "benchmarks" / "records").glob("*.json"))
    assert records
    for path in records:
        record = json.loads(path.read_text("utf-8"))
        assert {"date", "machine", "versions", "rows"} <= record.keys(), path.name
        assert all({"what", "command", "n"} <= row.keys() for row in record["rows"]), path.name


def test_every_door_exists() -> None:
    doors = ((item["promise"], item["door"]) for item in ITEMS if "door" in item and "missing" not in item)
    assert [(row, door, wrong) for row, door in doors if (wrong := wrong_in_door(door))] == []


def test_the_page_is_rendered_from_the_rows() -> None:
    text = (ROOT / "docs" / "coverage.md").read_text("utf-8")
    assert text == rendered_by("render_coverage"), "run python docs/render_coverage.py"


def test_the_page_of_measurements_is_rendered_from_the_records() -> None:
    text = (ROOT / "docs" / "measured.md").read_text("utf-8")
    assert text == rendered_by("render_measured"), "run python docs/render_measured.py"


def test_the_extra_for_the_documentation_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = (ROOT / "constraints.txt").read_text("utf-8")
    for requirement in project["optional-dependencies"]["docs"]:
        name = requirement.partition(">")[0]
        assert f"\n{name}==" in pins, f"constraints.txt pins no {name}"
