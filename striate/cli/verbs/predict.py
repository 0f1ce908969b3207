"""`striate predict`."""

from __future__ import annotations

import argparse

from striate.cli.answer import MODEL, Answer, engine_options, terminal_progress
from striate.errors import printable

HELP = "say what is in image files"
EXAMPLE = "striate predict run/model.safetensors new.jpg"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("files", nargs="+", help="image files, or folders of them")
    engine_options(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.predict import predict as job

    done = job(
        chosen.model, chosen.files, engine=chosen.engine, precision=chosen.precision, progress=terminal_progress()
    )
    lines, rows = [], []
    for answer in done.answers:
        order = (-answer.probabilities).argsort()[:3]
        ranked = [(done.classifier.classes[place], float(answer.probabilities[place])) for place in order]
        shown = ", ".join(f"{name} {100 * share:.1f} %" for name, share in ranked)
        lines.append(f"{printable(answer.source)}: {shown}")
        full = dict(zip(done.classifier.classes, map(float, answer.probabilities), strict=True))
        top = full if len(full) <= 100 else dict(ranked)
        rows.append(
            {"file": answer.source, "label": answer.label, "probability": answer.probability, "probabilities": top}
        )
    lines += [f"not predicted: {printable(why)}" for _, why in done.failed]
    failed = [{"file": path, "why": why} for path, why in done.failed]
    # A wrong request when nothing could be used; failed work when some was lost.
    code = 0 if not done.failed else (1 if done.answers else 2)
    return Answer("\n".join(lines), {"predictions": rows, "failed": failed}, code)
