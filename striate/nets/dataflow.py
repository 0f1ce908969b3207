"""Which layer follows which in any module, and on how many channels: found by a pass of images, not by names."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from striate.errors import RequestError
from striate.nets.base import Net, Network
from striate.nets.catalog import USUAL_SIZE
from striate.nets.shapes import Output, first_of, forward_hooks, meta_copy

# Activations that a forward may call as functions. A sigmoid is not among them: called so, it is a gate.
FUNCTIONS = {
    *(
        "relu",
        "relu_",
        "relu6",
        "leaky_relu",
        "leaky_relu_",
        "rrelu",
        "rrelu_",
        "prelu",
        "elu",
        "elu_",
        "selu",
        "selu_",
    ),
    *("celu", "celu_", "gelu", "silu", "mish", "hardswish", "hardtanh", "hardtanh_", "tanh", "tanh_", "softplus"),
}
_PRODUCTS = {"mul", "mul_", "multiply"}
_SIDE = 64  # of the test images of a module that is not a Network, as in check_net

Found = TypeVar("Found")


@dataclass(frozen=True)
class Call:
    """One call of a layer: the layer that its input comes from directly, None for anything else, and its shape."""

    source: nn.Module | None
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Dataflow:
    """What a pass showed of the layers that ran.

    calls      each layer's calls, in the order in which the layers first ran
    followers  the layers that took a layer's output directly; None for a function or any other module
    gates      layers whose output multiplied another tensor
    last       the layer whose output is the module's output, if there is one
    functions  the activations that were called as functions
    """

    calls: Mapping[nn.Module, tuple[Call, ...]]
    followers: Mapping[nn.Module, frozenset[nn.Module | None]]
    gates: frozenset[nn.Module]
    last: nn.Module | None
    functions: tuple[str, ...]

    def channels(self, layer: nn.Module) -> int | None:
        """The channels of the layer's input; None if it was called with several numbers of them."""
        found = {call.shape[1] for call in self.calls[layer]}
        return found.pop() if len(found) == 1 else None


def dataflow(net: nn.Module, layers: tuple[type[nn.Module], ...], images: Tensor | None = None) -> Dataflow:
    """The dataflow between those layers of `net` whose class is among `layers`, in training mode.

    Identities are seen through. Auxiliary heads run where the images are large enough. `images`, and what is raised,
    are as in `passed_through`.
    """

    def watch(copied: nn.Module, given: Tensor) -> Dataflow:
        watched = {
            mine: own for mine, own in zip(copied.modules(), net.modules(), strict=True) if isinstance(mine, layers)
        }
        return _watch(copied, watched, given)

    return passed_through(net, images, watch)


def passed_through(net: nn.Module, images: Tensor | None, watch: Callable[[nn.Module, Tensor], Found]) -> Found:
    """What `watch` finds on a copy of `net` in training mode and a batch of two for it.

    images: a batch as the net takes it, of which only the shape matters. None: for a `Network`, input of the size that
    it was created for; for other modules, 64 x 64 pixels with the channels of the first convolution, else 3.
    The copy is on the meta device, without values; where that fails, as with tensors that forward makes itself, it is
    one with values. Raises RequestError for a module that does not run on such images.
    """
    example = _example(net, images)
    made: tuple[Callable[[], tuple[nn.Module, torch.device]], ...] = (
        lambda: (meta_copy(net), torch.device("meta")),
        lambda: (copy.deepcopy(net), next((each.device for each in net.parameters()), torch.device("cpu"))),
    )
    problem = ""
    for make in made:
        copied, device = make()
        try:
            with torch.random.fork_rng(devices=[]):
                return watch(copied.train(), torch.zeros_like(example, device=device))
        except Exception as error:  # of the module's own code
            problem = (str(error).strip() or type(error).__name__).splitlines()[0]
    raise RequestError(
        f"{_name(net)} does not run on images {list(example.shape)}: {problem}; give images, a batch [N, C, H, W]"
    )


