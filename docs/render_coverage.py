"""Render docs/coverage.toml as docs/coverage.md: what works, with its test, and what does not, with the reason."""

from __future__ import annotations

import tomllib
from pathlib import Path

DOCS = Path(__file__).parent


def rendered() -> str:
    """The page."""
    items = tomllib.loads((DOCS / "coverage.toml").read_text("utf-8"))["item"]
    lines = ["# What works and what does not", "", "Made from `coverage.toml` by `python docs/render_coverage.py`.", ""]
    lines += ["| promise | door | held by |", "|---|---|---|"]
    lines += [f"| {i['promise']} | `{i['door']}` | [{i['test']}](../{i['test']}) |" for i in items if "test" in i]
    lines += ["", "## Missing", "", "| promise | door | why |", "|---|---|---|"]
    lines += [f"| {i['promise']} | `{i['door']}` | {i['missing']} |" for i in items if "missing" in i]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (DOCS / "coverage.md").write_text(rendered(), "utf-8")
