"""`striate predict`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from striate.cli.answer import MODEL, Answer, engine_options, own_net_option, terminal_progress
from striate.errors import printable

if TYPE_CHECKING:
    from striate.inference.predictor import Prediction

HELP = "predict image files"
EXAMPLE = "striate predict run/model.safetensors new.jpg"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("files", nargs="+", help="image files, or folders of them")
    engine_options(parser)
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.data.audit.findings import set_aside_findings
    from striate.jobs.predict import predict as job
    from striate.jobs.reporting.findings import finding_lines

    done = job(
        chosen.model, chosen.files, engine=chosen.engine, precision=chosen.precision, progress=terminal_progress()
    )
    lines = [f"{printable(one.source)}: {_line(one)}" for one in done.predictions]
    lines += [f"not predicted: {printable(why)}" for _, why in done.failed]
    rows = [_row(one) for one in done.predictions]
    failed = [{"file": path, "why": why} for path, why in done.failed]
    lines += [f"Left out: {line}" for line in finding_lines(set_aside_findings(done.set_aside))]
    # An invalid request if no file could be predicted; a failure if some could not.
    code = 0 if not done.failed else (1 if done.predictions else 2)
    aside = [{"path": one.path, "kind": one.kind, "why": one.why} for one in done.set_aside]
    return Answer("\n".join(lines), {"predictions": rows, "failed": failed, "set_aside": aside}, code)


def _line(one: Prediction) -> str:
    return f"{one.label}, otherwise {one.answer.line}" if one.in_distribution is False else one.answer.line


def _row(one: Prediction) -> dict[str, Any]:
    row: dict[str, Any] = {"file": one.source, "label": one.label, **one.answer.facts}
    if one.in_distribution is not None:
        row |= {"in_distribution": one.in_distribution, "distance": one.distance}
    return row
