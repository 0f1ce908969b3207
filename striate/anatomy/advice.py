"""Design advice for a network, from a trace of its layers alone: facts and what to try, never a predicted accuracy.

Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2015, arXiv:1512.00567, sections 2, 3.1 and 5 (principles 1 to 4); Lin,
Chen, Yan 2013, arXiv:1312.4400, section 3.2; Ioffe, Szegedy 2015, arXiv:1502.03167.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from striate.anatomy.trace import Step, Trace, trace_module
from striate.errors import RequestError, shown

MOST = 5  # findings
DIP, RISE = 0.4, 1.5  # a bottleneck: the map has shrunk to less, and the next layer makes it so many times larger
LARGE_KERNELS = 0.1  # share of the multiply-adds in kernels of 5x5 and more, after the first layer
ONE_GRID = 0.75  # share of the multiply-adds of convolutions at one size of map
LINEAR, LINEAR_LEAST = 0.5, 1_000_000  # share of the parameters in linear layers, and at least so many
DEEP = 10  # convolutions: so many need a normalisation

NORMS = ("batch_norm", "layer_norm", "group_norm", "instance_norm", "local_response_norm")
SATURATING = ("sigmoid", "tanh")
RECTIFYING = (
    *("relu", "relu6", "hardtanh", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus"),
    *("hardswish", "clamp", "clamp_min", "maximum", "max_pool2d_with_indices", "max_pool2d"),
)
POOLS = ("max_pool2d", "max_pool2d_with_indices", "avg_pool2d")


@dataclass(frozen=True)
class Advice:
    """One finding. kind: for programs. stage: the module. number: what was measured, as in `seen`; do: what to try."""

    kind: str
    stage: str
    number: float
    seen: str
    do: str

    def line(self) -> str:
        """As one line, for the terminal."""
        return f"{self.stage}: {self.seen}; {self.do}" if self.stage else f"{self.seen}; {self.do}"

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return asdict(self)


def advice(net: nn.Module, input_size: Sequence[int]) -> list[Advice]:
    """At most five findings about the design of any network, most weighty kinds first; [] where nothing is remarkable.

    input_size: height and width, or channels, height and width; without channels, those that its first layer takes.
    The network runs on the meta device: nothing is computed. Raises RequestError for a size that it cannot take.
    """
    if len(input_size) not in (2, 3) or not all(isinstance(side, int) and side > 0 for side in input_size):
        raise RequestError(f"input_size must be height and width, such as (224, 224), not {shown(input_size)}")
    shape = tuple(input_size) if len(input_size) == 3 else (_channels(net), *input_size)
    try:
        traced = trace_module(net, shape)
    except RequestError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(f"{type(net).__name__} does not run on an image of {list(shape)}: {first}") from error
    layers = dict(net.named_modules())
    return [
        *_bottlenecks(traced),
        *_large_kernels(traced, layers),
        *_linear_share(traced, layers),
        *_no_norm(traced),
        *_activations(traced),
        *_small_field(traced, shape),
        *_one_grid(traced, layers),
    ][:MOST]


def _channels(net: nn.Module) -> int:
    known = getattr(net, "in_channels", None)
    if isinstance(known, int):
        return known
    return next((module.in_channels for module in net.modules() if isinstance(module, nn.Conv2d)), 3)


def _bottlenecks(traced: Trace) -> Iterator[Advice]:
    """Where everything passes through a map much smaller than before, which the next layer makes larger again."""
    points = [
        (step, active) for step, active in _cuts(traced) if len(step.output) == 4 and math.prod(step.output[2:]) > 1
    ]
    found: list[tuple[float, Advice]] = []
    for place in range(1, len(points) - 1):
        (before, _), (here, active), (after, _) = points[place - 1 : place + 2]
        sizes = [math.prod(step.output[1:]) for step in (before, here, after)]
        if not (sizes[1] <= DIP * sizes[0] and sizes[2] >= RISE * sizes[1]):
            continue
        pooled = here.op in POOLS
        if not pooled and (not active or here.output[2:] != before.output[2:]):
            continue  # a linear bottleneck, without an activation after it; or a convolution with a stride
        sides = [" x ".join(str(side) for side in step.output[1:]) for step in (before, here, after)]
        seen = (
            f"the map shrinks from {sides[0]} to {sides[1]}, {sizes[1] / sizes[0]:.0%}, before it grows to {sides[2]}"
        )
        do = (
            "try a convolution with stride 2 beside the pooling, and concatenate both"
            if pooled
            else "try more channels in this layer"
        )
        kind = "pooled first" if pooled else "compression"
        found.append((sizes[1] / sizes[0], Advice(kind, _stage(here, before), sizes[1] / sizes[0], seen, do)))
    for kind in ("pooled first", "compression"):
        own = sorted(((share, one) for share, one in found if one.kind == kind), key=lambda pair: pair[0])
        if own:
            _, worst = own[0]
            others = f" (and {len(own) - 1} more such places)" if len(own) > 1 else ""
            yield Advice(worst.kind, worst.stage, worst.number, f"{worst.seen}{others}", worst.do)


def _cuts(traced: Trace) -> Iterator[tuple[Step, bool]]:
    """The steps that everything passes through: when one is done, no earlier value is used any more.

    Norms and activations that keep the size belong to the layer before, which comes with whether it has an activation.
    """
    last_use = {number: step.number for step in traced.steps for number in step.inputs}
    waiting: set[int] = {0}
    kept: Step | None = None
    activated = False
    for step in traced.steps:
        waiting.add(step.number)
        waiting = {number for number in waiting if last_use.get(number, 0) > step.number}
        if waiting - {step.number}:
            continue
        active = step.op in (*RECTIFYING, *SATURATING)
        if kept is not None and kept.output == step.output and (active or any(norm in step.op for norm in NORMS)):
            activated = activated or active
            continue
        if kept is not None:
            yield kept, activated
        kept, activated = step, active
    if kept is not None:
        yield kept, activated


def _stage(step: Step, before: Step) -> str:
    return step.module or before.module


def _large_kernels(traced: Trace, layers: dict[str, nn.Module]) -> Iterator[Advice]:
    """Kernels of 5x5 and more after the first layer, where they cost."""
    costs = Counter[str]()
    for cost in traced.counted:
        costs[cost.module] += cost.madds
    whole = sum(costs.values())
    convolutions = [(name, layers[name]) for name in costs if isinstance(layers.get(name), nn.Conv2d)]
    large = [
        (name, layer.kernel_size[0])
        for name, layer in convolutions[1:]
        if isinstance(layer, nn.Conv2d) and min(layer.kernel_size) >= 5 and layer.groups < layer.in_channels
    ]
    share = sum(costs[name] for name, _ in large) / whole if whole else 0.0
    if large and share >= LARGE_KERNELS:
        name, side = max(large, key=lambda pair: costs[pair[0]])
        stack = (side - 1) // 2
        saved = 1 - 9 * stack / side**2
        seen = f"kernels of {side} x {side} have {share:.0%} of the multiply-adds"
        do = f"{stack} convolutions of 3 x 3 see as much with {saved:.0%} fewer weights and {stack} activations"
        yield Advice("large kernels", name, share, seen, f"{do} (channels equal)")


def _linear_share(traced: Trace, layers: dict[str, nn.Module]) -> Iterator[Advice]:
    """Fully connected layers with most of the parameters."""
    ran = {step.module for step in traced.steps}  # auxiliary heads do not, and are not part of the model
    counts = {name: sum(p.numel() for p in module.parameters(False)) for name, module in layers.items() if name in ran}
    sizes = {name: count for name, count in counts.items() if isinstance(layers[name], nn.Linear)}
    whole = sum(counts.values())
    share = sum(sizes.values()) / whole if whole else 0.0
    if share >= LINEAR and sum(sizes.values()) >= LINEAR_LEAST:
        seen = f"fully connected layers have {share:.0%} of the {whole:,} parameters"
        do = "try the mean of the last map and one linear layer"
        yield Advice("fully connected", max(sizes, key=sizes.__getitem__), share, seen, do)


def _no_norm(traced: Trace) -> Iterator[Advice]:
    """Deep, and without any normalisation."""
    convolutions = [step for step in traced.steps if step.op == "conv2d"]
    normalised = any(any(norm in step.op for norm in (*NORMS, "selu")) for step in traced.steps)
    if len(convolutions) >= DEEP and not normalised and not _divides(traced):
        seen = f"{len(convolutions)} convolutions without a normalisation"
        do = "try batch norm after each: it allows higher learning rates and depends less on the initial weights"
        yield Advice("no normalisation", "", float(len(convolutions)), seen, do)


def _divides(traced: Trace) -> bool:
    """Whether values are divided by what was computed from them: a normalisation of the network's own."""
    return any(step.op == "div" and len(step.inputs) > 1 for step in traced.steps)


