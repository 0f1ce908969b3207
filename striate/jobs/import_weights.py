"""Import: convert a checkpoint of another library to a model file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.data.sources.names import clean
from striate.errors import RequestError, WorkError
from striate.inference.predictor import Predictor
from striate.model import Model, write
from striate.nets.catalog import entry
from striate.pixels import Pixels
from striate.progress import Progress
from striate.reading import TEXT, given_path, read_given
from striate.tasks import Classification, Segmentation
from striate.weights.checkpoints import Checkpoint, read_checkpoint
from striate.weights.classes import class_names
from striate.weights.imported import imported_path
from striate.weights.keras_layers import with_input_normalisation
from striate.weights.keys import PublishedRow
from striate.weights.peers import Offer, check_offered, classifier_of, converted, offered, sources_of, unwrapped


@dataclass(frozen=True, eq=False)
class Imported:
    """A converted checkpoint. paths: the files written. published: the published file it equals, if known.

    what: the format of the checkpoint, as text.
    """

    paths: tuple[Path, ...]
    model: Model
    what: str
    published: PublishedRow | None

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
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
    peer: str = "",
    classes: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Convert another library's checkpoint for the network `net` to a model file.

    `source`: one of `striate.weights.libraries.LIBRARIES`, such as "torchvision". `peer`: the library's own name of the
    network, where it has two of one architecture, such as timm's tf_efficientnet_b0 and efficientnet_b0; a published
    file is known by its checksum. `out`: the model file. `keep`: save the model in the cache, so that the name `net`
    loads its weights from then on. `classes`: their names; by default ImageNet's
    for a thousand classes, CIFAR-10's for its networks, else numbers.
    Nothing is downloaded and no code in the file is run. Raises RequestError, and writes nothing, if the weights do not
    fit `net`.
    """
    progress = progress or Progress()
    check_offered(entry(net).name)
    offer = offered(net, source, peer)
    file = given_path(file, "the weights")
    paths = _places(out and given_path(out, "the model file"), net, file, keep=keep)
    checkpoint = read_checkpoint(Path(file))
    progress.say(f"{os.fspath(file)} is {checkpoint.what}.")
    published = offer.row(checkpoint.checksums)
    offer = offer.of(published) if published else offer
    if prefix := unwrapped(checkpoint.arrays, offer.key_map)[1]:
        progress.say(f"Its names begin with {prefix!r}, which a wrapper of the network added: it is taken off.")
    try:
        arrays, count = converted(checkpoint.arrays, net, offer.key_map, None if classes is None else len(classes))
    except WorkError as error:
        hint = "".join(f"; the names are those of --from {one}" for one in _fitting(checkpoint, net, source))
        raise RequestError(f"{os.fspath(file)!r}: {error}{hint}") from error
    _require_finite(Path(file), arrays)
    pixels = offer.pixels(published)
    if offer.key_map.normalises:
        pixels = _with_own(checkpoint, pixels, file)
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
        _task(net, _names(count, offer, classes)),
        pixels,
        arrays,
        head=last if last == "head" else "",
        strategy="imported",
        training=_provenance(Path(file), offer, published, checkpoint),
    )
    require_finite_outputs(Path(file), model)
    for path in paths:
        write(path, model)
    return Imported(paths, model, checkpoint.what, published)


def _with_own(checkpoint: Checkpoint, pixels: Pixels, file: Path) -> Pixels:
    """The preprocessing that the checkpoint's own layers do. Raises RequestError for a damaged one."""
    try:
        return with_input_normalisation(checkpoint.arrays, pixels)
    except RequestError as error:
        raise RequestError(f"{os.fspath(file)!r}: {error}") from error


def _require_finite(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise RequestError for weights that are not numbers: the net would predict nothing, or one class for sure."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            wrong = f"{int(array.size - np.isfinite(array).sum()):,} of the {array.size:,} values of {name}"
            raise RequestError(f"{str(file)!r} is damaged: {wrong} are NaN or infinite")


def require_finite_outputs(file: Path, model: Model) -> None:
    """Raise RequestError for weights with which the network overflows: their values alone do not show it."""
    pixels = model.pixels
    noise = np.random.default_rng(0).integers(0, 256, (1, pixels.height, pixels.width, pixels.channels), dtype=np.uint8)
    try:
        Predictor(model, engine="torch", precision="float32").predictions(noise)
    except RequestError as error:
        raise RequestError(f"{str(file)!r} is not imported: {error}") from error


def read_classes(path: Path) -> list[str]:
    """Class names from a text file, one per line.

    Raises RequestError for a file that is not text, and for a name that is empty or there twice.
    """
    try:
        lines = read_given(path, "the class names", TEXT).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise RequestError(f"cannot read the class names {str(path)!r}: {error}") from error
    names = [clean(line) for line in lines]
    while names and not names[-1].strip():
        names.pop()
    lines_of: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name.strip():
            raise RequestError(f"line {number} of the class names {str(path)!r} is empty")
        if (first := lines_of.setdefault(name, number)) != number:
            raise RequestError(f"lines {first} and {number} of the class names {str(path)!r} are both {name!r}")
    return names


def _fitting(checkpoint: Checkpoint, net: str, refused: str) -> Iterator[str]:
    """The other libraries whose key names fit the checkpoint."""
    for library in sources_of(net):
        with contextlib.suppress(WorkError):
            if library != refused:
                converted(checkpoint.arrays, net, offered(net, library).key_map)
                yield library


def _places(out: str | os.PathLike[str] | None, net: str, file: Path, *, keep: bool) -> tuple[Path, ...]:
    """The files to write. Raises RequestError if there is none, or one is the checkpoint itself."""
    paths = [Path(out)] if out else []
    if keep:
        paths.append(imported_path(net))
    if not paths:
        raise RequestError("no output is given: --out MODEL.safetensors, or --keep")
    if paths[0].suffix != ".safetensors":
        raise RequestError(f"the name of a model file must end in .safetensors, not {str(paths[0])!r}")
    for path in paths:
        if path.exists() and file.exists() and path.samefile(file):
            raise RequestError(f"{str(path)!r} is the input, and is not overwritten; give another file")
    return tuple(paths)


def _task(net: str, names: tuple[str, ...]) -> Classification | Segmentation:
    return Segmentation(names) if entry(net).kind == "segmenter" else Classification(names)


def _names(count: int, offer: Offer, classes: Sequence[str] | None) -> tuple[str, ...]:
    if classes is not None:
        if len(classes) != count:
            raise RequestError(f"the weights have {count} classes, but {len(classes)} names are given")
        return tuple(classes)
    # A library may publish weights of one network for several data sets: the first with that many classes.
    known = [class_names(row.data, count) for row in offer.rows]
    return next((names for names in known if names[0] != "class 0"), known[0])


def _provenance(file: Path, offer: Offer, published: PublishedRow | None, checkpoint: Checkpoint) -> dict[str, Any]:
    library = offer.library
    facts: dict[str, Any] = {
        "weights": file.name,
        "library": library.title,
        "licence": (published and published.licence) or library.licence,
        "sha256": checkpoint.checksums["sha256"],
    }
    row = published or (offer.rows[0] if len(offer.rows) == 1 else None)
    if row is not None:
        facts |= {"peer": row.peer, "published_file": row.file}
    if published is not None:
        facts["address"] = published.address(library.address)
        if published.top1:
            facts["published_top1"] = published.top1
    return facts
