"""Networks of other frameworks: the rows of a graph, as `striate import` writes them into a model file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import RequestError, shown
from striate.interop.graph import Graph, GraphBuilder, Row
from striate.interop.graph_net import GraphNet
from striate.nets.base import Net, Variant
from striate.nets.initialise import he_normal

MOST_VALUES = 2**29  # of all arrays of a network: two gigabytes
MOST_TEXT = 2**24  # characters of the rows
_ROLES = {"mean": "running_mean", "variance": "running_var"}  # of a batch normalisation, in torch
_TYPES = {"float32": np.float32, "int64": np.int64}


def _text(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as text, one a line."""
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"


# LeNet as Caffe's examples have it, for images of one channel and 28 x 28 pixels.
LENET = _text(
    [
        ["images", "input", [], {"shape": [1, 28, 28], "type": "float32"}, {}],
        ["conv1", "conv", ["images"], {}, {"weight": [[20, 1, 5, 5]], "bias": [[20]]}],
        ["pool1", "max_pool", ["conv1"], {"kernel": [2, 2], "stride": [2, 2]}, {}],
        ["conv2", "conv", ["pool1"], {}, {"weight": [[50, 20, 5, 5]], "bias": [[50]]}],
        ["pool2", "max_pool", ["conv2"], {"kernel": [2, 2], "stride": [2, 2]}, {}],
        ["flat", "reshape", ["pool2"], {"shape": [800]}, {}],
        ["ip1", "linear", ["flat"], {}, {"weight": [[500, 800]], "bias": [[500]]}],
        ["relu1", "relu", ["ip1"], {}, {}],
        ["ip2", "linear", ["relu1"], {}, {"weight": [[10, 500]], "bias": [[10]]}],
    ]
)
TINY = _text(
    [
        ["images", "input", [], {"shape": [3, 32, 32], "type": "float32"}, {}],
        ["conv1", "conv", ["images"], {"padding": [1, 1]}, {"weight": [[4, 3, 3, 3]], "bias": [[4]]}],
        ["relu1", "relu", ["conv1"], {}, {}],
        ["conv2", "conv", ["relu1"], {"padding": [1, 1]}, {"weight": [[4, 4, 3, 3]], "bias": [[4]]}],
        ["sum", "add", ["conv2", "relu1"], {}, {}],
        ["mean", "mean", ["sum"], {"axes": [1, 2]}, {}],
        ["fc", "linear", ["mean"], {}, {"weight": [[10, 4]], "bias": [[10]]}],
    ]
)


