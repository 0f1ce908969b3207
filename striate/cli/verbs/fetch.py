"""`striate fetch`."""

from __future__ import annotations

import argparse

from striate.cli.answer import Answer, progress_of
from striate.errors import RequestError

HELP = "download a named data set, or a network's published weights; no other verb downloads"
EXAMPLE = "striate fetch resnet18 --from torchvision"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument(
        "name",
        metavar="SET_OR_NET",
        help="mnist, fashion-mnist, cifar10, cifar100, hymenoptera or imagenette; or a network: see 'striate nets "
        "--weights'",
    )
    parser.add_argument(
        "--from",
        dest="source",
        default="",
        metavar="SOURCE",
        help="folder or mirror to take the files from; for weights also a library: torchvision, timm, keras, ...",
    )
    parser.add_argument(
        "--peer", default="", metavar="NAME", help="the library's own name of the weights, if it has several"
    )


def run(chosen: argparse.Namespace) -> Answer:
    """The verb."""
    from striate.nets.catalog import entries

    if chosen.name in {net.name for net in entries(tiny=True)}:
        return _weights(chosen)
    from striate.data.sources.named import NAMED
    from striate.jobs.fetch import fetch as job

    if chosen.peer and chosen.name in NAMED:
        raise RequestError(
            f"--peer names a library's weights of a network, and {chosen.name} is a data set: leave it out"
        )
    found = job(chosen.name, source=chosen.source, progress=progress_of(chosen))
    text = (
        f"{found.images:,} images of {found.name}, {found.bytes / 1e6:.1f} MB, are in {found.folder}\n"
        f"Next: striate train {found.name}"
    )
    return Answer(text, found.as_dict())


def _weights(chosen: argparse.Namespace) -> Answer:
    from striate.jobs.fetch_weights import fetch_weights as job

    found = job(chosen.name, source=chosen.source, peer=chosen.peer, progress=progress_of(chosen))
    text = (
        f"{found.library}'s weights of {found.net} ({found.name}) are in {found.path}\n"
        f"Next: striate train photos/ --net {found.net} --weights {found.library}"
    )
    return Answer(text, found.as_dict())
