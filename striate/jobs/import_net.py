"""Import: a network of another framework, with its weights, as a model file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from striate.errors import RequestError
from striate.interop.readers.layers import Described, InputShape
from striate.interop.readers.named_pixels import HOW, named_pixels
from striate.interop.readers.opening import read_network
from striate.interop.readers.to_graph import graph_of
from striate.jobs.import_weights import require_finite_outputs
from striate.jobs.outputs import same_file
from striate.jobs.pixel_hint import NAMED
from striate.model import Model, write
from striate.nets.build import create_classifier
from striate.nets.graph_net import GraphClassifier, load_graph, written_rows
from striate.nets.state import arrays_of
from striate.pixels import Pixels
from striate.progress import Progress
from striate.reading import given_path
from striate.storage import sha256_of_file
from striate.tasks import Classification, Multilabel

NET = "graph_net"  # of the catalogue: the rows of a graph


@dataclass(frozen=True, eq=False)
class ImportedNet:
    """A network of another framework as a model. path: the file written. notes: what was changed, in words."""

    path: Path
    model: Model
    framework: str
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {
            "path": str(self.path),
            "framework": self.framework,
            "classes": len(self.model.classes),
            "input_size": self.model.options["input_size"],
            "pixels": self.model.pixels.as_dict(),
            "notes": list(self.notes),
            **self.model.training,
        }


def import_net(
    file: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    pixels: str,
    weights: str | os.PathLike[str] | None = None,
    shape: InputShape | None = None,
    classes: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> ImportedNet:
    """Make a model file of a network of Caffe, Keras, Torch7, MXNet, Deeplearning4j, TensorFlow.js or ONNX.

    pixels: the scale of the images that the network was trained with, and their order of channels, as in
    `striate.interop.readers.named_pixels`: most files do not say it, and it is not guessed. weights: the file with the
    weights, of Caffe and MXNet. shape: channels, height and width of an image, where the file does not say them.
    classes: their names, in order; numbers by default.
    No code in a file is run, and no other framework is needed. Raises RequestError, and writes nothing, for what is not
    known.
    """
    progress = progress or Progress()
    path, given = given_path(out, "the model file"), given_path(file, "the network")
    if path.suffix != ".safetensors":
        raise RequestError(f"the name of a model file must end in .safetensors, not {str(path)!r}")
    if not pixels:
        raise RequestError(f"the file does not say how images become numbers, and it is not guessed; {HOW}")
    parts = [given, *([given_path(weights, "the weights")] if weights is not None else [])]
    for part in parts:
        if same_file(path, part):
            raise RequestError(f"{str(path)!r} is the input, and is not overwritten; give another file")
    found = read_network(given, parts[1] if len(parts) > 1 else None, shape)
    named = named_pixels(pixels, found.input)
    model, notes = _model(found, named.pixels, blue_first=named.blue_first, names=_names(found, classes))
    training = {
        "weights": given.name,
        "library": found.framework,
        "sha256": _digest(given),
        "notes": list(notes),
        NAMED: pixels,
    }
    model = replace(model, training=training)
    require_finite_outputs(given, model)
    write(path, model)
    return ImportedNet(path, model, found.framework, notes)


def _model(
    found: Described, pixels: Pixels, *, blue_first: bool, names: tuple[str, ...]
) -> tuple[Model, tuple[str, ...]]:
    graph = graph_of(found, swapped=blue_first)
    channels, *sides = found.input
    options: dict[str, Any] = {
        "classes": found.outputs,
        "in_channels": channels,
        "input_size": sides,
        "options": {"rows": written_rows(graph)},
    }
    net = create_classifier(NET, **options)
    assert isinstance(net, GraphClassifier)
    load_graph(net, graph)
    arrays, aliases = arrays_of(net)
    notes = found.notes + (("the first convolution is turned from BGR to RGB",) if blue_first else ())
    task = (Multilabel if found.multilabel else Classification)(names)
    head = "head" if "head.weight" in arrays else ""
    model = Model(NET, options, task, pixels, arrays, head=head, aliases=aliases, strategy="imported")
    return model, notes


def _digest(given: Path) -> str:
    """Of a file; of a SavedModel's folder, that of its graph."""
    return sha256_of_file(given / "saved_model.pb" if given.is_dir() else given)


def _names(found: Described, classes: Sequence[str] | None) -> tuple[str, ...]:
    if classes is None:
        return tuple(str(number) for number in range(found.outputs))
    if len(classes) != found.outputs:
        raise RequestError(f"the network has {found.outputs} classes, and {len(classes)} names are given")
    return tuple(classes)
