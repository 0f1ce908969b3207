"""`striate reproduce`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from striate.cli.answer import Answer, progress_of

if TYPE_CHECKING:
    from striate.studies.study import Study

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
        return Answer("\n".join(_listed(study) for study in found), {"studies": [_facts(study) for study in found]})
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


def _listed(study: Study) -> str:
    times = "; ".join(f"{name}: {scale.time}" for name, scale in study.scales.items())
    wants = ["needs --weights"] if study.needs else []
    wants += ["compares times: on a machine that does nothing else"] if study.compares_times else []
    return f"{study.name}\n  {study.question}\n  {'; '.join([times, *wants])}"


def _facts(study: Study) -> dict[str, Any]:
    times = {name: scale.time for name, scale in study.scales.items()}
    return {
        "name": study.name,
        "question": study.question,
        "time": times,
        "needs": study.needs,
        "compares_times": study.compares_times,
    }
