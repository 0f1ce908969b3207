"""The documentation site: `make docs` builds it into docs/_build."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

_project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]

project = _project["name"].capitalize()
version = release = _project["version"]
copyright = "the authors of Striate, Apache-2.0"  # noqa: A001  Sphinx's own name

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {version}"
html_show_sphinx = False

myst_heading_anchors = 3  # links to headings, as a code host makes them

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "groupwise"
python_use_unqualified_type_names = True
default_role = "code"  # docstrings write `name`, as Markdown does


def _write_lessons(app: Sphinx, problem: Exception | None) -> None:
    """The teaching pages, beside the page that shows them."""
    if problem is None and app.builder.format == "html":
        from striate.jobs.lesson import LESSONS, lesson

        folder = Path(app.outdir) / "lessons"
        folder.mkdir(exist_ok=True)
        for name in LESSONS:
            lesson(name, out=folder / f"{name}.html")


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.connect("build-finished", _write_lessons)
