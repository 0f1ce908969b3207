"""The pages of docs/nets are what their script makes of the files."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_pages_are_rendered_from_the_files() -> None:
    spec = importlib.util.spec_from_file_location("render_nets", DOCS / "render_nets.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = dict(module.rendered())
    assert pages.keys() == {path.name for path in (DOCS / "nets").glob("*.md")}, "run python docs/render_nets.py"
    for name, text in pages.items():
        assert (DOCS / "nets" / name).read_text("utf-8") == text, f"{name}: run python docs/render_nets.py"
    assert "## Deviations" in pages["lenet.md"] and "| c3 | 16 x 10 x 10 | 1,516 | 150,000 | 14 |" in pages["lenet.md"]
