"""`striate import`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer, progress_of
from striate.weights.libraries import LIBRARIES

HELP = "convert another library's weights to a model file"
EXAMPLE = "striate import resnet18-f37072fd.pth --net resnet18 --from torchvision --out resnet18.safetensors"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    endings = ".safetensors, .pth, .pt, .th, .caffemodel, .weights or .h5"
    parser.add_argument("file", metavar="FILE", help=f"checkpoint: {endings}")
    parser.add_argument("--net", required=True, help="network, as 'striate nets' lists them")
    parser.add_argument(
        "--from",
        dest="source",
        required=True,
        choices=list(LIBRARIES),
        help="library that the weights are from",
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

    from striate.jobs.import_weights import import_weights as job
    from striate.jobs.import_weights import read_classes

    classes = read_classes(Path(chosen.classes)) if chosen.classes else None
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
    lines = [
        f"Wrote {' and '.join(map(str, done.paths))}: {done.model.net}, {len(done.model.classes):,} classes.",
        known,
        f"Next: striate predict {path} PHOTO, or striate train photos/ --net {chosen.net if chosen.keep else path}",
    ]
    return Answer("\n".join(lines), done.as_dict())
