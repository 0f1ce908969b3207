"""`striate evaluate`."""

from __future__ import annotations

import argparse

from striate.cli.answer import MODEL, SOURCES, Answer, engine_options, own_net_option, progress_of, views_option
from striate.errors import printable

HELP = "evaluate a model on labelled images"
EXAMPLE = "striate evaluate run photos/ --part val"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("data", help=SOURCES)
    parser.add_argument(
        "--part", choices=["train", "val", "test"], default="", help="default: the held-out part, or all images"
    )
    views_option(parser)
    engine_options(parser)
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.evaluate import evaluate as job

    done = job(
        chosen.model,
        chosen.data,
        part=chosen.part,
        views=chosen.views,
        engine=chosen.engine,
        precision=chosen.precision,
        calibrate=chosen.calibrate,
        progress=progress_of(chosen),
    )
    facts = done.as_dict()
    rows = done.evaluation.rows()
    width = max((len(printable(name)) for name in rows), default=0)
    shown = [f"  {printable(name):{width}}  {row}" for name, row in rows.items()]
    gained = []
    if done.plain is not None and done.gain is not None:
        plain = done.plain.task.metric.text(done.plain.score)
        gained = [f"averaged over {done.views}: {done.gain.line()} against the plain view's {plain}"]
    hints = [f"Hint: {printable(done.hint)}."] if done.hint else []
    return Answer("\n".join([*done.evaluation.lines(), *gained, *shown, done.audit.last_line(), *hints]), facts)