def _watch(copied: nn.Module, watched: Mapping[nn.Module, nn.Module], images: Tensor) -> Dataflow:
    watcher = _Watcher(watched)
    with forward_hooks() as (before, after), watcher, torch.no_grad():
        for layer in watched:
            before(layer, watcher.enters)
            after(layer, watcher.leaves)
        output = _run(copied, images)
    return watcher.found(output)


def _run(net: nn.Module, images: Tensor) -> object:
    if isinstance(net, Net) and net.auxiliary_heads:
        try:
            return net.forward_aux(images)[0]
        except RequestError:  # too small for a head; for the net too, the next line says so
            pass
    return net(images)


class _Watcher(TorchFunctionMode):
    """Records who makes and who takes each tensor, from the layers' hooks and from functions called between layers."""

    def __init__(self, watched: Mapping[nn.Module, nn.Module]) -> None:
        super().__init__()
        self.watched = watched
        self.makers: dict[int, nn.Module] = {}
        self.kept: list[Tensor] = []  # alive, so that no other tensor gets the same id
        self.calls: dict[nn.Module, list[Call]] = {}
        self.followers: dict[nn.Module, set[nn.Module | None]] = {}
        self.gates: set[nn.Module] = set()
        self.functions: list[str] = []
        self.within = 0

    def enters(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """A forward pre-hook of every watched layer."""
        self.within += 1
        layer = self.watched[module]
        source = self.makers.get(id(inputs[0]))
        self.calls.setdefault(layer, []).append(Call(source, tuple(inputs[0].shape)))
        if source is not None:
            self.followers.setdefault(source, set()).add(layer)

    def leaves(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Output) -> None:
        """A forward hook of every watched layer."""
        self.within -= 1
        made = first_of(output)
        self.makers[id(made)] = self.watched[module]
        self.kept += [*inputs, made]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.within and _tensors([result]):  # else it has asked for the shape or the like
            name = getattr(func, "__name__", "")
            if name in FUNCTIONS:
                self.functions.append(name)
            tensors = _tensors([*args, *(kwargs or {}).values()])
            for tensor in tensors:
                self._taken(tensor, product=name in _PRODUCTS and len(tensors) > 1)
            self.makers.pop(id(result), None)  # changed in place: no layer's output any more
        return result

    def _taken(self, tensor: Tensor, *, product: bool) -> None:
        # Between a gate and the product there may be views; asking for the base would itself be watched.
        with torch._C.DisableTorchFunction():
            base = tensor._base
        maker = self.makers.get(id(tensor))
        if maker is not None:
            self.followers.setdefault(maker, set()).add(None)
        gate = maker or (self.makers.get(id(base)) if base is not None else None)
        if product and gate is not None:
            self.gates.add(gate)

    def found(self, output: object) -> Dataflow:
        """Everything that was recorded."""
        return Dataflow(
            {layer: tuple(calls) for layer, calls in self.calls.items()},
            {layer: frozenset(self.followers.get(layer, ())) for layer in self.calls},
            frozenset(self.gates),
            self.makers.get(id(output)),
            tuple(self.functions),
        )


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among the values, and in lists and tuples among them."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def _example(net: nn.Module, images: Tensor | None) -> Tensor:
    """A batch of two for `net`, without values."""
    if images is None and isinstance(net, Network):
        size: Any = net.input_size or net.options.get("input_size") or USUAL_SIZE
        return net.example(2, size)
    kind = next((each.dtype for each in net.parameters() if each.is_floating_point()), torch.float32)
    first = next((layer for layer in net.modules() if isinstance(layer, nn.Conv2d)), None)
    shape = (3 if first is None else first.in_channels, _SIDE, _SIDE) if images is None else images.shape[1:]
    return torch.empty(2, *shape, dtype=kind, device="meta")


def _name(net: nn.Module) -> str:
    return net.name if isinstance(net, Network) else type(net).__name__
