"""Inception-v4 and the Inception-ResNets against their figures, and the residual block by its algebra."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.anatomy.summary import describe
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.inception_v4 import INCEPTION_V4, RESNET_V1, RESNET_V2, RESNET_V2_FIGURES, Residual, Row, stages
from striate.tables import table

# Counted from independent builds; written out, so that the facts and the code cannot drift together.
KNOWN = {
    "inception_v4": (42_679_816, 12_253_974_624),
    "inception_resnet_v1": (22_756_328, 6_206_361_696),
    "inception_resnet_v1_facenet": (23_995_624, 6_308_235_360),
    "inception_resnet_v2": (55_843_464, 13_155_794_016),
    "inception_resnet_v2_figures": (32_433_928, 9_257_953_632),
}
TABLES = {
    "inception_v4": INCEPTION_V4,
    "inception_resnet_v1": RESNET_V1,
    "inception_resnet_v2": RESNET_V2,
    "inception_resnet_v2_figures": RESNET_V2_FIGURES,
}


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        return create(name).eval()


@pytest.mark.parametrize("name", KNOWN)
def test_counts_are_those_of_independent_builds(name: str) -> None:
    assert (entry(name).parameters, entry(name).madds) == KNOWN[name]


@pytest.mark.parametrize("name", TABLES)
def test_what_leaves_a_row_is_what_the_next_one_takes(name: str) -> None:
    printed = [line.split()[4 if "scale" in TABLES[name] else 2] for line in TABLES[name].strip().splitlines()[1:]]
    outputs = [row.output for row in describe(name)[:-1]]
    assert printed == ["299x3", *(f"{height}x{channels}" for channels, height, _ in outputs)]


def test_the_modules_are_as_many_as_the_text_says() -> None:
    counts = {row.stage: row.n for row in table(Row, INCEPTION_V4)}
    assert (counts["a"], counts["b"], counts["c"]) == (4, 7, 3)
    for name, blocks in (("inception_resnet_v1", 20), ("inception_resnet_v2_figures", 20), ("inception_resnet_v2", 40)):
        assert sum(isinstance(module, Residual) for module in on_meta(name).modules()) == blocks


def test_block_c_of_inception_v4_has_uneven_widths() -> None:
    convs = [module for module in on_meta("inception_v4").c[0].modules() if isinstance(module, nn.Conv2d)]
    assert [(conv.kernel_size, conv.out_channels) for conv in convs] == [
        *(((1, 1), 256), ((1, 1), 384), ((1, 3), 256), ((3, 1), 256)),
        *(((1, 1), 384), ((3, 1), 448), ((1, 3), 512), ((1, 3), 256), ((3, 1), 256), ((1, 1), 256)),
    ]


@pytest.mark.parametrize("name", TABLES)
def test_only_what_is_marked_shrinks_the_map_and_averages_leave_out_the_border(name: str) -> None:
    for module in on_meta(name).modules():
        if isinstance(module, nn.AvgPool2d):
            assert not module.count_include_pad
        if isinstance(module, nn.Conv2d | nn.MaxPool2d) and module.stride in (2, (2, 2)):
            assert module.padding in (0, (0, 0))
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == 1e-3


def test_the_residual_is_linear_scaled_and_added_before_relu() -> None:
    torch.manual_seed(0)
    (stage,) = (stage for stage in stages(RESNET_V1, width=1 / 16) if stage.name == "c")
    block = Residual(stage.channels, stage.paths, 0.2, relu=True).eval()
    assert block.linear.bias is not None
    nn.init.normal_(block.linear.bias)
    x = torch.randn(2, stage.channels, 4, 5)
    inner = torch.cat([path(x) for path in block.paths.children()], 1)
    residual = F.conv2d(inner, block.linear.weight, block.linear.bias)
    assert residual.min() < 0 < residual.max()
    torch.testing.assert_close(block(x), (x + 0.2 * residual).relu())
    last = Residual(stage.channels, stage.paths, 1.0, relu=False).eval()
    last.load_state_dict(block.state_dict())
    torch.testing.assert_close(last(x), x + residual)


def test_the_scale_is_the_same_in_training_and_evaluation() -> None:
    torch.manual_seed(0)
    block = create("inception_resnet_tiny").get_submodule("a.0")
    assert isinstance(block, Residual)
    assert block.scale == 0.17
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()
    x = torch.randn(2, 16, 5, 5)
    assert torch.equal(block.train(False)(x), block(x))
    for norm in block.train().modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eval()
    assert torch.equal(block(x), block.eval()(x))


def test_the_released_last_block_has_no_relu_and_no_scale() -> None:
    blocks = [module for module in on_meta("inception_resnet_v2").modules() if isinstance(module, Residual)]
    assert [block.scale for block in blocks] == [0.17] * 10 + [0.10] * 20 + [0.20] * 9 + [1.0]
    assert [isinstance(block.act, nn.Identity) for block in blocks].index(True) == 39


def test_every_conv_is_normalised_but_those_that_end_a_residual() -> None:
    for name in KNOWN:
        net = on_meta(name)
        convs = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        linear = [conv for conv in convs if conv.bias is not None]
        assert len(linear) == sum(isinstance(module, Residual) for module in net.modules())
        assert len(convs) == len(norms) + len(linear)


def test_facenets_vector_is_512_and_normalised() -> None:
    net = create("inception_resnet_v1_facenet", classes=5, options={"width": 1 / 16}).eval()
    assert net.embed(torch.randn(2, 3, 75, 75)).shape == (2, 32)
    assert on_meta("inception_resnet_v1_facenet").embedding_size == 512
