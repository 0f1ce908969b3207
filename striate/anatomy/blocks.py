"""A network as a diagram: stages of blocks, blocks of units, and which unit's output goes into which."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any, NamedTuple, cast

from torch import nn

from striate.anatomy.trace import Step, Trace
from striate.layers.hyper_conv import HyperConv2d
from striate.layers.stochastic_depth import StochasticDepth
from striate.nets.base import Network

_DRAWN = 16  # largest number of units of a drawing

_BESIDE = ("batch_norm", "layer_norm", "group_norm", "instance_norm")
_ACTIVATIONS = (
    *("relu", "relu6", "hardtanh", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus"),
    *("sigmoid", "hardsigmoid", "hardswish", "tanh", "softmax", "log_softmax", "clamp", "clamp_min"),
)
_JOINS = {"add": "+", "mul": "\u00d7", "cat": "cat", "sub": "\u2212", "maximum": "max", "stack": "stack"}
_NAMES = {"BatchNorm2d": "BN", "LocalResponseNorm": "LRN", "LRN": "LRN", "Dropout": "dropout", "Dropout2d": "dropout"}
_SPOKEN = {"batch_norm": "BN", "relu": "ReLU", "hardtanh": "ReLU6", "relu6": "ReLU6", "silu": "SiLU", "gelu": "GELU"}


@dataclass
class Unit:
    """One box: a layer with the normalisation and the activation that follow it, or a place where values join.

    `kind` is "convolution", "depthwise", "pooling", "linear", "join", "norm" (on its own) or "other"; `inputs`
    are numbers of other units (0 is the image). `size` is height and width of its output map, None without.
    """

    number: int
    path: str
    kind: str
    label: str
    channels: int
    size: tuple[int, int] | None
    inputs: tuple[int, ...]
    after: list[str] = field(default_factory=list)

    @property
    def detail(self) -> str:
        """Channels where they are this unit's own, then what follows in the same box."""
        own = () if self.kind in ("join", "norm", "pooling") else (str(self.channels),)
        return " \u00b7 ".join((*own, *self.after))


class Block(NamedTuple):
    """Units that belong together, in order; `times` equal blocks in sequence.

    `dense`: its input is the output of all earlier blocks, not only of the previous one.
    """

    name: str
    times: int
    dense: bool
    units: list[Unit]


class Stage(NamedTuple):
    """A child of the net with its blocks; `source` is the stage that feeds it, empty where it is not one."""

    name: str
    source: str
    blocks: list[Block]


def stages(net: Network, traced: Trace) -> list[Stage]:
    """The children of the net in order. What the net does between two of them is drawn with the second."""
    groups: dict[str, list[Unit]] = {}
    waiting: list[Unit] = []
    for unit in _units(net, traced.steps):
        waiting.append(unit)
        if name := unit.path.partition(".")[0]:
            groups.setdefault(name, []).extend(waiting)
            waiting = []
    if groups:
        groups[next(reversed(groups))] += waiting
    stage_of = {unit.number: name for name, group in groups.items() for unit in group}
    found: list[Stage] = []
    for name, group in groups.items():
        seen = {stage_of[number] for unit in group for number in unit.inputs if number in stage_of} - {name}
        found.append(Stage(name, seen.pop() if len(seen) == 1 else "", _blocks(net, name, group)))
    return found


def _blocks(net: Network, stage: str, units: list[Unit]) -> list[Block]:
    """The stage divided into its blocks, repeated ones counted."""
    blocks: list[Block] = []
    parts = _cut(net, stage, units)
    chain = _is_chain([part for _, part in parts])
    for name, part in parts:
        if blocks and _likeness(blocks[-1].units) == _likeness(part):
            blocks[-1] = blocks[-1]._replace(times=blocks[-1].times + 1)
        else:
            blocks.append(Block(name, 1, not chain and bool(blocks), part))
    return blocks


