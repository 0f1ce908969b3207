"""The graph of a torch module: its ATen operators, as `torch.export` records them, as rows.

What does not depend on the images (weights that a hypernetwork makes, constants) is computed once and becomes arrays.
Nothing else is computed or joined: batch normalisation stays a row of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from striate.errors import RequestError
from striate.interop.aten_rows import ROWS
from striate.interop.graph import Graph, GraphBuilder
from striate.layers.channel_shuffle import ChannelShuffle
from striate.layers.lrn import LRN

BATCH = 3  # images of the recording
_EMPTY = ("aten.new_ones.default", "aten.new_zeros.default", "aten.zeros_like.default", "aten.ones_like.default")


def graph_of(net: nn.Module, shape: Sequence[int], *, kind: str = "float32") -> Graph:
    """The graph of a module in eval mode on images [N, *shape] of float32 or uint8, for any number of images.

    The module stays as it is. Raises RequestError for operations that no row has, by their names, and where one image
    depends on another.
    """
    was = net.training
    images = torch.zeros(BATCH, *shape, dtype=torch.uint8 if kind == "uint8" else torch.float32)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's own deprecations
        try:
            program = torch.export.export(net.eval(), (images,))
        except RequestError:
            raise
        except Exception as error:  # whatever the module raises under torch.export
            raise RequestError(f"torch cannot record this network: {' '.join(str(error).split())[:300]}") from None
        finally:
            net.train(was)
    with torch.no_grad():
        return _Recorded(net, program, kind).graph()


class _Recorded:
    """Turns one recorded program into a graph."""

    def __init__(self, net: nn.Module, program: torch.export.ExportedProgram, kind: str) -> None:
        self.build, self.kind, self.net, self.program = GraphBuilder(), kind, net, program
        self.rows: dict[fx.Node, str] = {}  # nodes that depend on the images
        self.held: dict[fx.Node, Any] = {}  # the values of the others
        self.arrays: dict[tuple[Any, ...], str] = {}  # by memory, shape and strides
        self.kept: list[Tensor] = []
        self.several: set[fx.Node] = set()  # nodes with several results, each a row where it is taken
        self.names: dict[fx.Node, str] = {}
        self.used: set[str] = set()

    def graph(self) -> Graph:
        graph, signature = self.program.graph, self.program.graph_signature
        state = {**self.program.state_dict, **self.program.constants}
        kept = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        kept |= signature.inputs_to_lifted_tensor_constants
        wholes = self._whole_modules(graph)
        for node in graph.nodes:
            if node.op == "placeholder" and node.name in kept:
                self.held[node], self.names[node] = state[kept[node.name]], kept[node.name]
            elif node.op == "placeholder":
                self.rows[node] = self.build.input(tuple(node.meta["val"].shape[1:]), kind=self.kind)
            elif node.op == "call_function":
                if node not in wholes:
                    self._call(node)
                elif (found := wholes[node]) is not None:
                    given, layer = found
                    self.rows[node] = self.add(node, *WHOLE[type(layer)](layer, self.rows[given], self.shape(given)))
        outputs = [self._row(value, None) for value in next(n for n in graph.nodes if n.op == "output").args[0]]
        return self.build.graph(*outputs)

    def _whole_modules(self, graph: fx.Graph) -> dict[fx.Node, tuple[fx.Node, nn.Module] | None]:
        """The nodes within modules that are one row: the last with the module and its input."""
        calls: dict[str, list[fx.Node]] = {}
        layers: dict[str, nn.Module] = {}
        for node in graph.nodes:
            for call, (path, _) in (node.meta.get("nn_module_stack") or {}).items():
                layer = self.net.get_submodule(path) if path else self.net
                if type(layer) in WHOLE:
                    calls.setdefault(call, []).append(node)
                    layers[call] = layer
        found: dict[fx.Node, tuple[fx.Node, nn.Module] | None] = {}
        for call, nodes in calls.items():
            found |= dict.fromkeys(nodes)
            found[nodes[-1]] = nodes[0].all_input_nodes[0], layers[call]
        return found

    def _call(self, node: fx.Node) -> None:
        """A node as a row, or its value where it does not depend on the images."""
        target = str(node.target)
        given = [one for one in node.all_input_nodes if one in self.rows or one in self.several]
        if target in _EMPTY:
            self.held[node] = torch.full(_one(node.meta["val"].shape), float("ones" in target))
        elif not given:
            values = fx.node.map_arg((node.args, node.kwargs), lambda one: self.held[one])
            self.held[node] = node.target(*values[0], **values[1])  # type: ignore[operator]
        elif target not in ROWS:
            raise RequestError(f"no row of a graph is {target} (in {_path(node) or 'the network'})")
        else:
            made = ROWS[target](self, node)
            if made is None:
                self.several.add(node)
            else:
                self.rows[node] = made

    def add(
        self,
        node: fx.Node,
        operator: str,
        inputs: Sequence[Any],
        attributes: Mapping[str, Any] | None = None,
        arrays: Mapping[str, Any] | None = None,
    ) -> str:
        """Add a row for a node. inputs: nodes, names of rows, or values. arrays: nodes or tensors, None for none."""
        like = next((self.shape(one) for one in inputs if self.is_row(one)), None)
        rows = [self._row(one, like) for one in inputs]
        roles = {role: self._array(one) for role, one in (arrays or {}).items() if one is not None}
        return self.build.add(operator, rows, name=self._name(node, operator), attributes=attributes, arrays=roles)

    def value(self, given: Any) -> Any:
        """The value of an argument that does not depend on the images."""
        return self.held[given] if isinstance(given, fx.Node) else given

    def is_row(self, given: Any) -> bool:
        """Whether an argument depends on the images."""
        return (isinstance(given, fx.Node) and given in self.rows) or isinstance(given, str)

    def shape(self, given: Any) -> tuple[int, ...]:
        """Of the row of an argument, for one image."""
        return self.build.shape(self._row(given, None))

    def _row(self, given: Any, like: tuple[int, ...] | None) -> str:
        """The row of an argument; a value becomes a constant, broadcast beside a row of shape `like`."""
        if isinstance(given, str):
            return given
        if isinstance(given, fx.Node) and given in self.rows:
            return self.rows[given]
        value = torch.as_tensor(self.value(given))
        if like is not None and value.ndim > len(like):
            value = value[0]  # of each image the same
        return self.build.add("constant", (), name=self._unused("constant"), arrays={"value": self._array(value)})

    def _array(self, given: Any) -> str:
        value: Tensor = self.value(given)
        key = value.data_ptr(), tuple(value.shape), tuple(value.stride())
        if key not in self.arrays:
            name = self.names.get(given) if isinstance(given, fx.Node) else None
            name = self._unused(name or (given.name if isinstance(given, fx.Node) else "value"))
            self.arrays[key] = self.build.array(name, value.detach().numpy())
            self.kept.append(value)  # so that no other value gets its memory
        return self.arrays[key]

    def _name(self, node: fx.Node, operator: str) -> str:
        """The path of the module of torch that the node is of; else the path above it and the operator."""
        path = _path(node)
        layer = self.net.get_submodule(path) if path else self.net
        whole = type(layer).__module__.startswith("torch.") or type(layer) in WHOLE
        return self._unused(path if whole and path else ".".join(filter(None, (path, operator))))

    def _unused(self, name: str) -> str:
        numbered = name
        count = 1
        while numbered in self.used:
            count += 1
            numbered = f"{name}_{count}"
        self.used.add(numbered)
        return numbered


def _path(node: fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def _one(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape of all images as that of one, with its first axis."""
    return (1, *shape[1:]) if shape and shape[0] == BATCH else tuple(shape)


def _lrn(layer: Any, given: str, shape: Sequence[int]) -> tuple[Any, ...]:
    held = {name: getattr(layer, name) for name in ("size", "alpha", "beta", "k")}
    if isinstance(layer, LRN):
        return "lrn", (given,), {**held, "groups": layer.groups}
    return "lrn", (given,), {**held, "alpha": layer.alpha / layer.size}  # torch divides by the size


def _shuffle(layer: Any, given: str, shape: Sequence[int]) -> tuple[Any, ...]:
    places = torch.arange(shape[0]).reshape(layer.groups, -1).T.flatten()
    return "gather", (given,), {"axis": 0}, {"indices": places}


# Modules that are one row, whose operations formats have a name for: the row's operator, inputs, attributes and arrays.
WHOLE: Mapping[type[nn.Module], Callable[[Any, str, Sequence[int]], tuple[Any, ...]]] = {
    LRN: _lrn,
    nn.LocalResponseNorm: _lrn,
    ChannelShuffle: _shuffle,
}
