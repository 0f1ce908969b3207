"""Import: weights of Lasagne or Theano, arrays without names, for a network that is named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from striate.errors import RequestError
from striate.interop.readers.layers import InputShape
from striate.interop.readers.named_pixels import HOW, named_pixels
from striate.interop.readers.ordered import TURNED, outputs_of, placed, read_arrays
from striate.jobs.import_net import ImportedNet
from striate.jobs.import_weights import require_finite_outputs
from striate.jobs.outputs import same_file
from striate.jobs.pixel_hint import NAMED
from striate.model import Model, write
from striate.nets.build import create_classifier
from striate.nets.catalog import defaults_of, known
from striate.nets.net_file import named
from striate.reading import given_path
from striate.storage import sha256_of_file
from striate.tasks import Classification
from striate.weights.peers import classifier_of


def import_ordered(
    file: str | os.PathLike[str],
    *,
    net: str,
    source: str,
    out: str | os.PathLike[str],
    pixels: str,
    shape: InputShape | None = None,
    classes: Sequence[str] | None = None,
) -> ImportedNet:
    """Make a model file of a `.npz` or `.pkl` with the weights of a network of Lasagne or Theano.

    net: the network, of the catalogue or a net file, whose layers are in the order of the file's arrays. source:
    "lasagne" and "theano" turn the kernels, as their convolutions do; "lasagne-dnn", of its layers on cuDNN, does not.
    pixels, shape, classes: as in `import_net`. No pickle is opened; see `striate.interop.readers.pickled`.
    Raises RequestError, and writes nothing, for arrays that do not fit the network.
    """
    path, given = given_path(out, "the model file"), given_path(file, "the weights")
    if path.suffix != ".safetensors":
        raise RequestError(f"the name of a model file must end in .safetensors, not {str(path)!r}")
    if same_file(path, given):
        raise RequestError(f"{str(path)!r} is the input, and is not overwritten; give another file")
    if not pixels:
        raise RequestError(f"the file does not say how images become numbers, and it is not guessed; {HOW}")
    arrays = read_arrays(Path(given))
    name, chosen = named(net)
    own = defaults_of(known(name), chosen)
    size = shape or (own.in_channels, *(own.input_size or (224, 224)))
    words = named_pixels(pixels, size)
    if words.blue_first:
        raise RequestError("bgr is for whole networks: turn the first kernel of the file before it is imported")
    outputs = outputs_of(arrays)
    if classes is not None and len(classes) != outputs:
        raise RequestError(f"the weights have {outputs} classes, and {len(classes)} names are given")
    made = create_classifier(name, classes=outputs, in_channels=size[0], input_size=size[1:], options=chosen)
    state = placed(arrays, made, turned=TURNED[source])
    note = "the kernels are turned by 180 degrees: convolutions there, correlations here"
    notes = (note,) if TURNED[source] else ()
    last = classifier_of({key: array.shape for key, array in state.items()})
    model = Model(
        name,
        made.options,
        Classification(tuple(classes or map(str, range(outputs)))),
        words.pixels,
        state,
        head=last if last == "head" else "",
        strategy="imported",
        training={
            "weights": given.name,
            "library": source,
            "sha256": sha256_of_file(given),
            "notes": list(notes),
            NAMED: pixels,
        },
    )
    require_finite_outputs(given, model)
    write(path, model)
    return ImportedNet(path, model, source, notes)
