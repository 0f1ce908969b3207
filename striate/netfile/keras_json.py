"""Parts of the JSON by which Keras 2 and 3 describe a network, checked as they are taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from striate.errors import RequestError, shown

Json = Mapping[str, Any]


def part_of(found: Json, key: str) -> Json:
    """A part of a configuration. Raises RequestError if it is none."""
    value = found.get(key)
    if isinstance(value, list):  # of a Sequential of Keras before 2.2
        return {"layers": value}
    if not isinstance(value, Mapping):
        raise RequestError(f"its {key} is {shown(value)}")
    return value


def list_of(found: Json, key: str) -> list[Any]:
    """A list of a configuration that is not empty. Raises RequestError for others."""
    value = found.get(key)
    if not isinstance(value, list) or not value:
        raise RequestError(f"its {key} are {shown(value)}")
    return value


def checked(layer: object) -> Json:
    """A layer, which is no model by itself. Raises RequestError."""
    if not isinstance(layer, Mapping) or "class_name" not in layer:
        raise RequestError(f"a layer is {shown(layer)}")
    kind = str(layer["class_name"])
    if kind in ("Sequential", "Functional", "Model"):
        raise RequestError(f"its layer {shown(own(layer).get('name'))} is a model by itself, which is not imported")
    return layer


def own(layer: Json) -> Json:
    """A layer's own configuration; an empty one if it has none."""
    value = layer.get("config")
    return value if isinstance(value, Mapping) else {}


def number(config: Json, key: str, default: float) -> float:
    """A number of a configuration. Raises RequestError for what is none."""
    value = config.get(key)
    if value is None:
        return default
    try:
        found = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:  # of a whole number that is too large
        found = math.inf
    if not math.isfinite(found):
        raise RequestError(f"{key} is a number, not {shown(value)}")
    return found


def sources_of(layer: Json, name: str) -> list[str]:
    """The names of the layers that a layer takes, of Keras 2 or 3."""
    nodes = layer.get("inbound_nodes", [])
    if not isinstance(nodes, list):
        raise RequestError(f"layer {shown(name)} takes {shown(nodes)}")
    if len(nodes) > 1:
        raise RequestError(f"layer {shown(name)} is used {len(nodes)} times, which is not imported")
    found: list[str] = []
    for node in nodes:
        if isinstance(node, Mapping):
            found += _tensors(node.get("args"), name, 0)
        elif isinstance(node, list) and all(isinstance(one, list) and one for one in node):
            found += [str(one[0]) for one in node]
        else:
            raise RequestError(f"layer {shown(name)} takes {shown(node)}")
    return found


def _tensors(value: object, name: str, depth: int) -> list[str]:
    if isinstance(value, list) and depth < 4:
        return [one for inner in value for one in _tensors(inner, name, depth + 1)]
    config = own(value) if isinstance(value, Mapping) else {}
    history = config.get("keras_history")
    if not isinstance(history, list) or not history:
        raise RequestError(f"layer {shown(name)} takes {shown(value)}")
    return [str(history[0])]


def one_output(config: Json) -> str:
    """The name of the layer that gives the only output. Raises RequestError for several."""
    outputs = config.get("output_layers")
    if isinstance(outputs, list) and len(outputs) == 1 and isinstance(outputs[0], list):
        outputs = outputs[0]
    if not isinstance(outputs, list) or len(outputs) != 3 or not isinstance(outputs[0], str):
        raise RequestError(f"its outputs are {shown(outputs)}: networks of one output alone are imported")
    return outputs[0]
