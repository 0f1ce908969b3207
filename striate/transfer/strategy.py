"""Choosing how to learn: from a pretrained net's features, by tuning it, or from scratch; and saying why.

What the choice hangs on, how many images there are and how near they are to the pretrained net's, is the table of
Stanford's CS231n notes on transfer learning: few, a linear head; many and near, the top is tuned; many and far, more.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.nets.catalog import USUAL_SIZE, Entry, known
from striate.pixels import Pixels
from striate.weights.kept import kept_nets
from striate.weights.peers import sources_of
from striate.weights.registry import SOURCES, has_weights

DEFAULT_BACKBONE = "efficientnet_lite0"
SMALL = 40  # pixels: below this, what a net knows of photographs helps little
SMALL_IMAGES = 64  # pixels: an own net that names no size takes images of up to this side as they are
MANY = 1000  # images: from so many on, it pays to measure how near they are to what the net knows
MORE = 5000  # images: from so many on, tuning helps even near ones
# What the net's own thousand classes are sure of, on average: 0.78 of ImageNet's photographs and 0.69 of ants and bees,
# but 0.32 of turned objects and of CIFAR-10, 0.20 of grey faces, 0.14 of digits (and as much of noise).
NEAR = 0.5
AFFORDABLE = 600.0  # seconds: what takes longer is not chosen without being asked for
ENOUGH_FROM_SCRATCH = 2000  # small images: from so many on, a small net of their own size learns better from them


@dataclass(frozen=True)
class Glance:
    """What headers tell before anything is decoded. side: median of the shorter sides. count: of images."""

    count: int
    side: int
    largest: int
    grey: bool


@dataclass(frozen=True)
class Plan:
    """What will be done, and why, in words for the user."""

    strategy: str
    net: str
    why: str


def glance(source: Source, sample: int = 64) -> Glance:
    """Read the headers of up to `sample` images spread over the source."""
    step = max(1, len(source.items) // sample)
    seen = [shape for item in source.items[::step][:sample] if (shape := source.peek(item)) is not None]
    if not seen:
        return Glance(len(source.items), 0, 0, False)
    side = statistics.median_low(min(width, height) for width, height, _ in seen)
    largest = max(max(width, height) for width, height, _ in seen)
    return Glance(len(source.items), side, largest, all(channels == 1 for _, _, channels in seen))


def choose(seen: Glance, strategy: str, net: str) -> Plan:
    """The plan for what was asked; "auto" and "" leave it to the data. Raises RequestError for what cannot be."""
    if is_model_file(net):
        if strategy == "scratch":
            raise RequestError(f"strategy 'scratch' begins from nothing, and {net!r} is a model file; name its net")
        asked = strategy != "auto"
        return Plan(strategy if asked else "features", net, "asked for" if asked else f"{net} brings its weights")
    if net:
        net = known(net).name
    if strategy in ("features", "finetune"):
        backbone = net or DEFAULT_BACKBONE
        if not has_weights(backbone):
            raise RequestError(without_weights(strategy, backbone))
        return Plan(strategy, backbone, "asked for")
    if strategy == "scratch":
        return Plan("scratch", net or _net_for(seen), "asked for")
    if net:
        if has_weights(net):
            return Plan("features", net, f"{net} brings weights learnt from {_data_of(net)}")
        return Plan("scratch", net, f"there are no published weights for {net}")
    if seen.side <= SMALL and seen.count >= ENOUGH_FROM_SCRATCH:
        why = f"{seen.count:,} small images ({seen.side} pixels) are enough to learn a net of their own size"
        return Plan("scratch", _net_for(seen), why)
    if seen.side > SMALL:
        why = f"{seen.count:,} photographs: a net that knows ImageNet describes them, a linear head tells them apart"
    else:
        why = f"{seen.count:,} images are too few to learn from scratch; a net that knows ImageNet describes them"
    return Plan("features", DEFAULT_BACKBONE, why)


def is_model_file(net: str) -> bool:
    """Whether what stands for a net is a model file: its net, with its weights."""
    return net.endswith(".safetensors")


def without_weights(strategy: str, net: str) -> str:
    """What is told where a strategy has no weights of `net` to begin with: how they are had."""
    libraries = sources_of(net)
    if libraries:
        others = f" (or {', '.join(libraries[1:])})" if libraries[1:] else ""
        how = f"bring them from a file: striate import FILE --net {net} --from {libraries[0]} --keep{others}"
    else:
        how = "no library's weights fit it"
    return (
        f"strategy {strategy!r} needs weights, and there are none for {net!r} here; {how}; "
        f"nets that have them: {', '.join([*SOURCES, *kept_nets()])}"
    )


def asks_for_nearness(plan: Plan, seen: Glance, strategy: str) -> bool:
    """Whether the plan hangs on how near the images are to what its net knows: one left open, for many images."""
    return strategy == "auto" and plan.strategy == "features" and seen.count >= MANY


def wants_tuning(seen: Glance, sure: float) -> bool:
    """Whether so many images, of which the net's own classes are so sure on average, ask for more than a head."""
    return sure < NEAR or seen.count >= MORE


def reconsidered(plan: Plan, seen: Glance, sure: float, seconds: float) -> Plan:
    """The plan once nearness is measured; `seconds`: what tuning is expected to take, where `wants_tuning`.

    Tuning is chosen where it takes ten minutes at most; else it is told of.
    """
    like = "like" if sure >= NEAR else "unlike"
    found = f"{seen.count:,} images, {like} those that {plan.net} knows (its own classes are {100 * sure:.0f} % sure)"
    if not wants_tuning(seen, sure):
        return Plan("features", plan.net, f"{found}: a linear head on its features tells them apart")
    minutes = f"about {max(1, round(seconds / 60)):,} minute{'' if round(seconds / 60) <= 1 else 's'}"
    if seconds <= AFFORDABLE:
        return Plan("finetune", plan.net, f"{found}: its upper stages are tuned to them, in {minutes}")
    why = f"{found}: a linear head on its features; finetune may do better: --strategy finetune, {minutes}"
    return Plan("features", plan.net, why)


def _data_of(net: str) -> str:
    facts = known(net)
    return (isinstance(facts, Entry) and facts.weights) or "other images"


def _net_for(seen: Glance) -> str:
    if seen.largest <= SMALL:
        return "lenet5_plain" if seen.grey else "resnet20"
    return DEFAULT_BACKBONE


def scratch_pixels(net: str, seen: Glance) -> Pixels:
    """The preprocessing for training `net` from nothing: nothing enlarged that fits, photographs cropped square.

    The normalisation is a placeholder here; training measures it on its images.
    """
    facts = known(net)
    height, width = facts.input_size or _size_for(seen)
    channels = 1 if facts.in_channels == 1 else 3
    fits = 0 < seen.largest <= min(height, width) and seen.side * 2 >= min(height, width)
    neutral = (127.5,) * channels
    return Pixels(height, width, channels, rule="centre" if fits else "crop", mean=neutral, std=neutral)


def _size_for(seen: Glance) -> tuple[int, int]:
    """Height and width for a net of the user's own that names none: small images as they are, else the usual 224."""
    return (seen.largest, seen.largest) if 0 < seen.largest <= SMALL_IMAGES else USUAL_SIZE
