"""Layers of another framework's description as the rows of a net file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from striate.errors import RequestError


@dataclass(frozen=True)
class Layer:
    """A layer of the network: its words in a row; `add` and `concat` of several inputs have none."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    output: str
    words: str = ""


def net_text(name: str, shape: tuple[int, int, int], described: Iterable[Layer], what: str) -> str:
    """The text of the net file. shape: of an image. what: the description, for messages.

    Raises RequestError where there is no network of one image.
    """
    layers = _connected(list(described), what)
    if not layers:
        raise RequestError(f"{what} has no layer of a network")
    classes, layers = _with_classes(layers, what)
    called = re.sub(r"\W", "_", name, flags=re.ASCII)[:60]
    called = called if re.match(r"[A-Za-z_]", called) else f"net_{called}"
    rows = "\n".join(_rows(layers))
    return f'name = "{called}"\ninput = {list(shape)}\nclasses = {classes}\ntable = """\n{rows}\n"""\n'


def _connected(every: list[Layer], what: str) -> list[Layer]:
    """The layers on the way to the last one: the rest belongs to auxiliary classifiers."""
    if not every:
        return []
    needed = {every[-1].output}
    kept: list[Layer] = []
    for layer in reversed(every):
        if layer.output in needed:
            needed |= set(layer.inputs)
            kept.append(layer)
    given = sorted(needed - {layer.output for layer in kept})
    if len(given) != 1:
        raise RequestError(f"{what} has {len(given)} inputs, {', '.join(given[:5])}; a net file has one image")
    return kept[::-1]


def _with_classes(layers: list[Layer], what: str) -> tuple[int, list[Layer]]:
    """The number of classes, and the layers with `classes` in place of it: that of the last layer with outputs."""
    for place in range(len(layers) - 1, -1, -1):
        layer = layers[place]
        if found := re.match(r"(conv[\dx]+|fc)-(\d+)", layer.words):
            words = f"{found[1]}-classes{layer.words[found.end() :]}"
            return int(found[2]), [*layers[:place], replace(layer, words=words), *layers[place + 1 :]]
    raise RequestError(f"{what} has no convolution and no fully connected layer")


def _rows(layers: list[Layer]) -> Iterator[str]:
    """The rows of the table: a chain of layers, each the only one that takes the one before, is one row."""
    names = _names(layers)
    row: list[str] = []
    current = layers[0].inputs[0] if layers[0].inputs else ""
    for layer in layers:
        single = len(layer.inputs) == 1
        starts = layer.words.startswith(("conv", "dwconv", "fc", "maxpool", "avgpool", "global")) or not single
        starts = starts or (bool(row) and row[-1].startswith(("add ", "concat ")))
        if row and (starts or current in names or layer.inputs[0] != current):
            yield " ".join([*row, *([f"as {names[current]}"] if current in names else [])])
            row = []
        if single:
            if layer.inputs[0] != current:
                yield f"at {names.get(layer.inputs[0], 'in')}"
            row.append(layer.words)
        elif layer.kind == "Concat":
            row.append(" ".join(["concat", *(names.get(blob, "in") for blob in layer.inputs)]))
        else:
            others = list(layer.inputs)
            if current in others:
                others.remove(current)
            else:
                yield f"at {names.get(others.pop(0), 'in')}"
            for place, other in enumerate(others):
                if place:
                    yield " ".join(row)
                row = [f"add {names.get(other, 'in')}"]
        current = layer.output
    yield " ".join(row)


def _names(layers: list[Layer]) -> dict[str, str]:
    """The outputs that a row other than the next one takes, with names for them."""
    named: set[str] = set()
    current = layers[0].inputs[0]
    for layer in layers:
        named |= {blob for blob in layer.inputs if blob != current or layer.kind == "Concat"}
        current = layer.output
    made = (layer.output for layer in layers if layer.output in named)
    return {blob: f"edge{number}" for number, blob in enumerate(made, start=1)}
