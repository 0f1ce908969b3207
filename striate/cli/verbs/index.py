"""`striate index`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer, net_with_weights, progress_of
from striate.errors import printable

HELP = "index photographs, to search them by image"
EXAMPLE = "striate index photos/ --out photos.index"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("photos", nargs="*", metavar="photo", help="image files, or folders of them at any depth")
    parser.add_argument("--out", metavar="FILE", required=True, help="the index to write, or to change")
    parser.add_argument(
        "--net", help="network with weights, model file or run folder (default: the backbone that training starts from)"
    )
    parser.add_argument(
        "--weights", metavar="LIBRARY", help="this library's weights of --net, which 'striate fetch' has brought"
    )
    parser.add_argument("--add", action="store_true", help="add to the index that is there, with its model")
    parser.add_argument(
        "--remove",
        nargs="+",
        default=[],
        metavar="PHOTO",
        help="remove these photographs, or folders of them, from the index that is there",
    )
    parser.add_argument("--engine", choices=["auto", "openvino", "torch"], default="auto", help="inference engine")


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.data.audit.findings import set_aside_findings
    from striate.jobs.index import index as job
    from striate.jobs.reporting.findings import finding_lines

    done = job(
        chosen.photos,
        out=chosen.out,
        net=net_with_weights(chosen) if chosen.weights else chosen.net,
        add=chosen.add,
        remove=chosen.remove,
        engine=chosen.engine,
        progress=progress_of(chosen),
    )
    lines = [done.words(), f"Index  {printable(chosen.out)}"]
    lines += [f"Left out: {line}" for line in finding_lines(set_aside_findings(done.set_aside))]
    return Answer("\n".join(lines), done.as_dict())
