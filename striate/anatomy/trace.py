"""A trace of one forward pass on the meta device: each operation, its module, its inputs and its receptive field.

Operations are recorded as torch dispatches them, so that nothing needs to be known about how a network is written:
branches, shared layers and functions are all seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from striate.anatomy.receptive import PIXEL, Field, Operand, seen
from striate.layers.modes import in_evaluation
from striate.nets.base import Network
from striate.nets.shapes import Hook, Output, PreHook, first_of, forward_hooks, without_values

# The operations that multiply and add, in torch's names, and how many inputs go into one output.
PRODUCTS: Mapping[str, Callable[[Mapping[str, Any]], int]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), lambda given: int(given["weight"][0].numel())),
    "linear": lambda given: int(given["weight"].shape[-1]),
    **dict.fromkeys(("matmul", "mm", "mv", "dot"), lambda given: int(given["self"].shape[-1])),
    "bmm": lambda given: int(given["self"].shape[-1]),
    "addmm": lambda given: int(given["mat1"].shape[-1]),
    "baddbmm": lambda given: int(given["batch1"].shape[-1]),
}


class Step(NamedTuple):
    """One operation: `op` in torch's own name, `module` the innermost module that called it, `visit` its how many-th
    call; `inputs` are the numbers of the steps whose values go in (0 is the image), `output` the shape that comes out.
    """

    number: int
    op: str
    module: str
    visit: int
    inputs: tuple[int, ...]
    output: tuple[int, ...]
    field: Field | None


class Cost(NamedTuple):
    """Multiply-adds of one call of a module, or of an operation that no rule covers."""

    module: str
    what: str
    madds: int


class Trace(NamedTuple):
    """The steps in order; for each child of the module, the step of its output; what was counted; and products
    that are part of no layer with a rule, so not counted.
    """

    steps: list[Step]
    left: dict[str, Step]
    counted: list[Cost]
    uncounted: list[Cost]


def trace(net: Network, input_size: Sequence[int]) -> Trace:
    """What `forward` does with one image of `input_size` (height, width), in evaluation mode. `net` is not changed.

    Raises RequestError for an image that is too small.
    """
    return _traced(net, net.example(1, input_size))


def trace_training(net: Network, input_size: Sequence[int]) -> Trace:
    """The same for `forward_aux`, where the net has it: auxiliary heads are run, too, but dropout is still off."""
    return _traced(net, net.example(1, input_size), "forward_aux" if hasattr(net, "forward_aux") else "")


def trace_module(module: nn.Module, shape: Sequence[int]) -> Trace:
    """The same for any module and an input of `shape` (channels, height, width)."""
    number = next((parameter.dtype for parameter in module.parameters()), torch.float32)
    return _traced(module, torch.empty(1, *shape, dtype=number, device="meta"))


def trace_run(module: nn.Module, image: Tensor) -> Trace:
    """The same for a module where it is and an image [1, channels, height, width] with values.

    For one trace in a process this is faster: without values torch computes many operations in Python, and imports its
    compiler for that, which takes more than a second.
    """
    with in_evaluation(module):
        return _recorded(module, image)


def _traced(module: nn.Module, image: Tensor, method: str = "") -> Trace:
    """`image`: an input without values; `method` is called in place of the module."""
    with without_values(module) as still:
        return _recorded(still, image, method)


def _recorded(still: nn.Module, image: Tensor, method: str = "") -> Trace:
    found = Trace([], {}, [], [])
    stack = [Call("", 0, "")]
    modules = dict(still.named_modules())
    watch = _Watch(image, modules, stack, found)
    with forward_hooks() as (before, after):
        for path, part in modules.items():
            before(part, _enter(stack, path))
            after(part, _leave(stack, found.counted))
        for path, part in still.named_children():
            after(part, watch.output_of(path))
        with torch.inference_mode(), watch:
            (getattr(still, method) if method else still)(image)
    return found


def has_rule(module: nn.Module) -> bool:
    """Whether the module's multiply-adds are counted: convolutions, linear layers, and what counts itself."""
    return isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear) or hasattr(module, "multiply_adds")


