"""`striate predict`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from striate.cli.answer import MODEL, Answer, engine_options, terminal_progress
from striate.errors import printable

if TYPE_CHECKING:
    from striate.inference.predictor import Prediction

HELP = "predict what is in image files"
EXAMPLE = "striate predict run/model.safetensors new.jpg"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("files", nargs="+", help="image files, or folders of them")
    engine_options(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.data.audit.audit import set_aside_line
    from striate.jobs.predict import predict as job

    done = job(
        chosen.model, chosen.files, engine=chosen.engine, precision=chosen.precision, progress=terminal_progress()
    )
    names, several = done.predictor.classes, done.predictor.model.task.kind == "labels"
    lines = [f"{printable(prediction.source)}: {_shown(prediction, names, several)}" for prediction in done.predictions]
    lines += [f"not predicted: {printable(why)}" for _, why in done.failed]
    rows = [_row(prediction, names) for prediction in done.predictions]
    failed = [{"file": path, "why": why} for path, why in done.failed]
    if done.set_aside:
        lines.append(set_aside_line(done.set_aside))
    # A wrong request when nothing could be used; failed work when some was lost.
    code = 0 if not done.failed else (1 if done.predictions else 2)
    aside = [{"path": one.path, "kind": one.kind, "why": one.why} for one in done.set_aside]
    return Answer("\n".join(lines), {"predictions": rows, "failed": failed, "set_aside": aside}, code)


def _ranked(prediction: Prediction, names: tuple[str, ...], limit: int) -> list[tuple[str, float]]:
    order = (-prediction.probabilities).argsort()[:limit]
    return [(names[place], float(prediction.probabilities[place])) for place in order]


def _shown(prediction: Prediction, names: tuple[str, ...], several: bool) -> str:
    if prediction.value is not None:
        words = f"{names[0]} {prediction.value:.4g}"
    else:
        words = ", ".join(f"{printable(name)} {100 * share:.1f} %" for name, share in _ranked(prediction, names, 3))
        words = f"{printable(prediction.label)} ({words})" if several else words
    return f"{prediction.label}, otherwise {words}" if prediction.in_distribution is False else words


def _row(prediction: Prediction, names: tuple[str, ...]) -> dict[str, Any]:
    row: dict[str, Any] = {"file": prediction.source, "label": prediction.label}
    if prediction.value is not None:
        row |= {"name": names[0], "value": prediction.value}
    else:
        every = dict(zip(names, map(float, prediction.probabilities), strict=True))
        row |= {"confidence": prediction.confidence}
        row |= {"probabilities": every if len(every) <= 100 else dict(_ranked(prediction, names, 3))}
    if prediction.in_distribution is not None:
        row |= {"in_distribution": prediction.in_distribution, "distance": prediction.distance}
    return row
