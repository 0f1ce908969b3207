"""What was promised is held by a test that exists, or says why it is missing."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ITEMS = tomllib.loads((ROOT / "docs" / "coverage.toml").read_text("utf-8"))["item"]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["promise"][:50])
def test_promise_is_kept_or_explained(item: dict[str, str]) -> None:
    assert item.keys() <= {"work", "promise", "door", "test", "missing"}
    assert item["work"] and item["promise"] and item["door"]
    assert ("test" in item) != ("missing" in item)
    if "test" in item:
        path, _, name = item["test"].partition("::")
        text = (ROOT / path).read_text("utf-8")
        assert f"def {name or 'test_'}" in text, f"{item['test']} holds no such test"
    else:
        assert len(item["missing"]) > 20


def test_the_records_name_command_machine_versions_and_runs() -> None:
    records = sorted((ROOT / "benchmarks" / "records").glob("*.json"))
    assert records
    for path in records:
        record = json.loads(path.read_text("utf-8"))
        assert {"date", "machine", "versions", "rows"} <= record.keys(), path.name
        assert all({"what", "command", "n"} <= row.keys() for row in record["rows"]), path.name


def test_the_page_is_rendered_from_the_rows() -> None:
    script = ROOT / "docs" / "render_coverage.py"
    spec = importlib.util.spec_from_file_location("render_coverage", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "coverage.md").read_text("utf-8") == module.rendered(), "run python docs/render_coverage.py"
