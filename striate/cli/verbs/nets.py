"""`striate nets`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer

HELP = "list the networks"
EXAMPLE = "striate nets 'resnet*'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("pattern", nargs="?", default="*", metavar="GLOB", help="only names that match")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    import dataclasses

    from striate.jobs.catalogue import nets as job

    found = job(chosen.pattern)
    width = max(len(entry.name) for entry in found)
    lines = [f"{'name':{width}}  year  {'input':>11}  {'parameters':>12}  {'multiply-adds':>14}  weights"]
    for entry in found:
        height, across = entry.input_size
        shape = f"{entry.in_channels}x{height}x{across}"
        lines.append(
            f"{entry.name:{width}}  {entry.year}  {shape:>11}  {entry.parameters:>12,}  {entry.madds:>14,}  "
            f"{entry.weights or '-'}"
        )
    return Answer("\n".join(lines), {"nets": [dataclasses.asdict(entry) for entry in found]})
