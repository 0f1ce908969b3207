"""`striate predict`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from striate.cli.answer import MODEL, Answer, engine_options, own_net_option, terminal_progress
from striate.errors import printable

if TYPE_CHECKING:
    from striate.inference.classifier import Prediction

HELP = "say what is in image files"
EXAMPLE = "striate predict run/model.safetensors new.jpg"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("files", nargs="+", help="image files, or folders of them")
    engine_options(parser)
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.predict import predict as job

    done = job(
        chosen.model, chosen.files, engine=chosen.engine, precision=chosen.precision, progress=terminal_progress()
    )
    names, several = done.classifier.classes, done.classifier.model.task.kind == "labels"
    lines = [f"{printable(answer.source)}: {_shown(answer, names, several)}" for answer in done.answers]
    lines += [f"not predicted: {printable(why)}" for _, why in done.failed]
    rows = [_row(answer, names) for answer in done.answers]
    failed = [{"file": path, "why": why} for path, why in done.failed]
    # A wrong request when nothing could be used; failed work when some was lost.
    code = 0 if not done.failed else (1 if done.answers else 2)
    return Answer("\n".join(lines), {"predictions": rows, "failed": failed}, code)


def _ranked(answer: Prediction, names: tuple[str, ...], limit: int) -> list[tuple[str, float]]:
    order = (-answer.probabilities).argsort()[:limit]
    return [(names[place], float(answer.probabilities[place])) for place in order]


def _shown(answer: Prediction, names: tuple[str, ...], several: bool) -> str:
    if answer.value is not None:
        words = f"{names[0]} {answer.value:.4g}"
    else:
        words = ", ".join(f"{printable(name)} {100 * share:.1f} %" for name, share in _ranked(answer, names, 3))
        words = f"{printable(answer.label)} ({words})" if several else words
    return f"{answer.label}, or else {words}" if answer.known is False else words


def _row(answer: Prediction, names: tuple[str, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {"file": answer.source, "label": answer.label}
    if answer.value is not None:
        row |= {"name": names[0], "value": answer.value}
    else:
        every = dict(zip(names, map(float, answer.probabilities), strict=True))
        row |= {"probability": answer.probability}
        row |= {"probabilities": every if len(every) <= 100 else dict(_ranked(answer, names, 3))}
    if answer.known is not None:
        row |= {"known": answer.known, "distance": answer.distance}
    return row