def _activations(traced: Trace) -> Iterator[Advice]:
    """No non-linearity between convolutions, or only saturating ones in a deep network."""
    convolutions = [step for step in traced.steps if step.op == "conv2d"]
    inner = [step for step in traced.steps if len(step.output) == 4 and step.output[2] * step.output[3] > 1]
    rectifying = [step for step in inner if step.op in RECTIFYING]
    saturating = [step for step in inner if step.op in SATURATING]
    if len(convolutions) > 1 and not rectifying and not saturating:
        seen = f"{len(convolutions)} convolutions and no activation between them: together they are one linear layer"
        yield Advice("no activation", convolutions[0].module, float(len(convolutions)), seen, "try ReLU after each")
    if len(saturating) >= 4 and len(saturating) > len(rectifying):
        seen = f"{len(saturating)} activations are sigmoid or tanh, whose gradients vanish with depth"
        yield Advice("saturating", saturating[0].module, float(len(saturating)), seen, "try ReLU")


def _small_field(traced: Trace, shape: Sequence[int]) -> Iterator[Advice]:
    """The last map sees a part of the image only, and is averaged: parts are never seen together."""
    maps = [step for step in traced.steps if len(step.output) == 4 and step.output[2] * step.output[3] > 1]
    if not maps or maps[-1].field is None or maps[-1].field.gated:
        return
    means = ("mean", "adaptive_avg_pool2d")
    pooled = [step for step in traced.steps if maps[-1].number in step.inputs and step.op in means]
    down, across = maps[-1].field.size
    if pooled and down < shape[1] and across < shape[2]:
        seen = f"a unit of the last map sees {down} x {across} pixels of {shape[1]} x {shape[2]}"
        do = "try more strides or layers, or smaller images, so that some unit sees the whole object"
        yield Advice("small field", maps[-1].module, down * across / (shape[1] * shape[2]), seen, do)


def _one_grid(traced: Trace, layers: dict[str, nn.Module]) -> Iterator[Advice]:
    """Most of the cost at one size of map: depth and width are not balanced over the stages."""
    costs = Counter[tuple[int, ...]]()
    modules: dict[tuple[int, ...], str] = {}
    outputs = {step.module: step.output[2:] for step in traced.steps if step.op == "conv2d"}
    for cost in traced.counted:
        if isinstance(layers.get(cost.module), nn.Conv2d) and cost.module in outputs:
            costs[outputs[cost.module]] += cost.madds
            modules.setdefault(outputs[cost.module], cost.module)
    whole = sum(costs.values())
    if len(outputs) < DEEP or len(costs) < 2 or not whole:
        return
    grid, most = costs.most_common(1)[0]
    if most / whole >= ONE_GRID:
        seen = f"layers with maps of {grid[0]} x {grid[1]} have {most / whole:.0%} of the convolutions' multiply-adds"
        do = "try to move depth or channels to the other stages, so that depth and width grow together"
        yield Advice("one stage", modules[grid], most / whole, seen, do)
