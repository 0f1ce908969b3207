"""Render docs/lectures.toml as docs/lectures.md: where each row of the lectures is in Striate."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
INTRODUCTION = """# From lecture to command

One row for each system, technique, experiment, figure and piece of advice that the lectures name: the command or
function for it, with the tests that check it; or the work in which it is planned; or the reason why it is left out.
Generated from `lectures.toml` by `python docs/render_lectures.py`.
"""
PARTS = {
    "A": "History and context",
    "B": "Convolution",
    "C": "Activations and output layers",
    "D": "Pooling",
    "E": "Normalisation",
    "F": "Regularisation",
    "G": "Architectures",
    "H": "Data preparation and augmentation",
    "I": "Optimizers",
    "J": "Learning rate",
    "K": "Published experiments and tables",
    "L": "Figures",
    "M": "Comparison, cost, search and scaling",
    "N": "Transfer learning",
    "O": "Applications",
    "P": "Practical advice",
    "Q": "Frameworks",
    "R": "Training cost and hardware",
    "S": "Theory, checked numerically",
}


def rendered() -> str:
    """The page."""
    items = tomllib.loads((DOCS / "lectures.toml").read_text("utf-8"))["item"]
    counts = [sum(key in item for item in items) for key in ("door", "later", "missing")]
    lines = [
        INTRODUCTION,
        f"Of {len(items)} rows {counts[0]} are available, {counts[1]} are planned and {counts[2]} are left out.",
        "",
    ]
    for letter, name in PARTS.items():
        lines += [f"## {letter}. {name}", "", "| no | what | where |", "|---|---|---|"]
        lines += [f"| {item['id']} | {item['title']} | {where(item)} |" for item in items if item["id"][0] == letter]
        lines += [""]
    return "\n".join(lines).rstrip("\n") + "\n"


def where(item: dict[str, Any]) -> str:
    """The last cell of a row: its command and tests, the planned work, or the reason why it is left out."""
    return "<br>".join(_where(item))


def _where(item: dict[str, Any]) -> Iterator[str]:
    if "later" in item:
        yield f"planned: {item['later']}"
    elif "missing" in item:
        yield f"left out: {item['missing']}"
    else:
        yield f"**`{item['door']}`**"
        named = [item["test"]] if isinstance(item["test"], str) else item["test"]
        yield from (f"`{name.removeprefix('tests/')}`" for name in named)


if __name__ == "__main__":
    (DOCS / "lectures.md").write_text(rendered(), "utf-8")
