"""`striate export`."""

from __future__ import annotations

import argparse

from striate.cli.answer import MODEL, Answer, own_net_option, progress_of

HELP = "write a graph that runs without Striate"
FORMATS = ("onnx", "openvino", "tflite", "keras", "caffe", "mxnet", "tfjs", "savedmodel")
EXAMPLE = "striate export run --to onnx"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("model", help=MODEL)
    parser.add_argument("--to", choices=FORMATS, required=True, help="the format; see docs/frameworks.md")
    parser.add_argument("--out", metavar="FILE", help="file to write (default: next to the model)")
    parser.add_argument(
        "--images", metavar="DATA", help="images to compare predictions on (default: the training data)"
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "int8"],
        default="float32",
        help="int8: calibrated and checked on labelled images first",
    )
    own_net_option(parser)


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.export import export as job

    done = job(
        chosen.model,
        to=chosen.to,
        out=chosen.out,
        images=chosen.images,
        precision=chosen.precision,
        progress=progress_of(chosen),
    )
    images = f"{'cropped' if done.notes else 'uint8 RGB'} images [N, height, width, channels]"
    text = (
        f"Wrote {done.path}: {images} in, {' and '.join(done.outputs)} out.\n"
        f"Checked against striate predict on {done.images} images: {100 * done.agreement:.1f} % of the predictions "
        f"agree; the largest difference is {done.difference:.4f}."
    )
    text += "".join(f"\n- {note}" for note in done.notes)
    if done.int8:
        text += f"\nint8: {done.int8.line()}."
    return Answer(text, done.as_dict())
