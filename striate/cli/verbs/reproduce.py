"""`striate reproduce`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer, progress_of

HELP = "run published experiments again, beside their numbers"
EXAMPLE = "striate reproduce shortcuts --scale quick --out studies"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="without one and without --all: list the studies")
    parser.add_argument("--all", action="store_true", help="all studies; those that cannot be run here are told")
    parser.add_argument(
        "--scale", choices=("quick", "cpu", "paper"), default="quick",
        help="quick: minutes (default); cpu: at most an hour on two cores; paper: the published protocol, for a GPU",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="FOLDER", help="of trainings and pages; a call goes on with it (default: studies)"
    )
    parser.add_argument("--data", metavar="DATA", help="instead of the study's own data")
    parser.add_argument("--weights", metavar="FOLDER", help="published weights, for the studies that need them")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.errors import RequestError, printable
    from striate.studies import catalog

    if not chosen.studies and not chosen.all:
        found = [catalog.study(name) for name in catalog.names()]
        width = max(len(study.name) for study in found)
        lines = [f"{study.name.ljust(width)}  {study.question}" for study in found]
        return Answer("\n".join(lines), {"studies": [{"name": one.name, "question": one.question} for one in found]})
    if chosen.studies and chosen.all:
        raise RequestError("--all runs all studies: leave the names out")
    from striate.jobs.reproduce import INDEX, reproduce

    done = reproduce(
        chosen.studies,
        scale=chosen.scale,
        out=chosen.out,
        data=chosen.data,
        weights=chosen.weights,
        progress=progress_of(chosen),
    )
    lines = [printable(line) for line in done.lines()]
    return Answer("\n".join([*lines, f"Pages  {printable(str(done.folder / INDEX))}"]), done.as_dict())