def _cut(net: Network, name: str, units: list[Unit]) -> list[tuple[str, list[Unit]]]:
    """The units of the module `name` by its children, where those follow one another and at least one is a block.

    What is larger than can be drawn is cut in any case.
    """
    depth = name.count(".") + 2
    parts = [(child, list(part)) for child, part in groupby(units, lambda unit: ".".join(unit.path.split(".")[:depth]))]
    if len(parts) == 1:
        child = parts[0][0]
        return _cut(net, child, units) if child.count(".") == depth - 1 and len(units) > 1 else [(name, units)]
    container = isinstance(net.get_submodule(name), nn.Sequential | nn.ModuleList)
    in_a_row = container and any(map(_is_block, (part for _, part in parts))) and _is_chain([p for _, p in parts])
    return parts if in_a_row or len(units) > _DRAWN else [(name, units)]


def _is_block(units: Sequence[Unit]) -> bool:
    """More than one layer with its normalisation."""
    return sum(unit.kind in ("convolution", "depthwise", "join", "linear", "other") for unit in units) > 1


def _is_chain(parts: Sequence[Sequence[Unit]]) -> bool:
    """Whether the inputs of each part are its own units and the last one of the previous part."""
    for before, part in pairwise(parts):
        own = {unit.number for unit in part}
        if {number for unit in part for number in unit.inputs} - own != {before[-1].number}:
            return False
    return True


def _likeness(units: Sequence[Unit]) -> tuple[object, ...]:
    """What two blocks have in common that are drawn as one: all but the numbers of the units."""
    place = {unit.number: at for at, unit in enumerate(units)}
    return tuple(
        (unit.kind, unit.label, unit.detail, unit.size, *sorted({place.get(number, -1) for number in unit.inputs}))
        for unit in units
    )


def _units(net: Network, steps: Sequence[Step]) -> list[Unit]:
    """Steps joined to units: those of one layer, those that follow it alone, and those that only arrange numbers."""
    leaves = {path: part for path, part in net.named_modules() if _is_layer(part)}
    by_chance = {path for path, part in net.named_modules() if isinstance(part, StochasticDepth)}
    users = Counter(number for step in steps for number in step.inputs)
    found: dict[int, Unit] = {}
    unit_of = {0: 0}
    calls: dict[tuple[str, int], int] = {}
    for step in steps:
        leaf = leaves.get(step.module)
        inputs = tuple(dict.fromkeys(unit_of[number] for number in step.inputs))
        call = (step.module, step.visit)
        host = found.get(calls[call] if leaf is not None and call in calls else inputs[0])
        kind, label = ("more", "") if leaf is not None and call in calls else _kind_and_label(step, leaf)
        if kind == "more" and host is not None:
            _grow(host, step, inputs)
        elif kind == "norm" and host is not None and len(inputs) == 1 and _follows(step, label, host, users):
            host.after.append(label)
        elif kind != "arrange":
            label += " by chance" if kind == "join" and step.module in by_chance else ""
            host = found[step.number] = Unit(step.number, step.module, kind, label, 0, None, inputs)
            _grow(host, step, inputs)
        unit_of[step.number] = host.number if host else 0
        if leaf is not None and kind != "arrange" and host is not None:
            calls[call] = host.number
    return list(found.values())


def _is_layer(part: nn.Module) -> bool:
    """Whether a module is one box; the network that makes a kernel is not drawn."""
    return isinstance(part, HyperConv2d) or not any(True for _ in part.children())


def _grow(unit: Unit, step: Step, inputs: tuple[int, ...]) -> None:
    """Add a step of the same layer; the output of the unit is that of its last step."""
    unit.inputs = tuple(dict.fromkeys(number for number in (*unit.inputs, *inputs) if number != unit.number))
    if unit.kind == "norm" or not unit.after:
        unit.channels = step.output[1] if len(step.output) > 1 else 1
        unit.size = cast("tuple[int, int]", step.output[-2:]) if len(step.output) >= 4 else None


