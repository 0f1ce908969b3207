"""Packs that are made by themselves and kept in the cache, so that no epoch after the first decodes an image."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL

from striate.data.looking import Looked, Memory, Record, look
from striate.data.pack import SUFFIX, PackSource, open_pack
from striate.data.pack_layout import FORMAT
from striate.data.packing import alone, current_digests, made_line, write_looked
from striate.data.sources import Item, Source
from striate.errors import RequestError
from striate.pixels import Images, Pixels
from striate.progress import Progress
from striate.storage import cache_root, sha256_of


@dataclass(frozen=True, eq=False)
class Packed:
    """images: uint8 [N, H, W, C], mapped, of the usable ones of `pairs`, in order. pairs: every item of the source."""

    images: Images
    pairs: list[tuple[Item, Record]]
    path: Path


def automatic_pack(
    source: Source, pixels: Pixels, *, progress: Progress | None = None, memory: Memory | None = None
) -> Packed:
    """The images of `source` as `pixels` crops them, byte for byte what `look` gives, from a pack in the cache.

    The pack is made where there is none, and made again where an original was changed, added or removed; images whose
    originals are the same are taken over. Originals are read and hashed for this, not decoded. Normalisation (mean and
    std) makes no other pack. Errors as in `write_pack`.
    """
    progress = progress or Progress()
    if isinstance(source, PackSource) and _geometry(source.pixels) == _geometry(pixels):
        usable = [(entry.item, entry.record) for entry in source.entries if not entry.record.problem]
        return Packed(source.images, usable, source.path)
    path = automatic_path(source, pixels)
    with alone(path, progress):
        old = _old(path, progress)
        digests = current_digests(source, source.items, progress) if old else []
        if old is not None:
            keys = [item.key for item in source.items]
            if list(zip(keys, digests, strict=True)) == [(e.item.key, e.record.digest) for e in old.entries]:
                records = [entry.record for entry in old.entries]
                return Packed(old.images, list(zip(source.items, records, strict=True)), path)
            progress.say(f"The images of {source.name} have changed since they were packed; packing them again")

        def rest(start: int) -> Iterator[Looked]:
            items = source.items[start:]
            if old is None:
                return look(source, pixels, items=items, memory=memory)
            return _taken_over(old, items, digests[start:], lambda new: look(source, pixels, items=new, memory=memory))

        made = write_looked(path, source, pixels, progress, rest)
    progress.say(made_line(made))
    return Packed(made.images, [(entry.item, entry.record) for entry in made.entries], path)


def automatic_path(source: Source, pixels: Pixels) -> Path:
    """Where `automatic_pack` keeps this source's images of this size."""
    facts = json.dumps([FORMAT, source.identity, _geometry(pixels), PIL.__version__])
    return cache_root() / "packs" / f"{sha256_of(facts.encode())[:32]}{SUFFIX}"


def _taken_over(
    old: PackSource, items: Sequence[Item], digests: Sequence[str], looking: Callable[[list[Item]], Iterator[Looked]]
) -> Iterator[Looked]:
    """What `look` gives for the items, out of an earlier pack of this size where the original is the same."""
    known = {entry.record.digest: entry.record for entry in old.entries if entry.record.digest}
    usable = [entry.record.digest for entry in old.entries if not entry.record.problem]
    places = {digest: place for place, digest in enumerate(usable)}
    fresh = looking([item for item, digest in zip(items, digests, strict=True) if digest not in known])
    for item, digest in zip(items, digests, strict=True):
        record = known.get(digest)
        if record is None:
            yield next(fresh)
        else:
            yield Looked(item, record, None if record.problem else old.images[places[digest]])


def _geometry(pixels: Pixels) -> list[object]:
    """What decides the packed bytes."""
    return [pixels.height, pixels.width, pixels.channels, pixels.rule, pixels.fraction, pixels.filter, pixels.fill]


def _old(path: Path, progress: Progress) -> PackSource | None:
    """The pack that lies there, if it is whole."""
    if not path.exists():
        return None
    try:
        return open_pack(path, progress=progress)
    except RequestError as error:
        progress.say(f"{error}: this is done now")
        return None
