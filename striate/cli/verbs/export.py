"""`striate export`."""

from __future__ import annotations

import argparse

from striate.cli.answer import MODEL, Answer, own_net_option, terminal_progress

HELP = "write a graph that runs without Striate"
EXAMPLE = "striate export run --to onnx"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("--to", choices=["onnx", "openvino"], required=True, help="the format")
    parser.add_argument("--out", metavar="FILE", help="file to write (default: next to the model)")
    parser.add_argument(
        "--images", metavar="DATA", help="images to compare predictions on (default: the training data)"
    )
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.export import export as job

    done = job(chosen.model, to=chosen.to, out=chosen.out, images=chosen.images, progress=terminal_progress())
    text = (
        f"Wrote {done.path}: uint8 RGB images [N, height, width, 3] in, {' and '.join(done.outputs)} out.\n"
        f"Checked against striate predict on {done.images} images: {100 * done.agreement:.1f} % of the predictions "
        f"agree; the largest difference is {done.difference:.4f}."
    )
    return Answer(text, done.as_dict())
