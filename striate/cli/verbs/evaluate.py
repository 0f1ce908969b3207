"""`striate evaluate`."""

from __future__ import annotations

import argparse

from striate.cli.answer import MODEL, SOURCES, Answer, engine_options, terminal_progress
from striate.errors import printable

HELP = "measure a model on labelled images"
EXAMPLE = "striate evaluate run photos/ --part val"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("data", help=SOURCES)
    parser.add_argument(
        "--part", choices=["train", "val", "test"], default="", help="default: the held-out part, or all"
    )
    engine_options(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.predict import evaluate as job

    done = job(
        chosen.model,
        chosen.data,
        part=chosen.part,
        engine=chosen.engine,
        precision=chosen.precision,
        progress=terminal_progress(),
    )
    lines = [f"Accuracy {done.measured.words()}", f"Balanced accuracy {100 * done.measured.balanced_accuracy:.1f} %"]
    classes = done.as_dict()["classes"]
    width = max(len(printable(name)) for name in classes)
    lines += [
        f"  {printable(name):{width}}  {100 * row['recall']:5.1f} % of {row['count']}" for name, row in classes.items()
    ]
    return Answer("\n".join([*lines, done.audit.last_line()]), done.as_dict())
