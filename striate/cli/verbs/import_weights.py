"""`striate import`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from striate.cli.answer import Answer, progress_of
from striate.weights.libraries import LIBRARIES

if TYPE_CHECKING:
    from striate.jobs.import_net import ImportedNet

HELP = "convert another library's network or weights to a model file"
EXAMPLE = "striate import lenet.prototxt --weights lenet.caffemodel --pixels 0..1 --out lenet.safetensors"

WITHOUT_NAMES = ("lasagne", "lasagne-dnn", "theano")  # libraries whose weights are arrays in order


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument(
        "file", metavar="FILE",
        help="a network: .keras, .h5, .prototxt, MXNet's or TensorFlow.js's .json, .t7, .net, Deeplearning4j's .zip or "
        ".onnx; or weights for --net: .safetensors, .pth, .pt, .th, .caffemodel, .weights, .h5, .npz or .pkl",
    )  # fmt: skip
    parser.add_argument(
        "--weights", metavar="FILE", help="of a network whose weights are in another file: .caffemodel, .params"
    )
    parser.add_argument(
        "--pixels", default="", metavar="WORDS",
        help="how images become numbers: 0..255, 0..1, --pixels=-1..1, torch or caffe (means of ImageNet), or mean=... "
        "std=... on the scale 0..255, and bgr, crop, squash, centre or bicubic; such as 'mean=104,117,123 bgr'",
    )  # fmt: skip
    parser.add_argument(
        "--input", type=int, nargs=3, metavar=("CHANNELS", "HEIGHT", "WIDTH"),
        help="shape of an image, for a network that does not say it",
    )  # fmt: skip
    parser.add_argument(
        "--net", help="of weights alone: the network that they are for, as 'striate nets' lists them, or a net file"
    )
    parser.add_argument(
        "--from",
        dest="source",
        choices=[*LIBRARIES, *WITHOUT_NAMES],
        help="of weights alone: the library that they are from",
    )
    parser.add_argument(
        "--peer", default="", metavar="NAME", help="the library's own name of the network, such as tf_efficientnet_b0"
    )
    parser.add_argument("--out", metavar="MODEL", help="the model file to write, .safetensors")
    parser.add_argument(
        "--keep", action="store_true", help="also save it in the cache, so that --net NAME finds its weights"
    )
    parser.add_argument("--classes", metavar="FILE", help="class names, one per line, in order")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from pathlib import Path

    from striate.errors import RequestError
    from striate.jobs.import_weights import read_classes

    classes = read_classes(Path(chosen.classes)) if chosen.classes else None
    if (chosen.net is None) != (chosen.source is None):
        raise RequestError("weights alone are imported with both: --net NET --from LIBRARY")
    if chosen.net is None:
        return _network(chosen, classes)
    if chosen.source in WITHOUT_NAMES:
        return _ordered(chosen, classes)
    return _weights(chosen, classes)


def _network(chosen: argparse.Namespace, classes: list[str] | None) -> Answer:
    """A network with its weights."""
    from striate.errors import RequestError
    from striate.jobs.import_net import import_net

    if chosen.out is None or chosen.keep:
        raise RequestError("a network is imported to a model file: --out MODEL.safetensors, without --keep")
    done = import_net(
        chosen.file,
        out=chosen.out,
        pixels=chosen.pixels,
        weights=chosen.weights,
        shape=tuple(chosen.input) if chosen.input else None,
        classes=classes,
        progress=progress_of(chosen),
    )
    return _told(done)


def _ordered(chosen: argparse.Namespace, classes: list[str] | None) -> Answer:
    """Arrays in order for a network that is named."""
    from striate.errors import RequestError
    from striate.jobs.import_ordered import import_ordered

    if chosen.out is None or chosen.keep or chosen.weights:
        raise RequestError(
            "such weights are imported to a model file: --out MODEL.safetensors, without --keep and --weights"
        )
    done = import_ordered(
        chosen.file,
        net=chosen.net,
        source=chosen.source,
        out=chosen.out,
        pixels=chosen.pixels,
        shape=tuple(chosen.input) if chosen.input else None,
        classes=classes,
    )
    return _told(done)


def _told(done: ImportedNet) -> Answer:
    from striate.errors import printable

    pixels, path = done.model.pixels, printable(str(done.path))
    shape = " x ".join(map(str, (pixels.channels, pixels.height, pixels.width)))
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (pixels.mean, pixels.std))
    lines = [
        f"Wrote {path}: of {done.framework}, {len(done.model.classes):,} classes, images of {shape}.",
        f"Input = (pixel - {mean}) / {std}, as named by --pixels.",
        *(f"Note: {printable(note)}." for note in done.notes),
        f"Next: striate evaluate {path} PHOTOS/, which hints where another scale does better",
    ]
    return Answer("\n".join(lines), done.as_dict())


def _weights(chosen: argparse.Namespace, classes: list[str] | None) -> Answer:
    """A checkpoint for a network of the catalogue."""
    from striate.jobs.import_weights import import_weights as job

    done = job(
        chosen.file,
        net=chosen.net,
        source=chosen.source,
        peer=chosen.peer,
        out=chosen.out,
        keep=chosen.keep,
        classes=classes,
        progress=progress_of(chosen),
    )
    if done.published:
        known = f"It is the published file {done.published.file}"
        known += f", with {done.published.top1:.2f} % top-1 as published." if done.published.top1 else "."
    else:
        known = "Its checksum matches no known published file; the default preprocessing is used."
    path = done.paths[0]
    start = chosen.net if chosen.keep else path
    then = " --out masks" if done.model.task.masks else f", or striate train photos/ --net {start}"
    lines = [
        f"Wrote {' and '.join(map(str, done.paths))}: {done.model.net}, {len(done.model.classes):,} classes.",
        known,
        f"Next: striate predict {path} PHOTO{then}",
    ]
    return Answer("\n".join(lines), done.as_dict())
