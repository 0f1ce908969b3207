"""`striate evaluate`."""

from __future__ import annotations

import argparse
from typing import Any

from striate.cli.answer import MODEL, SOURCES, Answer, engine_options, own_net_option, terminal_progress
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
    parser.add_argument("--ten-crop", action="store_true", help="the mean of ten views an image: ten times the work")
    engine_options(parser)
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.evaluate import evaluate as job

    done = job(
        chosen.model,
        chosen.data,
        part=chosen.part,
        ten_crop=chosen.ten_crop,
        engine=chosen.engine,
        precision=chosen.precision,
        progress=terminal_progress(),
    )
    facts = done.as_dict()
    rows: dict[str, dict[str, Any]] = facts.get("per_class") or facts.get("per_label") or {}
    width = max((len(printable(name)) for name in rows), default=0)
    shown = [f"  {printable(name):{width}}  {_row(row)}" for name, row in rows.items()]
    return Answer("\n".join([*done.measured.lines(), *shown, done.audit.last_line()]), facts)


def _row(row: dict[str, Any]) -> str:
    from striate.metrics import percent

    if "recall" in row and "average_precision" not in row:
        low, high = row["interval"]
        return f"{percent(row['recall'])} of {row['count']:,} (95 % interval {percent(low)} to {percent(high)})"
    ranked = row["average_precision"]
    return f"{row['count']:,} images, average precision {'-' if ranked is None else percent(ranked)}"
