"""Render docs/coverage.toml as docs/coverage.md: what works, with its tests, and what does not, with the reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
INTRODUCTION = """# What works and what does not

One row for each feature, with the command or function and the tests that check it. Features without a test are listed
at the end, each with its reason. Generated from `coverage.toml` by `python docs/render_coverage.py`.
"""


def rendered() -> str:
    """The page."""
    items = tomllib.loads((DOCS / "coverage.toml").read_text("utf-8"))["item"]
    lines = [INTRODUCTION]
    for work in dict.fromkeys(item["work"] for item in items):
        lines += [f"## {work[0].upper()}{work[1:]}", "", "| feature | command or function | tests |", "|---|---|---|"]
        lines += [_row(item, tests(item)) for item in items if item["work"] == work and "test" in item]
        lines += [""]
    lines += ["## Missing", "", "| feature | command or function | reason |", "|---|---|---|"]
    lines += [_row(item, item["missing"]) for item in items if "missing" in item]
    return "\n".join(lines) + "\n"


def _row(item: dict[str, Any], last: str) -> str:
    return f"| {item['promise']} | `{item['door']}` | {last} |"


def tests(item: dict[str, Any]) -> str:
    """The tests of a row as a cell of a table: a line each, the file and the name."""
    named = [item["test"]] if isinstance(item["test"], str) else item["test"]
    return "<br>".join(f"`{name.removeprefix('tests/')}`" for name in named)


if __name__ == "__main__":
    (DOCS / "coverage.md").write_text(rendered(), "utf-8")
