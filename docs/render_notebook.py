"""Render docs/first_hour.md as the notebook docs/first_hour.ipynb: text as Markdown cells, code as code cells.

The page is the source. A notebook is JSON, so that nothing has to be installed to write one or to run its cells.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
CODE = re.compile(r"<!-- run -->\n```python\n(.*?)\n```\n", flags=re.DOTALL)


def rendered() -> str:
    """The notebook as text."""
    parts = CODE.split((DOCS / "first_hour.md").read_text("utf-8"))
    cells = [_cell(part.strip("\n"), number, code=number % 2 == 1) for number, part in enumerate(parts) if part.strip()]
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _cell(text: str, number: int, *, code: bool) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": "code" if code else "markdown", "id": f"cell-{number}", "metadata": {}}
    if code:
        cell |= {"execution_count": None, "outputs": []}
    return cell | {"source": text.splitlines(keepends=True)}


if __name__ == "__main__":
    (DOCS / "first_hour.ipynb").write_text(rendered(), "utf-8")