def _follows(step: Step, label: str, host: Unit, users: Mapping[int, int]) -> bool:
    """Whether a step may join the box before it: it is its only user, and of the same part."""
    if any(users[number] > 1 for number in step.inputs):
        return False
    if host.kind == "join":
        return host.path in (step.module, step.module.rpartition(".")[0])
    return label == "dropout" or step.module.partition(".")[0] == host.path.partition(".")[0]


def _kind_and_label(step: Step, leaf: nn.Module | None) -> tuple[str, str]:
    """Kind and label of the unit that a step starts; "arrange" for a step without one."""
    if leaf is not None:
        return _layer(leaf, step)
    if step.op in _JOINS:
        # With a number, or with a parameter, nothing joins.
        return ("join", _JOINS[step.op]) if len(step.inputs) > 1 else ("arrange", "")
    if step.op in ("mean", "adaptive_avg_pool2d") and (len(step.output) < 4 or step.output[-2:] == (1, 1)):
        return "pooling", "global mean"
    if step.op == "dropout":
        return "norm", "dropout"
    if step.op in _ACTIVATIONS or step.op in _BESIDE:
        return "norm", _SPOKEN.get(step.op, step.op)
    if "pool" in step.op:
        return "pooling", "max pool" if "max" in step.op else "average pool"
    if step.op in ("conv2d", "linear", "matmul", "bmm"):
        return ("convolution" if step.op == "conv2d" else "linear"), step.op
    return ("join", step.op) if len(step.inputs) > 1 else ("arrange", "")


def _layer(layer: nn.Module, step: Step) -> tuple[str, str]:
    if isinstance(layer, nn.Conv2d):
        return _convolution(layer)
    if isinstance(layer, HyperConv2d):
        stride = "".join(_said(" /{}", layer.stride))
        return "convolution", f"{_sides(layer.generator.kernel)} conv{stride} made by a network"
    if isinstance(layer, nn.Linear):
        return "linear", "linear"
    name = type(layer).__name__
    if "Pool" in name:
        return _pooling(layer, name)
    if isinstance(layer, nn.Flatten | nn.Unflatten | nn.Identity):
        return "arrange", ""
    if (
        "Norm" in name
        or name in _NAMES
        or name.startswith("Dropout")
        or step.op in _ACTIVATIONS
        or _is_pointwise(layer)
    ):
        return "norm", _NAMES.get(name, name)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("2d"))
    return "other", words if words.isupper() else words.lower()


def _is_pointwise(layer: nn.Module) -> bool:
    return type(layer).__module__.endswith(".activation")


def _convolution(layer: nn.Conv2d) -> tuple[str, str]:
    kernel = _sides(layer.kernel_size)
    extra = "".join(_said(" /{}", layer.stride)) + "".join(_said(" dilation {}", layer.dilation))
    if layer.groups > 1 and layer.groups == layer.in_channels:
        return "depthwise", f"{kernel} depthwise{extra}"
    groups = f" {layer.groups} groups" if layer.groups > 1 else ""
    return "convolution", f"{kernel} conv{extra}{groups}"


def _pooling(layer: nn.Module, name: str) -> tuple[str, str]:
    what = "max" if "Max" in name else "average"
    if name.startswith("Adaptive"):
        whole = cast(Any, layer).output_size in (1, (1, 1))
        return (
            "pooling",
            f"global {'mean' if what == 'average' else what}"
            if whole
            else f"{what} to {_sides(cast(Any, layer).output_size)}",
        )
    kernel, stride = cast(Any, layer).kernel_size, cast(Any, layer).stride
    return "pooling", f"{_sides(kernel)} {what}{''.join(_said(' /{}', stride))}"


def _sides(value: object) -> str:
    down, across = value if isinstance(value, tuple | list) else (value, value)
    return f"{down}\u00d7{across}"


def _said(words: str, value: object) -> Iterator[str]:
    """The words with the value in them, unless it is 1."""
    sides = value if isinstance(value, tuple | list) else (value, value)
    if set(sides) != {1}:
        yield words.format(sides[0] if len(set(sides)) == 1 else _sides(sides))
