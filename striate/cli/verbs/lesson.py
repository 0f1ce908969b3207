"""`striate lesson`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer

HELP = "write a teaching page: one HTML file to try things in, no model needed"
EXAMPLE = "striate lesson convolution --out convolution.html"
WHAT = {
    "convolution": "step through convolution and pooling; what kernels cost",
    "optimizers": "six optimizers on four surfaces, in the lectures' formulas and PyTorch's",
    "scaling": "depth, width and resolution scaled together (EfficientNet)",
    "fields": "what a pixel of a map sees, layer by layer",
    "normalisation": "what batch, layer, instance and group normalisation average over",
    "dropout": "a network with units left out, and the mean over all such networks",
    "paths": "a residual network as a sum over paths",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    listed = "; ".join(f"{name}: {what}" for name, what in WHAT.items())
    parser.add_argument("lesson", metavar="LESSON", choices=list(WHAT), help=listed)
    parser.add_argument("--out", metavar="FILE", help="where to write it (default: LESSON.html)")
    parser.add_argument(
        "--lesions",
        metavar="FILE",
        help="with paths: a CSV file of block,accuracy (0 to 1) without each block, 'none' for the whole network",
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.errors import printable
    from striate.jobs.lesson import lesson, read_lesions

    lesions = read_lesions(chosen.lesions) if chosen.lesions else None
    path = lesson(chosen.lesson, out=chosen.out, lesions=lesions)
    size = path.stat().st_size
    return Answer(f"Page {printable(str(path))} ({round(size / 1000)} kB)", {"page": str(path), "bytes": size})
