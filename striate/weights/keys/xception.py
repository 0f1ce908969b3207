"""timm's and pytorchcv's names of Xception: its blocks with and without a first ReLU, and those of the middle flow."""

from __future__ import annotations

from collections.abc import Iterator

from striate.tables import table
from striate.weights.fitting import Rename
from striate.weights.keys import KeyMap, conv_norm

# Ports pad the poolings on all sides, and have torch's epsilon.
_PORTS = {"padding": "half", "norm_eps": 1e-5}
# Block there, block here, place of its first separable convolution in the branch.
_BLOCKS = (("block1", "block1", 0), ("block2", "block2", 1), ("block3", "block3", 1), ("block12", "block12", 1))
_MIDDLE = ("block{b}", "middle.{b-4}", 1)


def _timm() -> Iterator[Rename]:
    for conv in (1, 2):
        yield Rename(f"conv{conv}", f"conv{conv}.0.conv")
        yield Rename(f"bn{conv}", f"conv{conv}.0.norm")
    for conv in (3, 4):
        yield Rename(f"conv{conv}.conv1", f"conv{conv}.0.depthwise")
        yield Rename(f"conv{conv}.pointwise", f"conv{conv}.0.pointwise")
        yield Rename(f"bn{conv}", f"conv{conv}.0.norm")
    for theirs, ours, first in (*_BLOCKS, _MIDDLE):
        yield Rename(f"{theirs}.skip", f"{ours}.shortcut.conv")
        yield Rename(f"{theirs}.skipbn", f"{ours}.shortcut.norm")
        for number in range(3):
            place, part = first + 3 * number, f"{ours}.branch.{first + 2 * number}"
            yield Rename(f"{theirs}.rep.{place}.conv1", f"{part}.depthwise")
            yield Rename(f"{theirs}.rep.{place}.pointwise", f"{part}.pointwise")
            yield Rename(f"{theirs}.rep.{place + 1}", f"{part}.norm")
    yield Rename("fc", "head")


def _pytorchcv() -> Iterator[Rename]:
    yield from conv_norm((Rename("features.init_block.conv{i}", "conv{i}.0"),))
    blocks = {"stage1.unit1": _BLOCKS[0], "stage2.unit1": _BLOCKS[1], "stage3.unit1": _BLOCKS[2]}
    blocks |= {"stage4.unit1": _BLOCKS[3], "stage3.unit{b}": ("", "middle.{b-2}", 1)}
    for theirs, (_, ours, first) in blocks.items():
        yield from conv_norm((Rename(f"features.{theirs}.identity_conv", f"{ours}.shortcut"),))
        for number in range(3):
            yield from _separable(f"features.{theirs}.body.block{number + 1}", f"{ours}.branch.{first + 2 * number}")
    yield from _separable("features.final_block.conv1", "conv3.0")
    yield from _separable("features.final_block.conv2", "conv4.0")
    yield Rename("output", "head")


def _separable(theirs: str, ours: str) -> tuple[Rename, ...]:
    rows = """
        theirs        ours
        conv.dw_conv  depthwise
        conv.pw_conv  pointwise
        bn            norm
    """
    return tuple(Rename(f"{theirs}.{row.theirs}", f"{ours}.{row.ours}") for row in table(Rename, rows))


TIMM = KeyMap(tuple(_timm()), _PORTS)
PYTORCHCV = KeyMap(tuple(_pytorchcv()), _PORTS)
