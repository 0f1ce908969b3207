"""`striate show`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer

HELP = "open a network as its paper's table"
EXAMPLE = "striate show lenet5"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("net", help="name, as 'striate nets' lists them")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.catalogue import show as job

    facts = job(chosen.net)
    height, width = facts["input_size"]
    lines = [
        f"{facts['name']}: {facts['title']} ({facts['year']})",
        facts["paper"],
        f"{facts['parameters']:,} parameters, {facts['madds']:,} multiply-adds "
        f"at {facts['in_channels']}x{height}x{width}",
        "",
        facts["table"].rstrip(),
        "",
        f"{'stage':12}  {'output':>12}  {'parameters':>12}  {'multiply-adds':>14}",
    ]
    for row in facts["stages"]:
        shape = "x".join(str(side) for side in row["output"])
        lines.append(f"{row['name']:12}  {shape:>12}  {row['parameters']:>12,}  {row['madds']:>14,}")
    return Answer("\n".join(lines), facts)
