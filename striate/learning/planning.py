"""Choosing the strategy: a linear head on pretrained features, fine-tuning, or training from scratch; and why.

"auto" fits a head wherever there are pretrained weights, and then decides by its cross-validated error whether to
fine-tune: see `striate.learning.gain`.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from striate.data.sources.base import Source
from striate.errors import RequestError
from striate.nets.catalog import USUAL_SIZE, Entry, check_kind, defaults_of, kind_of, known
from striate.pixels import Pixels
from striate.recipe import Recipe
from striate.recipe.keys import STRATEGIES, VOTING_HEADS
from striate.weights.imported import imported_nets
from striate.weights.models import DEFAULT_BACKBONE, is_model_file, pretrained
from striate.weights.peers import sources_of
from striate.weights.registry import SOURCES, has_weights

SMALL = 40  # pixels: below this, features pretrained on photographs help little
SMALL_IMAGES = 64  # pixels: a custom net without an input size takes images of up to this side unresized
ENOUGH_FROM_SCRATCH = 2000  # small images: from here on, a small net from scratch is better


@dataclass(frozen=True)
class DataSummary:
    """Summary of the file headers, before anything is decoded. side: median shorter side, pixels. count: images.

    net_kind: of the networks that the data's task needs; "" before the data are opened.
    """

    count: int
    side: int
    largest: int
    grey: bool
    net_kind: str = ""


@dataclass(frozen=True)
class Plan:
    """What will be trained, and why, as text for the user.

    open: whether the head's error decides if fine-tuning follows, as "auto" does.
    """

    strategy: str
    net: str
    why: str
    open: bool = False


def summarise(source: Source, sample: int = 64) -> DataSummary:
    """Read the headers of up to `sample` images spread over the source."""
    step = max(1, len(source.items) // sample)
    seen = [shape for item in source.items[::step][:sample] if (shape := source.peek(item)) is not None]
    kind = source.task.net_kind
    if not seen:
        return DataSummary(len(source.items), 0, 0, False, kind)
    side = statistics.median_low(min(width, height) for width, height, _ in seen)
    largest = max(max(width, height) for width, height, _ in seen)
    return DataSummary(len(source.items), side, largest, all(channels == 1 for _, _, channels in seen), kind)


def choose(seen: DataSummary, strategy: str, net: str) -> Plan:
    """The plan for a request; "auto", "quick", "best" and "" choose by the data.

    "quick" is a linear head wherever there are weights, "best" fine-tuning. Raises RequestError for an impossible one.
    """
    kind = seen.net_kind
    if net and not is_model_file(net):
        net = known(net).name
        kind = kind or (kind_of(net) if kind_of(net) in PLANS else "classifier")
        check_kind(net, kind)
    return PLANS[kind or "classifier"](seen, strategy, net)


def _for_classifiers(seen: DataSummary, strategy: str, net: str) -> Plan:
    if strategy in STRATEGIES:
        return _requested(seen, strategy, net)
    if net and not is_model_file(net) and not has_weights(net):
        return Plan("scratch", net, f"there are no published weights for {net}")
    if not net and strategy != "quick" and seen.side <= SMALL and seen.count >= ENOUGH_FROM_SCRATCH:
        why = f"{seen.count:,} small images ({seen.side} pixels) are enough to train a small net from scratch"
        return Plan("scratch", _net_for(seen), why)
    if is_model_file(net):
        why = f"{net} has weights"
    elif net:
        why = f"{net} has weights pretrained on {_data_of(net)}"
    elif seen.side > SMALL:
        why = f"{seen.count:,} photographs: a linear head on the features of a net pretrained on ImageNet"
    else:
        why = f"{seen.count:,} images are too few to train from scratch: a linear head on pretrained features"
    if strategy == "best":
        return Plan("finetune", net or DEFAULT_BACKBONE, "requested by best")
    return Plan("features", net or DEFAULT_BACKBONE, why, open=strategy == "auto")


def check_request(recipe: Recipe) -> None:
    """Check what a recipe asks of its net, before the data are opened, which may take minutes.

    Raises RequestError for an unknown net, a strategy that it cannot be trained by, options that it does not take, and
    a model file that cannot be read or has no place for a head.
    """
    net, strategy = recipe.net.name or "", recipe.strategy
    if not net and strategy not in STRATEGIES:
        return  # chosen by the data
    plan = choose(DataSummary(0, 0, 0, False), strategy, net)
    check_linear_head(plan.strategy, recipe.head.kind)
    if is_model_file(net):
        pretrained(net)
    elif plan.strategy == "scratch" and net:
        from striate.nets.build import check_options  # imports torch, which training from scratch does anyway

        check_options(plan.net, recipe.net.options)


def check_linear_head(strategy: str, kind: str) -> None:
    """Raise RequestError for fine-tuning with a head that is no linear layer."""
    if strategy == "finetune" and kind in VOTING_HEADS:
        raise RequestError(f"--head {kind}: fine-tuning needs a linear head, to train it with the network's stages")


def _requested(seen: DataSummary, strategy: str, net: str) -> Plan:
    if is_model_file(net):
        if strategy == "scratch":
            raise RequestError(
                f"strategy 'scratch' starts from random weights; {net!r} is a model file: name its net, or give the "
                "recipe.toml of its run as the net"
            )
        return Plan(strategy, net, "requested")
    if strategy == "scratch":
        return Plan(strategy, net or _net_for(seen), "requested")
    backbone = net or DEFAULT_BACKBONE
    if not has_weights(backbone):
        raise RequestError(without_weights(strategy, backbone))
    return Plan(strategy, backbone, "requested")


def without_weights(strategy: str, net: str) -> str:
    """The error message if there are no weights of `net` for a strategy: how to get them."""
    libraries = sources_of(net)
    if libraries:
        others = f" (or {', '.join(libraries[1:])})" if libraries[1:] else ""
        how = f"import them from a file: striate import FILE --net {net} --from {libraries[0]} --keep{others}"
    else:
        how = "no library has weights that fit"
    return (
        f"strategy {strategy!r} needs weights, and there are none for {net!r} here; {how}; "
        f"nets that have them: {', '.join([*SOURCES, *imported_nets()])}"
    )


def _data_of(net: str) -> str:
    facts = known(net)
    return (isinstance(facts, Entry) and facts.weights) or "other images"


def _size_for(seen: DataSummary) -> tuple[int, int]:
    """Height and width for a custom net without an input size: small images unresized, else the usual size."""
    return (seen.largest, seen.largest) if 0 < seen.largest <= SMALL_IMAGES else USUAL_SIZE


def _net_for(seen: DataSummary) -> str:
    if seen.largest <= SMALL:
        return "lenet5_plain" if seen.grey else "resnet20"
    return DEFAULT_BACKBONE


def scratch_pixels(net: str, seen: DataSummary, options: Mapping[str, object]) -> Pixels:
    """The preprocessing for training `net` with these `options` from scratch: small images are not enlarged,
    photographs cropped square.

    The normalisation is a placeholder; training measures it on its images.
    """
    facts = known(net)
    if isinstance(facts, Entry) and facts.kind in SIDES:
        return dense_pixels(seen, facts.kind)
    own = defaults_of(facts, options)
    height, width = own.input_size or _size_for(seen)
    channels = 1 if own.in_channels == 1 else 3
    fits = 0 < seen.largest <= min(height, width) and seen.side * 2 >= min(height, width)
    neutral = (127.5,) * channels
    return Pixels(height, width, channels, rule="centre" if fits else "crop", mean=neutral, std=neutral)


# Segmenters and detectors


class Sides(NamedTuple):
    """Of the input in pixels: its side, to which larger images are shrunk, and what it is a multiple of.

    pretrained: the side on a pretrained network, of up to MANY images: the maps of more would take too much memory.
    """

    side: int
    pretrained: int
    multiple: int


# On a pretrained network 384 is better for masks than 256: a person IoU of .71 and not .65 on training images left out
# (benchmarks/segmentation.py).
SIDES = {"segmenter": Sides(256, 384, 32), "detector": Sides(320, 320, 64)}
MANY = 3_000
BACKBONES = dict.fromkeys(("fcn_lite0", "fcos_lite0", "faster_rcnn_lite0"), DEFAULT_BACKBONE)  # and what they stand on
FROM_SCRATCH = {"segmenter": "enet_19", "detector": "fcos_lite0"}  # those to train from random weights
TARGETS = {"segmenter": ("masks", "decoder"), "detector": ("boxes", "head")}  # what is learned, and by what


def dense_pixels(seen: DataSummary, kind: str, *, pretrained: bool = False) -> Pixels:
    """The preprocessing for masks and boxes: the whole image, its sides made equal, so that nothing of it is lost.

    pretrained: for a network on pretrained stages.
    """
    usual, larger, multiple = SIDES[kind]
    largest = larger if pretrained and seen.count <= MANY else usual
    side = min(largest, -(-seen.largest // multiple) * multiple) if seen.largest else largest
    neutral = (127.5,) * 3
    return Pixels(side, side, 3, rule="squash", mean=neutral, std=neutral)


def _for_dense(seen: DataSummary, strategy: str, net: str) -> Plan:
    kind = seen.net_kind or kind_of(net)
    if is_model_file(net):
        raise RequestError(f"training a {kind} does not start from a model file, such as {net!r}: name a net")
    on_backbone = [name for name in BACKBONES if kind_of(name) == kind]
    if strategy == "scratch":
        return Plan("scratch", net or FROM_SCRATCH[kind], "requested")
    if strategy in STRATEGIES:
        chosen = net or on_backbone[0]
        if chosen not in on_backbone or not has_weights(BACKBONES[chosen]):
            nets = ", ".join(on_backbone)
            raise RequestError(f"strategy {strategy!r} needs a {kind} on a pretrained network ({nets}), not {chosen!r}")
        return Plan(strategy, chosen, "requested")
    if net and net not in on_backbone:
        return Plan("scratch", net, f"{net} stands on no pretrained network")
    chosen = net or on_backbone[0]
    if strategy == "best":
        return Plan("finetune", chosen, "requested by best")
    what, part = TARGETS[kind]
    return Plan("features", chosen, f"{what}: a {part} on the maps of {BACKBONES[chosen]}, pretrained on ImageNet")


# Captioners

CAPTIONERS = dict.fromkeys(("nic_lite0", "show_attend_tell_lite0"), DEFAULT_BACKBONE)  # and what they stand on


def _for_captioners(seen: DataSummary, strategy: str, net: str) -> Plan:
    chosen = net or next(iter(CAPTIONERS))
    if strategy == "scratch":
        raise RequestError(
            "strategy 'scratch': captions are learned on the maps of a pretrained network; leave the strategy out, or "
            "give 'features' or 'finetune'"
        )
    if chosen not in CAPTIONERS:
        raise RequestError(f"captions are learned by {' or '.join(CAPTIONERS)}, not {chosen!r}")
    if strategy in ("finetune", "best"):
        return Plan("finetune", chosen, "requested" if strategy == "finetune" else "requested by best")
    why = "requested" if strategy in STRATEGIES else f"an LSTM on the maps of {CAPTIONERS[chosen]}, which stays frozen"
    return Plan("features", chosen, why)


PLANS = {
    "classifier": _for_classifiers,
    "segmenter": _for_dense,
    "detector": _for_dense,
    "captioner": _for_captioners,
}
