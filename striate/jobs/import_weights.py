"""Import: a checkpoint of another library becomes a model file, or nothing is written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import RequestError, WorkError
from striate.model import Model, write
from striate.nets.catalog import entry
from striate.progress import Progress
from striate.tasks import Classification
from striate.weights.checkpoints import Checkpoint, read_checkpoint
from striate.weights.classes import CIFAR10, imagenet_names
from striate.weights.imported import imported_path
from striate.weights.keys import PublishedRow
from striate.weights.peers import Offer, classifier_of, converted, offered, sources_of


@dataclass(frozen=True, eq=False)
class Imported:
    """A checkpoint that is a model now. paths: the files written. published: what is known of the file, if it is known.

    what: what the file was, in words.
    """

    paths: tuple[Path, ...]
    model: Model
    what: str
    published: PublishedRow | None

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "paths": [str(path) for path in self.paths],
            "net": self.model.net,
            "options": self.model.options,
            "classes": len(self.model.classes),
            "pixels": self.model.pixels.as_dict(),
            "what": self.what,
            "published": self.published.file if self.published else None,
            **self.model.training,
        }


def import_weights(
    file: str | os.PathLike[str],
    *,
    net: str,
    source: str,
    out: str | os.PathLike[str] | None = None,
    keep: bool = False,
    classes: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Make a model file of another library's checkpoint for the network `net`.

    `source`: "torchvision", "timm", "pytorchcv", "caffe" or "akamaster". `out`: the model file; without it, and with
    `keep`, the model is kept in the cache, where the name `net` stands for its weights from then on. `classes`: their
    names; by default ImageNet's where there are a thousand, CIFAR-10's for its networks, else numbers.
    Nothing is downloaded and nothing in the file is run. Raises RequestError, and writes nothing, where the weights are
    not those of `net`.
    """
    progress = progress or Progress()
    entry(net)
    offer = offered(net, source)
    paths = _places(out, net, Path(file), keep=keep)
    checkpoint = read_checkpoint(Path(file))
    progress.say(f"{os.fspath(file)} is {checkpoint.what}.")
    try:
        arrays, count = converted(checkpoint.arrays, net, offer.key_map)
    except WorkError as error:
        hint = "".join(f"; the names are those of --from {one}" for one in _fitting(checkpoint, net, source))
        raise RequestError(f"{os.fspath(file)!r}: {error}{hint}") from error
    published = offer.row(checkpoint.checksums)
    pixels = offer.pixels(published)
    options = {
        "classes": count,
        "in_channels": 3,
        "input_size": [pixels.height, pixels.width],
        "options": dict(offer.key_map.options),
    }
    last = classifier_of({key: array.shape for key, array in arrays.items()})
    model = Model(
        net,
        options,
        Classification(_names(count, offer, classes)),
        pixels,
        arrays,
        head=last if last == "head" else "",
        strategy="imported",
        training=_provenance(Path(file), offer, published, checkpoint),
    )
    for path in paths:
        write(path, model)
    return Imported(paths, model, checkpoint.what, published)


def _fitting(checkpoint: Checkpoint, net: str, refused: str) -> Iterator[str]:
    """The other libraries by whose rules the checkpoint does become `net`."""
    for library in sources_of(net):
        with contextlib.suppress(WorkError):
            if library != refused:
                converted(checkpoint.arrays, net, offered(net, library).key_map)
                yield library


def _places(out: str | os.PathLike[str] | None, net: str, file: Path, *, keep: bool) -> tuple[Path, ...]:
    """The files to write. Raises RequestError where there is none, or one would be the checkpoint itself."""
    paths = [Path(out)] if out else []
    if keep:
        paths.append(imported_path(net))
    if not paths:
        raise RequestError("say where the model goes: --out MODEL.safetensors, or --keep")
    if paths[0].suffix != ".safetensors":
        raise RequestError(f"a model file ends in .safetensors, unlike {str(paths[0])!r}")
    for path in paths:
        if path.exists() and file.exists() and path.samefile(file):
            raise RequestError(f"{str(path)!r} is what would be read, and is not written over; name another file")
    return tuple(paths)


def _names(count: int, offer: Offer, classes: Sequence[str] | None) -> tuple[str, ...]:
    if classes is not None:
        if len(classes) != count:
            raise RequestError(f"the weights tell {count} classes apart, and {len(classes)} names are given")
        return tuple(classes)
    if count == 1000:
        return imagenet_names()
    if count == len(CIFAR10) and offer.rows[0].size == 32:
        return CIFAR10
    return tuple(f"class {number}" for number in range(count))


def _provenance(file: Path, offer: Offer, published: PublishedRow | None, checkpoint: Checkpoint) -> dict[str, Any]:
    library = offer.library
    facts: dict[str, Any] = {
        "weights": file.name,
        "library": library.title,
        "licence": library.licence,
        "sha256": checkpoint.checksums["sha256"],
    }
    if published is not None:
        facts["address"] = library.address.format(file=published.file, peer=published.peer)
        if published.top1:
            facts["published_top1"] = published.top1
    return facts
