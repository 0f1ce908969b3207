"""Automatic packs in the cache, so that no epoch after the first decodes an image."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path

from striate.data.audit.looking import Looked, Memory, Record, look
from striate.data.pack.layout import FORMAT
from striate.data.pack.source import SUFFIX, PackSource, open_pack
from striate.data.pack.writing import alone, made_line, write_looked
from striate.data.sources.base import Item, Source
from striate.errors import RequestError
from striate.pixels import Images, Pixels
from striate.progress import Progress
from striate.storage import cache_root, sha256_of

KEPT_DAYS = 60  # until an unused pack is removed


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

    The pack is created if there is none, and updated if an original was changed, added or removed; images of unchanged
    originals are copied. Files that `memory` (default: the cache on disk) does not list as unchanged are read and
    hashed; images that are packed already are not decoded. Normalisation (mean and std) does not affect the pack.
    Errors as in `write_pack`.
    """
    progress, memory = progress or Progress(), memory or Memory(source)
    if isinstance(source, PackSource) and _geometry(source.pixels) == _geometry(pixels):
        return _of_pack(source)
    path = automatic_path(memory, pixels)
    with alone(path, progress):
        old = _old(path, progress)
        ahead: list[Looked] = []
        if old is None:
            looked = look(source, pixels, memory=memory)
        else:
            looked = _against(old, source, pixels, memory)
            ahead, equal = _compared(old, looked, progress)
            if equal:
                _used(path)
                return Packed(old.images, [(one.item, one.record) for one in ahead], path)
            progress.say(f"The images of {source.name} have changed since they were packed; packing them again")
        made = write_looked(path, source, pixels, progress, lambda start: islice(chain(ahead, looked), start, None))
    progress.say(made_line(made))
    _forget_unused(path.parent, progress)
    return Packed(made.images, [(entry.item, entry.record) for entry in made.entries], path)


def _of_pack(source: PackSource) -> Packed:
    """A pack of the right size, used directly; without items that were removed from it."""
    records = [entry.record for entry in source.entries if not entry.record.problem]
    places = [source.places[item.key] for item in source.items]
    images = source.images if places == list(range(len(source.images))) else source.images[places]
    pairs = [(item, records[place]) for item, place in zip(source.items, places, strict=True)]
    return Packed(images, pairs, source.path)


def automatic_path(memory: Memory, pixels: Pixels) -> Path:
    """The path of `automatic_pack` for images of this size, of the source of this cache of records."""
    facts = json.dumps([FORMAT, memory.path.name, _geometry(pixels)])
    return cache_root() / "packs" / f"{sha256_of(facts.encode())[:32]}{SUFFIX}"


def _used(path: Path) -> None:
    with contextlib.suppress(OSError):  # it only affects when the pack is removed
        os.utime(path)


def _forget_unused(folder: Path, progress: Progress) -> None:
    """Remove packs that no run has used for a long time; they can be created again."""
    oldest = time.time() - KEPT_DAYS * 86_400
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):  # another process was faster, or holds it
            if path.stat().st_mtime < oldest:
                size = path.stat().st_size
                path.unlink()
                progress.say(f"Removed a pack that was not used for {KEPT_DAYS} days: {size / 1e6:,.0f} MB")


def _against(old: PackSource, source: Source, pixels: Pixels, memory: Memory) -> Iterator[Looked]:
    """The results of `look`, with crops from an earlier pack of this size for unchanged originals."""
    known = {entry.record.digest: entry.record for entry in old.entries if entry.record.digest}
    usable = [entry.record.digest for entry in old.entries if not entry.record.problem]
    places = {digest: place for place, digest in enumerate(usable)}
    memory.records |= known  # a known record without a wanted crop is not decoded
    for one in look(source, pixels, wanted=lambda digest: digest not in known, memory=memory):
        packed = one.crop is None and not one.record.problem
        yield dataclasses.replace(one, crop=old.images[places[one.record.digest]]) if packed else one


def _compared(old: PackSource, looked: Iterator[Looked], progress: Progress) -> tuple[list[Looked], bool]:
    """The results up to the first that differs from the pack, and whether none differs."""
    ahead: list[Looked] = []
    with progress.bar("Comparing with the pack", len(old.entries)) as bar:
        for one, entry in zip_longest(looked, old.entries):
            if one is not None:
                ahead.append(one)
            if one is None or entry is None:
                return ahead, False
            before, now = entry.record, one.record
            if (entry.item.key, before.digest, before.problem) != (one.item.key, now.digest, now.problem):
                return ahead, False
            bar.advance()
    return ahead, True


def _geometry(pixels: Pixels) -> list[object]:
    """The settings that determine the packed bytes."""
    return [pixels.height, pixels.width, pixels.channels, pixels.rule, pixels.fraction, pixels.filter, pixels.fill]


def _old(path: Path, progress: Progress) -> PackSource | None:
    """The pack at this path, if it is complete."""
    if not path.exists():
        return None
    try:
        return open_pack(path, progress=progress)
    except RequestError as error:
        progress.say(f"{error}: this is done now")
        return None
