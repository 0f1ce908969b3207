"""`striate style`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer, progress_of
from striate.errors import RequestError, printable

HELP = "paint a photograph as a painting is"
EXAMPLE = "striate style photo.jpg painting.jpg --out painted.png --size 384"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("content", nargs="?", help="the photograph")
    parser.add_argument("style", nargs="?", help="the painting; not for --fast")
    parser.add_argument(
        "--out",
        metavar="FILE",
        required=True,
        help="the picture to write (.png); of --train, the weights (.safetensors)",
    )
    parser.add_argument("--strength", type=float, help="of the style against the content (default: 1)")
    parser.add_argument(
        "--size", type=int, help="longer side in pixels (default: 256; with --fast, as the photograph); in proportion"
    )
    parser.add_argument("--keep-colours", action="store_true", help="the photograph's colours, the painting's strokes")
    parser.add_argument("--seed", type=int, help="of the noise at the start, or of the training (default: 0)")
    parser.add_argument("--fast", metavar="WEIGHTS", help="a network trained for one painting: one pass, any size")
    parser.add_argument("--train", metavar="PAINTING", help="train such a network for this painting")
    parser.add_argument("--photos", metavar="FOLDER", nargs="+", help="photographs to train it on")
    parser.add_argument("--steps", type=int, help="of its training (default: 1000)")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    if chosen.train:
        return _train(chosen)
    if chosen.photos or chosen.steps is not None:
        raise RequestError("--photos and --steps are of --train, which names the painting to train a network for")
    if not chosen.content:
        raise RequestError("name the photograph to paint, or a painting to train a network for (--train)")
    from striate.jobs.style import style as job

    done = job(
        chosen.content,
        chosen.style,
        out=chosen.out,
        fast=chosen.fast,
        strength=chosen.strength,
        size=chosen.size,
        keep_colours=chosen.keep_colours,
        seed=chosen.seed,
        progress=progress_of(chosen),
    )
    rows, columns = done.picture.shape[:2]
    left = "".join(f", {name} loss {value:.3f}" for name, value in done.losses)
    return Answer(
        f"Picture  {printable(str(done.path))}, {columns} x {rows} pixels, {done.seconds:.1f} s{left}", done.as_dict()
    )


def _train(chosen: argparse.Namespace) -> Answer:
    if chosen.content or chosen.fast or chosen.size or chosen.keep_colours:
        raise RequestError("--train takes --photos, --steps, --strength and --seed; paint with its weights by --fast")
    if not chosen.photos:
        raise RequestError("--train needs photographs to train on: --photos FOLDER")
    from striate.data.audit.findings import set_aside_findings
    from striate.jobs.reporting.findings import finding_lines
    from striate.jobs.style import train_style

    done = train_style(
        chosen.train,
        chosen.photos,
        out=chosen.out,
        strength=1.0 if chosen.strength is None else chosen.strength,
        steps=chosen.steps,
        seed=chosen.seed or 0,
        progress=progress_of(chosen),
    )
    how = f"{done.steps:,} steps on {done.photographs:,} photographs, {done.seconds:.1f} s"
    lines = [
        f"Weights  {printable(str(done.path))}, {how}",
        *(f"Left out: {line}" for line in finding_lines(set_aside_findings(done.set_aside))),
    ]
    return Answer("\n".join(lines), done.as_dict())
