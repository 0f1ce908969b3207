"""`striate ensemble`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from striate.cli.answer import MODEL, SOURCES, Answer, own_net_option, progress_of
from striate.errors import RequestError, printable

if TYPE_CHECKING:
    from striate.jobs.ensemble import Ensembled

HELP = "combine several models into one that averages their predictions"
EXAMPLE = "striate ensemble runs/a runs/b runs/c --out ensemble.safetensors"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help=f"{MODEL}; two or more, of any networks")
    parser.add_argument("--out", metavar="FILE", required=True, help="the model file to write, .safetensors")
    parser.add_argument("--weights", metavar="W,W,...", help="a positive number for each model (default: equal)")
    parser.add_argument(
        "--data", help=f"labelled images to evaluate on (default: the held-out ones of a shared split): {SOURCES}"
    )
    parser.add_argument(
        "--part", choices=["train", "val", "test"], default="", help="default: the held-out part, or all images"
    )
    parser.add_argument("--engine", choices=["auto", "openvino", "torch"], default="auto", help="inference engine")
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.ensemble import ensemble as job

    done = job(
        chosen.models,
        chosen.out,
        data=chosen.data,
        weights=_numbers(chosen.weights),
        part=chosen.part,
        engine=chosen.engine,
        progress=progress_of(chosen),
    )
    return Answer("\n".join(_lines(done)), done.as_dict())


def _numbers(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(one) for one in text.split(",")]
    except ValueError:
        raise RequestError(f"--weights takes a number for each model, such as 1,2,1, not {text!r}") from None


def _lines(done: Ensembled) -> list[str]:
    members = done.ensemble.members
    lines = [f"Wrote {printable(str(done.path))}: {len(members)} networks ({done.ensemble.net})"]
    if found := done.evaluation:
        metric = found.evaluation.task.metric
        for name, net, one in zip(done.names, done.ensemble.nets, found.members, strict=True):
            lines.append(f"  {metric.text(one.score):>8}  {net}  {printable(name)}")
        lines += found.evaluation.lines()
        lines.append(f"over the mean member: {found.over_mean.line()}")
        lines.append(f"over the member that is best on these images: {found.over_best.line()}")
    return [*lines, *map(printable, done.notes)]
