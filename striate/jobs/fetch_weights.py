"""Fetch weights: a library's published weights of a network, downloaded or copied, checked and kept as a model file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from striate.data.sources.fetching import copy, download
from striate.data.sources.originals import Original
from striate.errors import RequestError, nearest, unknown
from striate.jobs.import_weights import import_weights
from striate.nets.catalog import entry
from striate.progress import Progress
from striate.reading import given_path
from striate.storage import cache_root
from striate.weights.imported import fetched_path, imported_path
from striate.weights.keys import PublishedRow
from striate.weights.libraries import LIBRARIES, Library
from striate.weights.peers import Offer, check_offered, offered, sources_of


@dataclass(frozen=True)
class FetchedWeights:
    """A library's weights on this machine. path: of the model file. top1: in percent, as published; 0: not stated."""

    net: str
    library: str
    name: str
    path: Path
    licence: str
    top1: float

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        facts = {"net": self.net, "library": self.library, "name": self.name, "path": str(self.path)}
        return {**facts, "licence": self.licence, "published_top1": self.top1 or None}


@dataclass(frozen=True)
class _Choice:
    """A published file and where it is taken from: a folder or file, or addresses."""

    offer: Offer
    row: PublishedRow
    place: Path | None
    addresses: tuple[str, ...]

    @property
    def library(self) -> Library:
        return self.offer.library

    @property
    def licence(self) -> str:
        return self.row.licence or self.library.licence


def fetch_weights(
    net: str, *, source: str | os.PathLike[str] = "", peer: str = "", progress: Progress | None = None
) -> FetchedWeights:
    """Bring a library's published weights of `net`, and keep them as a model file in the cache.

    source: a library's name; or a folder, a file or a mirror's address that has a library's published file; by default
    the first library that publishes weights of the network. peer: the library's own name of the weights, where it has
    several. The licence is told before anything is downloaded. Without other weights, they become the network's own.
    Raises RequestError for a network without published weights, or a file that is none of them; WorkError if the
    download failed, which is resumed the next time.
    """
    progress = progress or Progress()
    check_offered(entry(net).name)
    choice = _chosen(net, os.fspath(source), peer)
    row, library = choice.row, choice.library
    told = f", {row.top1:.2f} % top-1 as published" if row.top1 else ""
    progress.say(f"{net}: {library.title}'s {row.peer}{told}; licence: {choice.licence}.")
    waiting = cache_root() / "weights" / ".fetching" / f"{net}.{library.name}"
    file = _brought(choice, waiting, progress)
    path = fetched_path(net, library.name)
    import_weights(
        file,
        net=net,
        source=library.name,
        peer=row.peer,
        out=path,
        keep=not imported_path(net).is_file(),
        progress=progress,
    )
    shutil.rmtree(waiting, ignore_errors=True)
    return FetchedWeights(net, library.name, row.peer, path, choice.licence, row.top1)


def _chosen(net: str, source: str, peer: str) -> _Choice:
    """The published file to bring. Raises RequestError if there is none."""
    offers = _offers(net, source, peer)
    if source in LIBRARIES or not source:
        return _of_library(net, offers)
    if source.lower().startswith(("http://", "https://")):
        return _of_mirror(source, offers)
    return _of_folder(net, source, offers)


def _offers(net: str, source: str, peer: str) -> list[Offer]:
    """What the named library, or else every library, publishes of the network; only weights named `peer` if given."""
    if source in LIBRARIES:
        return [offered(net, source, peer)]
    offers = [offered(net, name) for name in sources_of(net)]
    if not offers:
        raise RequestError(f"no library whose weights can be read publishes any of {net}")
    if not peer:
        return offers
    known = dict.fromkeys(name for offer in offers for row in offer.rows for name in row.names)
    if peer not in known:
        raise unknown(f"weights of {net}", peer, known)
    having = [offer for offer in offers if any(peer in row.names for row in offer.rows)]
    return [offered(net, offer.library.name, peer) for offer in having]


def _of_library(net: str, offers: Sequence[Offer]) -> _Choice:
    """The first weights that have an address."""
    for offer in offers:
        if offer.library.download:
            row = offer.rows[0]
            return _Choice(offer, row, None, (row.address(offer.library.download),))
    first, row = offers[0], offers[0].rows[0]
    raise RequestError(
        f"{first.library.title} has no address for each file: download {row.file} "
        f"({row.address(first.library.address)}) and give it: striate fetch {net} --from FILE"
    )


def _of_mirror(source: str, offers: Sequence[Offer]) -> _Choice:
    """The file that the address names, or else the first one, below it."""
    for offer in offers:
        for row in offer.rows:
            if source.endswith("/" + row.file):
                return _Choice(offer, row, None, (source,))
    row = offers[0].rows[0]
    return _Choice(offers[0], row, None, (f"{source.rstrip('/')}/{row.file}",))


def _of_folder(net: str, source: str, offers: Sequence[Offer]) -> _Choice:
    """The first published file that is in the folder, or that the source is."""
    try:
        place = given_path(source, "--from").expanduser()
    except RuntimeError as error:  # ~somebody who is no user
        raise RequestError(f"--from {source!r}: {error}") from error
    if not place.exists():
        near = nearest(source, LIBRARIES)
        hint = f"did you mean {near[0]!r}?" if near else f"libraries: {', '.join(LIBRARIES)}"
        raise RequestError(f"--from {source!r}: there is no such folder, file or library; {hint}")
    for offer in offers:
        for row in offer.rows:
            if (place / row.file).is_file() or place.name == row.file:
                return _Choice(offer, row, place, ())
    files = ", ".join(row.file for offer in offers for row in offer.rows[:2])
    raise RequestError(f"{source!r} contains no published weights of {net}, such as {files}")


def _brought(choice: _Choice, waiting: Path, progress: Progress) -> Path:
    """The published file, whole and checked, in the folder `waiting`."""
    row = choice.row
    # What a name ends in are the first digits of the checksum. The hub keeps the same weights as another file.
    checked = row.digits and choice.library.algorithm and choice.addresses[:1] != (_hub(choice),)
    checksum = f"{choice.library.algorithm}:{row.digits}" if checked else ""
    name = row.file if checked or choice.place else choice.addresses[0].rpartition("/")[2]
    original = Original(name, choice.addresses, 0, checksum)
    if not checksum:
        progress.say("No checksum of this file is published: its SHA-256 is recorded in the model file.")
    with progress.bar(f"Fetching {row.peer}", 1) as bar:
        if choice.place is not None:
            return copy(original, choice.place, waiting, bar)
        bar.note(urlsplit(choice.addresses[0]).netloc)
        return download(original, waiting, bar)


def _hub(choice: _Choice) -> str:
    """The address at which a library keeps weights under another name than the table's; "" for none."""
    address = choice.row.address(choice.library.download)
    return address if address and not address.endswith("/" + choice.row.file) else ""
