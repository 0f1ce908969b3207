"""MnasNet's search space: stages of inverted residual blocks.

Source: Tan et al. 2018, arXiv:1807.11626, section 4.1: of each stage the kernel, the expansion, squeeze-and-excitation,
the layers (one less, as many or one more than the reference) and the width (0.75, 1 or 1.25 times the reference).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from striate.errors import RequestError, unknown
from striate.nets.mobilenet_v2 import round_channels
from striate.tuning.architecture.space import Choice, Space, Value, aligned

LAYERS = 2  # of a stage of the reference
CHOICES: dict[str, tuple[Value, ...]] = {
    "kernel": (3, 5),
    "expansion": (3, 6),
    "se": (None, 0.25),
    "layers": (LAYERS - 1, LAYERS, LAYERS + 1),
    "width": (0.75, 1.0, 1.25),
}
REFERENCE: dict[str, Value] = {"kernel": 3, "expansion": 3, "se": None, "layers": LAYERS, "width": 1.0}
SMALLEST = 4  # pixels: the last map is at least as large
MOST_HALVINGS = 5  # as MnasNet: 224 pixels to 7
LARGE = 96  # pixels: from here on the first convolution has a stride of 2
GROWTH = 1.6  # of the channels from stage to stage, about MnasNet's
COLUMNS = ("stage", "operator", "expansion", "kernel", "se", "output", "layers")


class Stage(NamedTuple):
    """A stage of the reference: the side of its output in pixels, and its channels."""

    side: int
    channels: int


def mobile_space(side: int, *, channels: int | None = None, vary: Sequence[str] = ()) -> Space:
    """The space for images of `side` pixels: a stage for each halving of the map, and one more at the end.

    channels: of the first stage, later ones have more; None: 16, or 32 for images of LARGE pixels. vary: the choices
    that are searched, of "kernel", "expansion", "se", "layers" and "width"; empty: all. Others are those of the
    reference: kernel 3, expansion 3, no squeeze-and-excitation, 2 layers, width 1.
    Raises RequestError for other names, or values out of range.
    """
    for name in vary:
        if name not in CHOICES:
            raise unknown("choice of the mobile space", name, CHOICES)
    channels = channels or (32 if side >= LARGE else 16)
    if not 8 <= side <= 1024 or not 8 <= channels <= 256:
        raise RequestError(
            f"the mobile space is for images of 8 to 1024 pixels and 8 to 256 channels, not {side} and {channels}"
        )
    searched = [name for name in CHOICES if name in vary or not vary]
    stem, stages = _reference(side, channels)
    choices = tuple(
        Choice(f"{name}{number}", CHOICES[name]) for number in range(1, len(stages) + 1) for name in searched
    )
    reference = tuple(CHOICES[name].index(REFERENCE[name]) for _ in stages for name in searched)
    return Space("mobile", "searched_mobile", choices, partial(_options, side, stem, stages), side, reference)


def _reference(side: int, channels: int) -> tuple[Stage, tuple[Stage, ...]]:
    """The stem, and the stages of blocks."""
    halvings = max(1, min(MOST_HALVINGS, int(math.log2(side / SMALLEST))))
    at = -(-side // 2) if side >= LARGE else side
    stem, stages = Stage(at, round_channels(channels)), []
    for number in range(halvings - (side >= LARGE)):
        at = -(-at // 2)
        stages.append(Stage(at, round_channels(channels * GROWTH**number)))
    stages.append(Stage(at, round_channels(channels * GROWTH ** len(stages))))
    return stem, tuple(stages)


def _options(side: int, stem: Stage, stages: Sequence[Stage], chosen: dict[str, Value]) -> dict[str, object]:
    rows: list[tuple[object, ...]] = [
        (1, "Conv", None, 3, None, f"{stem.side}x{stem.channels}", 1),
        (2, "SepConv", 1, 3, None, f"{stem.side}x{stem.channels}", 1),
    ]
    for number, stage in enumerate(stages, start=1):
        found = {name: chosen.get(f"{name}{number}", REFERENCE[name]) for name in CHOICES}
        width = found["width"]
        assert isinstance(width, float)
        output = f"{stage.side}x{round_channels(stage.channels * width)}"
        kind = ("MBConv", found["expansion"], found["kernel"], found["se"], output, found["layers"])
        rows.append((number + 2, *kind))
    last = stages[-1]
    rows.append((len(rows) + 1, "Conv", None, 1, None, f"{last.side}x{4 * last.channels}", 1))
    return {"table": aligned(COLUMNS, rows), "image": side, "dropout": 0.0}
