"""Each format for a moment, from fixed seeds: files changed at random are read or refused by one error.

`make fuzz` searches on; what it has found is in tests/fuzz_cases, and stays refused or read.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_seeds import seeds
from fuzzing import TARGETS, cases, run

COUNT = 200  # inputs of each format
FOUND = cases()


@pytest.mark.parametrize("name", TARGETS)
def test_the_valid_files_are_read(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    for content in seeds(name):
        path = tmp_path / f"valid{target.ending}"
        path.write_bytes(content)
        target.read(path)  # raises nothing, or the changed ones would be refused for no reason


@pytest.mark.parametrize("name", TARGETS)
def test_changed_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    assert [told for _, told in run(TARGETS[name], 0, COUNT, tmp_path)] == []


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_mended(name: str, tmp_path: Path) -> None:
    target, path = FOUND[name]
    assert target.trial(path.read_bytes(), tmp_path) == ""
