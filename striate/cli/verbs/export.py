"""`striate export`."""

from __future__ import annotations

import argparse

from striate.cli.answer import MODEL, Answer, own_net_option, terminal_progress

HELP = "write a graph that runs without Striate"
EXAMPLE = "striate export run --to onnx"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb is given."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("--to", choices=["onnx", "openvino"], required=True, help="the format")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: beside the model)")
    parser.add_argument(
        "--images", metavar="DATA", help="images to compare answers on (default: what it was trained on)"
    )
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.export import export as job

    done = job(chosen.model, to=chosen.to, out=chosen.out, images=chosen.images, progress=terminal_progress())
    text = (
        f"Wrote {done.path}: uint8 RGB images [N, height, width, 3] in, {' and '.join(done.outputs)} out.\n"
        f"On {done.images} images it gives the answers of striate predict: "
        f"they agree on {100 * done.agreement:.1f} %, and differ by {done.difference:.4f} at most."
    )
    return Answer(text, done.as_dict())
