"""`striate show`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from striate.cli.answer import Answer
from striate.errors import printable
from striate.nets.catalog import KINDS

HELP = "show a network as the table of its paper"
EXAMPLE = "striate show lenet5 --html lenet5.html"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("net", help="name, as 'striate nets' lists them, or a net file (.toml, .prototxt)")
    parser.add_argument("--input-size", nargs=2, type=int, metavar=("H", "W"), help="height and width of the input")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the network's constructor"
    )
    parser.add_argument(
        "--advice", action="store_true", help="also say what is remarkable about its design, and what to try"
    )
    parser.add_argument("--html", metavar="FILE", help="write a page with every stage drawn")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.advice import advice
    from striate.jobs.catalogue import show as job
    from striate.jobs.net_page import amount, remarks
    from striate.recipe.changing import options

    facts = job(
        chosen.net,
        input_size=chosen.input_size,
        classes=chosen.classes,
        options=options(chosen.option),
        html=chosen.html,
    )
    height, width = facts["input_size"]
    lines = [
        f"{facts['name']}: {facts['title']} ({facts['year']})",
        facts["paper"],
        *([f"{facts['kind']}: {KINDS[facts['kind']]}"] if facts["kind"] != "classifier" else []),
        f"{facts['parameters']:,} parameters, {facts['madds']:,} multiply-adds "
        f"at {facts['in_channels']}x{height}x{width}, {amount(facts['activation_bytes'])} of activations in training",
        f"constructor {facts['made']}",
        "",
        facts["table"].rstrip(),
        "",
        *_columns(facts["stages"]),
        "",
        *(f"({remark})" for remark in remarks(facts)),
    ]
    if chosen.advice:
        found = advice(chosen.net, facts["input_size"], classes=chosen.classes, options=options(chosen.option))
        facts["advice"] = [each.as_dict() for each in found]
        lines += ["", *(f"{each.kind}: {each.line()}" for each in found)]
        lines += [] if found else ["advice: nothing remarkable about the design was found"]
    lines += [f"Page {printable(chosen.html)}"] if chosen.html else []
    return Answer("\n".join(lines), facts)


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The derived columns, aligned."""
    from striate.jobs.net_page import field

    cells = [("stage", "output", "parameters", "multiply-adds", "field", "memory")]
    for row in rows:
        name = f"{row['name']} (in training)" if row["training_only"] else row["name"]
        shape = "x".join(str(side) for side in row["output"])
        numbers = (f"{row[column]:,}" for column in ("parameters", "madds", "activation_bytes"))
        parameters, madds, memory = numbers
        cells.append((name, shape, parameters, madds, field(row), memory))
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
