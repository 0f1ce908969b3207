"""A graph as a torch module: it predicts as the graph says, and its weights can be trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from striate.interop.graph import Graph, Row
from striate.interop.operators import OPERATORS


class GraphNet(nn.Module):
    """The rows of a graph, one module each where a row has arrays: `nn.Conv2d`, `nn.Linear`, ... named as the row.

    Input [N, ...] of the graph's input, output [N, ...]: the one of the graph, or a tuple of several. Arrays that rows
    share are one parameter. Dropout and the statistics of batch normalisation follow `train()` and `eval()`.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.names = {row.name: row.name.replace(".", "_") for row in graph.rows}
        shared: dict[str, Tensor] = {}
        for row in graph.rows:
            if row.operator != "input":
                self.add_module(self.names[row.name], _module(graph, row, shared))
        last = {name: row.name for row in graph.rows for name in row.inputs}
        self.done: dict[str, list[str]] = {row.name: [] for row in graph.rows}
        for name, at in last.items():
            if name not in graph.outputs:
                self.done[at].append(name)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The outputs."""
        found = self.run(x)
        outputs = tuple(found[name] for name in self.graph.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def run(self, x: Tensor, visit: Callable[[str, Tensor], None] | None = None) -> dict[str, Tensor]:
        """The outputs by name; `visit` is called with each row's name and result."""
        values = {self.graph.input.name: x}
        for row in self.graph.rows[1:]:
            layer = self.get_submodule(self.names[row.name])
            values[row.name] = layer(*[values[name] for name in row.inputs])
            if visit is not None:
                visit(row.name, values[row.name])
            for name in self.done[row.name]:
                del values[name]  # its last use: the memory is free
        return values


class RowLayer(nn.Module):
    """A row whose operator has no module of torch: its arrays are parameters, or buffers where they are not trained."""

    def __init__(self, row: Row, arrays: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.row = row
        for role, values in arrays.items():
            if isinstance(values, nn.Parameter):
                self.register_parameter(role, values)
            else:
                self.register_buffer(role, values)

    def forward(self, *inputs: Tensor) -> Tensor:
        arrays = {role: getattr(self, role) for role in self.row.arrays}
        return OPERATORS[self.row.operator].run(self.row.attributes, arrays, inputs, self.training)

    def extra_repr(self) -> str:
        return f"{self.row.operator}, {dict(self.row.attributes)}"


def _module(graph: Graph, row: Row, shared: dict[str, Tensor]) -> nn.Module:
    operator, arrays = OPERATORS[row.operator], {}
    for role, name in row.arrays.items():
        if name not in shared:
            values = torch.from_numpy(np.array(graph.arrays[name]))
            trained = role not in operator.fixed and values.is_floating_point()
            shared[name] = nn.Parameter(values) if trained else values
        arrays[role] = shared[name]
    made = _MODULES[row.operator](row, arrays) if row.operator in _MODULES else None
    if made is None:
        return RowLayer(row, arrays)
    for role, values in arrays.items():
        setattr(made, {"mean": "running_mean", "variance": "running_var"}.get(role, role), values)
    return made


def _conv(row: Row, arrays: Mapping[str, Tensor]) -> nn.Module:
    at, weight = row.attributes, arrays["weight"]
    outputs, inputs, height, width = weight.shape
    steps = at["stride"], at["padding"], at["dilation"], at["groups"]
    with torch.device("meta"):
        return nn.Conv2d(inputs * at["groups"], outputs, (height, width), *steps, bias="bias" in arrays)


def _linear(row: Row, arrays: Mapping[str, Tensor]) -> nn.Module:
    with torch.device("meta"):
        return nn.Linear(arrays["weight"].shape[1], arrays["weight"].shape[0], bias="bias" in arrays)


def _batch_norm(row: Row, arrays: Mapping[str, Tensor]) -> nn.Module | None:
    if not {"weight", "bias"} <= arrays.keys() or len(row.shape) not in (1, 3):
        return None
    kind = nn.BatchNorm1d if len(row.shape) == 1 else nn.BatchNorm2d
    return kind(len(arrays["mean"]), row.attributes["epsilon"], row.attributes["momentum"])


def _max_pool(row: Row, arrays: Mapping[str, Tensor]) -> nn.Module:
    at = row.attributes
    return nn.MaxPool2d(at["kernel"], at["stride"], at["padding"], at["dilation"], ceil_mode=at["ceil"])


def _avg_pool(row: Row, arrays: Mapping[str, Tensor]) -> nn.Module:
    at = row.attributes
    return nn.AvgPool2d(at["kernel"], at["stride"], at["padding"], at["ceil"], at["count_padding"])


# Modules that the rest of Striate knows: it counts, inspects and unfreezes by them.
_MODULES: Mapping[str, Callable[[Row, Mapping[str, Tensor]], nn.Module | None]] = {
    "conv": _conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "relu": lambda row, arrays: nn.ReLU(),
    "sigmoid": lambda row, arrays: nn.Sigmoid(),
    "tanh": lambda row, arrays: nn.Tanh(),
    "dropout": lambda row, arrays: (nn.Dropout2d if row.attributes["channels"] else nn.Dropout)(row.attributes["rate"]),
}