class GraphClassifier(Net):
    """The rows of a graph, `rows`: from images of one size to logits.

    A stage is what lies between two rows that everything passes through; the maps end with the last such row that
    gives one, and `neck` is the rest. A linear layer at the end is `head`; where a convolution and a mean are at the
    end, `classifier="linear"` replaces both by a linear layer on the mean of the maps before. With other `classes`
    than the rows', the last layer with weights has as many outputs. Raises RequestError for rows that do not fit.
    """

    table = LENET
    minimum_size = 1

    def __init__(
        self,
        *,
        classes: int = 10,
        in_channels: int = 1,
        input_size: tuple[int, int] = (28, 28),
        rows: str = LENET,
        classifier: str = "",
    ) -> None:
        super().__init__()
        self._layers: dict[str, nn.Module] = {}
        if classifier not in ("", "linear"):
            raise RequestError(f"classifier of an imported network is linear, not {shown(classifier)}")
        graph = with_outputs(read_rows(rows), classes)
        if graph.input.shape != (in_channels, *input_size):
            given, own = (" x ".join(map(str, one)) for one in ((in_channels, *input_size), graph.input.shape))
            raise RequestError(f"this imported network takes images of {own} (channels, height, width), not {given}")
        self.table, self.in_channels, self.input_size = rows, in_channels, input_size
        cuts = _cuts(graph)
        places = [place for place in cuts[1:] if len(graph.rows[place].shape) == 3]
        last = graph.rows[-1]
        self.head: nn.Module = nn.Identity()
        end = len(graph.rows) - 1
        if classifier:
            places = [place for place in places if place < _last_with_weights(graph)]
            if not places:
                raise RequestError("this imported network has no map before its last layer with weights")
        self.stages = self._add_stages(graph, cuts, places)
        self.feature_channels = graph.rows[places[-1]].shape[0] if places else in_channels
        if classifier:
            self.neck: nn.Module = _Mean()
            self.head, self.embedding_size = nn.Linear(self.feature_channels, classes), self.feature_channels
        else:
            if last.operator == "linear" and cuts[-2:] == [end - 1, end]:
                self.head, end = self._part(graph, end - 1, end), end - 1
            self.neck = self._part(graph, places[-1] if places else 0, end)
            self.embedding_size = graph.rows[end].shape[0]
        he_normal(self)

    def _add_stages(self, graph: Graph, cuts: Sequence[int], places: Sequence[int]) -> tuple[str, ...]:
        """Add the rows up to the last map, by the rows that all pass through; gives their names."""
        if not places:
            self.add_module("images", nn.Identity())
            return ("images",)
        known = [0, *[place for place in cuts[1:] if place <= places[-1]]]
        for before, place in pairwise(known):
            self.add_module(graph.rows[place].name, self._part(graph, before, place))
        return tuple(graph.rows[place].name for place in known[1:])

    def _part(self, graph: Graph, before: int, last: int) -> nn.Module:
        """The rows after one place up to another as a module; an identity if there are none."""
        if before == last:
            return nn.Identity()
        start = graph.rows[before]
        first = Row(start.name, "input", (), {"shape": start.shape, "type": start.type}, {}, start.shape, start.type)
        # Plain values, which can be copied with the module, and no arrays but those of the modules.
        kept = (replace(row, attributes=dict(row.attributes), arrays=dict(row.arrays)) for row in graph.rows)
        rows = (first, *tuple(kept)[before + 1 : last + 1])
        used = {array: graph.arrays[array] for row in rows for array in row.arrays.values()}
        net = GraphNet(Graph(rows, (rows[-1].name,), used))
        net.graph = Graph(rows, (rows[-1].name,), {})
        self._layers |= {row.name: net.get_submodule(net.names[row.name]) for row in rows[1:]}
        return net if len(rows) > 2 or rows[1].inputs != (start.name,) else self._layers[rows[1].name]

    def layer(self, name: str) -> nn.Module:
        """The module of a row, where it has one."""
        return self._layers[name]

    def pooled(self, features: Tensor) -> Tensor:
        """The last map -> vectors [N, embedding_size]: all rows but the last linear layer."""
        vectors: Tensor = self.neck(features)
        return vectors


class _Mean(nn.Module):
    """The mean of maps [N, C, H, W] over their pixels."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))


def load_graph(net: GraphClassifier, graph: Graph) -> None:
    """Give a network made of a graph's rows the values of its arrays."""
    with torch.no_grad():
        for row in graph.rows:
            for role, name in row.arrays.items():
                layer = net.layer(row.name)
                tensor = getattr(layer, role) if hasattr(layer, role) else getattr(layer, _ROLES[role])
                tensor.copy_(torch.from_numpy(np.array(graph.arrays[name])))


def written_rows(graph: Graph) -> str:
    """The rows of a graph as text, without the values of its arrays, which are the state of the network."""
    rows = []
    for row in graph.rows:
        arrays = {role: _described(graph.arrays[name], name, row, role) for role, name in row.arrays.items()}
        attributes = {key: list(one) if isinstance(one, tuple) else one for key, one in row.attributes.items()}
        rows.append([row.name, row.operator, list(row.inputs), attributes, arrays])
    return _text(rows)


def _described(array: Any, name: str, row: Row, role: str) -> list[Any]:
    """Shape, type where it is no float, and the name of an array that rows share."""
    own = f"{row.name}.{role}"
    return [list(array.shape), str(array.dtype), *([] if name == own else [name])]


