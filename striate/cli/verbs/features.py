"""`striate features`."""

from __future__ import annotations

import argparse

from striate.cli.answer import LAYOUT_HELP, LAYOUTS, SOURCES, Answer, net_with_weights, progress_of
from striate.errors import printable

HELP = "write the images as feature vectors of a pretrained network"
EXAMPLE = "striate features photos/ --out features.npz"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("data", help=SOURCES)
    parser.add_argument(
        "--out", metavar="FILE", required=True, help="the file to write: .npz, or .parquet (needs the extra 'parquet')"
    )
    parser.add_argument(
        "--net", help="network with weights, or a model file (default: the backbone that training starts from)"
    )
    parser.add_argument(
        "--weights", metavar="LIBRARY", help="this library's weights of --net, which 'striate fetch' has brought"
    )
    parser.add_argument(
        "--layer",
        metavar="STAGE",
        help="a stage of the network, as 'striate show' lists them, averaged over space (default: the embedding)",
    )
    parser.add_argument("--layout", choices=LAYOUTS, default="auto", help=LAYOUT_HELP)
    parser.add_argument("--engine", choices=["auto", "openvino", "torch"], default="auto", help="inference engine")
    parser.add_argument(
        "--precision", choices=["auto", "float32", "bfloat16"], default="auto", help="auto: as in training"
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.jobs.features import features as job

    done = job(
        chosen.data,
        out=chosen.out,
        net=net_with_weights(chosen) if chosen.weights else chosen.net,
        layer=chosen.layer,
        layout=chosen.layout,
        engine=chosen.engine,
        precision=chosen.precision,
        progress=progress_of(chosen),
    )
    lines = [done.words(), f"File   {printable(chosen.out)}", done.audit.last_line()]
    return Answer("\n".join(lines), {"out": chosen.out, **done.as_dict()})
