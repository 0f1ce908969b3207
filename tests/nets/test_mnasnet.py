"""MnasNet against its figure, its authors' block lists and the counts of independent builds."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

from striate.anatomy.summary import describe
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.nets import mnasnet
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.mobilenet_v2 import InvertedResidual
from striate.tables import table

KNOWN = {
    "mnasnet_a1": (3_887_038, 311_579_072),
    "mnasnet_a1_140": (6_105_992, 586_317_952),
    "mnasnet_a1_075": (2_912_278, 223_448_480),
    "mnasnet_a1_050": (2_082_006, 103_162_992),
    "mnasnet_b1": (4_383_312, 314_415_872),
    "mnasnet_small": (2_030_264, 68_339_184),
}

# The blocks as their own notation lists them: repeats, kernel, stride, expansion, output, squeeze-and-excitation.
BLOCKS = {
    "mnasnet_a1": "r1_k3_s1_e1_o16 r2_k3_s2_e6_o24 r3_k5_s2_e3_o40_se r4_k3_s2_e6_o80 r2_k3_s1_e6_o112_se "
    "r3_k5_s2_e6_o160_se r1_k3_s1_e6_o320",
    "mnasnet_b1": "r1_k3_s1_e1_o16 r3_k3_s2_e3_o24 r3_k5_s2_e3_o40 r3_k5_s2_e6_o80 r2_k3_s1_e6_o96 r4_k5_s2_e6_o192 "
    "r1_k3_s1_e6_o320",
}


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        return create(name).eval()


@pytest.mark.parametrize("name", KNOWN)
def test_counts_are_those_of_independent_builds(name: str) -> None:
    assert (entry(name).parameters, entry(name).madds) == KNOWN[name]


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_those_that_the_authors_list(name: str) -> None:
    net = on_meta(name)
    for stage, listed in zip(net.stages[1:-1], BLOCKS[name].split(), strict=True):
        blocks = list(net.get_submodule(stage))
        first = blocks[0]
        assert all(isinstance(block, InvertedResidual) for block in blocks)
        conv = first.depthwise.conv
        widened = not isinstance(first.expand, nn.Identity)
        expansion = conv.in_channels // first.expand.conv.in_channels if widened else 1
        squeezed = any(isinstance(module, SqueezeExcitation) for module in first.modules())
        channels = first.project.conv.out_channels
        found = f"r{len(blocks)}_k{conv.kernel_size[0]}_s{conv.stride[0]}_e{expansion}_o{channels}"
        assert found + ("_se" if squeezed else "") == listed


@pytest.mark.parametrize(("name", "text"), [("a1", mnasnet.A1), ("b1", mnasnet.B1), ("small", mnasnet.SMALL)])
def test_stages_are_as_large_as_printed(name: str, text: str) -> None:
    printed = [(row.output.channels, row.output.height, row.output.width) for row in table(mnasnet.Row, text)]
    assert [row.output for row in describe(f"mnasnet_{name}")[:-1]] == printed


def test_the_squeezed_width_is_a_quarter_of_the_blocks_input_with_relu() -> None:
    layers = [module for module in on_meta("mnasnet_a1").modules() if isinstance(module, SqueezeExcitation)]
    assert [layer.reduce.out_channels for layer in layers] == [6, 10, 10, 20, 28, 28, 40, 40]
    assert {type(layer.act) for layer in layers} == {nn.ReLU}
    assert not any(isinstance(module, SqueezeExcitation) for module in on_meta("mnasnet_b1").modules())


def test_activations_are_relu_and_norms_as_in_the_authors_code() -> None:
    net = on_meta("mnasnet_a1")
    assert not any(isinstance(module, nn.SiLU | nn.ReLU6) for module in net.modules())
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_a_shortcut_is_where_the_shapes_agree() -> None:
    found = {
        name: sum(module.residual for module in on_meta(name).modules() if isinstance(module, InvertedResidual))
        for name in ("mnasnet_a1", "mnasnet_b1", "mnasnet_small")
    }
    # small's first block, 8 to 8 channels, and the first of its 32 to 32 have one too.
    assert found == {"mnasnet_a1": 9, "mnasnet_b1": 10, "mnasnet_small": 10}


def test_names_of_stages_follow_the_table() -> None:
    assert all(re.fullmatch(r"stage[1-9]", stage) for stage in on_meta("mnasnet_small").stages)
    assert create("mnasnet_small", classes=3).get_submodule("dropout").p == 0  # type: ignore[comparison-overlap]
