"""The pages of docs/nets are what their script makes of the files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from striate.nets.catalog import entries

DOCS = Path(__file__).parents[2] / "docs"
# Rendered in moments, and of every kind of net; `make test-full` renders all.
QUICK = ("lenet", "enet", "hypernetworks", "squeezenet")


@pytest.fixture
def renderer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render_nets", DOCS / "render_nets.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_of_some_papers_are_rendered_from_their_files(renderer: ModuleType) -> None:
    for file in QUICK:
        nets = [net for net in entries(tiny=True) if net.file == file]
        text = renderer.page(file, nets)
        assert (DOCS / "nets" / f"{file}.md").read_text("utf-8") == text, f"{file}: run python docs/render_nets.py"
        assert "## Deviations" in text
    lenet = (DOCS / "nets" / "lenet.md").read_text("utf-8")
    assert "| c3 | 16 x 10 x 10 | 1,516 | 150,000 | 14 |" in lenet


def test_every_paper_has_its_page_and_its_line_in_the_index(renderer: ModuleType) -> None:
    files = {f"{net.file}.md" for net in entries(tiny=True)}
    assert files | {"README.md"} == {path.name for path in (DOCS / "nets").glob("*.md")}
    name, text = next(renderer.rendered())
    assert (DOCS / "nets" / name).read_text("utf-8") == text, "run python docs/render_nets.py"


@pytest.mark.slow
def test_the_pages_are_rendered_from_the_files(renderer: ModuleType) -> None:
    pages = dict(renderer.rendered())
    assert pages.keys() == {path.name for path in (DOCS / "nets").glob("*.md")}, "run python docs/render_nets.py"
    for name, text in pages.items():
        assert (DOCS / "nets" / name).read_text("utf-8") == text, f"{name}: run python docs/render_nets.py"