def read_rows(text: str) -> Graph:
    """The graph of rows that `written_rows` wrote, with zeros in its arrays. Raises RequestError for other text."""
    if len(text) > MOST_TEXT:
        raise RequestError(f"the rows of a network have {len(text):,} characters; at most {MOST_TEXT:,} are read")
    try:
        rows = json.loads(text)
        build, kept, left = GraphBuilder(), set(), MOST_VALUES
        last = ""
        for name, operator, inputs, attributes, arrays in rows:
            if (
                not isinstance(name, str)
                or not re.fullmatch(r"[A-Za-z]\w{0,79}", name, re.ASCII)
                or hasattr(_PLAIN, name)
            ):
                raise RequestError(f"{shown(name)} cannot be the name of a row")
            given: dict[str, Any] = {}
            for role, (shape, *more) in arrays.items():
                left -= math.prod(shape)
                if left < 0 or not all(type(side) is int and side >= 0 for side in shape):
                    raise RequestError(
                        f"row {name} declares arrays of {shown(shape)}: more than {MOST_VALUES:,} values"
                    )
                values = np.zeros(shape, _TYPES[more[0] if more else "float32"])
                shared = more[1] if len(more) > 1 else None
                given[role] = values if shared is None else shared
                if shared is not None and shared not in kept:
                    kept.add(build.array(shared, values))
            last = build.add(operator, inputs, name=name, attributes=attributes, arrays=given)
        if not last:
            raise ValueError
        graph = build.graph(last)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError("the rows of a network are not as an import writes them") from error
    if (
        graph.input.type != "float32"
        or len(graph.input.shape) != 3
        or len(graph.rows[-1].shape) != 1
        or len(graph.rows) < 2
    ):
        raise RequestError("the rows of a network lead from images [C, H, W] to a vector")
    return graph


def with_outputs(graph: Graph, classes: int) -> Graph:
    """The graph with other outputs: of the last row with weights. The same graph where it has as many.

    Raises RequestError where that gives another number.
    """
    own = graph.rows[-1].shape[0]
    if own == classes:
        return graph
    place = _last_with_weights(graph)
    build = GraphBuilder()
    for number, row in enumerate(graph.rows):
        arrays = {role: graph.arrays[name] for role, name in row.arrays.items()}
        if number == place:
            arrays = {role: np.zeros((classes, *values.shape[1:]), np.float32) for role, values in arrays.items()}
        build.add(row.operator, row.inputs, name=row.name, attributes=row.attributes, arrays=arrays)
    if place < 0 or build.shape(graph.rows[-1].name) != (classes,):
        raise RequestError(f"this imported network gives {own} outputs, and cannot be made to give {classes}")
    return build.graph(graph.rows[-1].name)


def _last_with_weights(graph: Graph) -> int:
    """The place of the last convolution or linear layer; -1 if there is none."""
    return max((place for place, row in enumerate(graph.rows) if row.operator in ("conv", "linear")), default=-1)


def _cuts(graph: Graph) -> list[int]:
    """The places of the rows that everything after passes through, in order."""
    places = {row.name: place for place, row in enumerate(graph.rows)}
    found, least = [], len(graph.rows)
    for place in range(len(graph.rows) - 1, -1, -1):
        if least >= place and (graph.rows[place].inputs or place == 0):
            found.append(place)
        least = min([least, *(places[name] for name in graph.rows[place].inputs)])
    return found[::-1]


_PLAIN = Net()  # names of its attributes are no names of stages
for _name in ("head", "neck", "graph", "names", "done"):
    setattr(_PLAIN, _name, None)

VARIANTS = {
    "graph_net": Variant(GraphClassifier, {"rows": LENET}),
    "graph_net_tiny": Variant(GraphClassifier, {"rows": TINY}),
}

# Deviations: none; there is no paper. Each imported network is its own table.