def cost(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> int:
    """Multiply-adds of one call, from what went in and came out of it (one image)."""
    if isinstance(module, nn.ConvTranspose2d):
        height, width = module.kernel_size
        return inputs[0].numel() * (module.out_channels // module.groups) * height * width
    if isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        return output.numel() * (module.in_channels // module.groups) * height * width
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    return int(cast(Any, module).multiply_adds(output))


class Call(NamedTuple):
    """A module that is running: its path in the network, its how many-th call, and from where it is called.

    `by` differs from `path` for a module that several share: it begins with the path of the one that calls.
    """

    path: str
    visit: int
    by: str


def _enter(stack: list[Call], path: str) -> PreHook:
    visits = 0

    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal visits
        visits += 1
        above = stack[-1]
        inside = not above.path or path.startswith(f"{above.path}.")
        own = path.removeprefix(above.path).lstrip(".") if inside else path.rpartition(".")[2]
        stack.append(Call(path, visits, f"{above.by}.{own}".lstrip(".")))

    return hook


def _leave(stack: list[Call], counted: list[Cost]) -> Hook:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Output) -> None:
        call = stack.pop()
        if has_rule(module):
            counted.append(Cost(call.by, type(module).__name__, cost(module, inputs, first_of(output))))

    return hook


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's
    """Records every operation on a value that comes from the image."""

    def __init__(self, image: Tensor, modules: Mapping[str, nn.Module], stack: list[Call], found: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self.modules, self.stack, self.found = modules, stack, found
        # By identity: an operation in place returns the same tensor. It is stored, so that no other gets its identity.
        self.made_by: dict[int, tuple[Tensor, Step]] = {}
        start = Step(0, "image", "", 0, (), tuple(image.shape), PIXEL)
        self.made_by[id(image)] = (image, start)

    def output_of(self, path: str) -> Hook:
        """A hook that records the step that computes a module's output."""

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Output) -> None:
            if (made := self.made_by.get(id(first_of(output)))) is not None:
                self.found.left[path] = made[1]

        return hook

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch would import its compiler to keep this class out of it."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        alike = _ALIKE.get(func)
        result = func(*args, **(kwargs or {})) if alike is None else alike(args[0])
        op = func.overloadpacket.__name__.rstrip("_")
        given = _named(func, args, kwargs or {})
        outputs = [each for each in _flat(result) if isinstance(each, Tensor)]
        if outputs:
            self._weigh(op, given, outputs[0])
            self._note(op, given, outputs)
        return result

    def _note(self, op: str, given: Mapping[str, Any], outputs: Sequence[Tensor]) -> None:
        sources = [self.made_by[id(each)] for each in _flat(tuple(given.values())) if id(each) in self.made_by]
        if not sources:
            return
        module, visit, _ = self.stack[-1]
        operands = [Operand(tuple(value.shape), step.field) for value, step in sources]
        shape = tuple(outputs[0].shape)
        numbers = tuple(dict.fromkeys(step.number for _, step in sources))
        step = Step(len(self.found.steps) + 1, op, module, visit, numbers, shape, seen(op, given, operands, shape))
        self.found.steps.append(step)
        for value in outputs:
            self.made_by[id(value)] = (value, step)

    def _weigh(self, op: str, given: Mapping[str, Any], output: Tensor) -> None:
        """Record a product that no enclosing module counts."""
        if op in PRODUCTS and not any(has_rule(self.modules[call.path]) for call in self.stack):
            self.found.uncounted.append(Cost(self.stack[-1].by, op, output.numel() * PRODUCTS[op](given)))


# Operations whose output is like their first input: on the meta device torch computes the shape in Python, which takes
# half of the time of a trace.
_ALIKE: Mapping[Any, Callable[[Tensor], Any]] = {
    torch.ops.aten.batch_norm.default: torch.empty_like,
    torch.ops.aten.relu.default: torch.empty_like,
    torch.ops.aten.silu.default: torch.empty_like,
    torch.ops.aten.sigmoid.default: torch.empty_like,
    torch.ops.aten.tanh.default: torch.empty_like,
    torch.ops.aten.relu_.default: lambda x: x,
}


def _named(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name, those left out as torch's schema has them."""
    schema = func._schema.arguments
    left_out = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    given = {argument.name: value for argument, value in zip(schema, args, strict=False)}
    return {**left_out, **given, **kwargs}


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _flat(each)
    else:
        yield value
