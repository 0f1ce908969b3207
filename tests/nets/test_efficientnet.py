"""EfficientNet against its paper's table, compound scaling against its formula, stochastic depth in expectation."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import striate.nets
from striate.anatomy.compound_scaling import compound_scaling
from striate.anatomy.summary import describe
from striate.errors import RequestError
from striate.layers.drop_path import DropPath
from striate.layers.squeeze_excitation import SqueezeExcitation
from striate.nets import efficientnet_lite
from striate.nets.base import Net
from striate.nets.build import create, variants
from striate.nets.catalog import entry
from striate.nets.efficientnet import ROWS, SCALE_ROWS, MBConv, drop_paths
from striate.nets.mobilenet_v1 import conv_maker
from striate.nets.mobilenet_v2 import InvertedResidual
from striate.recipe import Recipe


def test_stages_are_the_tables() -> None:
    stages = describe("efficientnet_b0")[:-1]
    for row, stage, below in zip(ROWS, stages, (*ROWS[1:], ROWS[-1]), strict=True):
        assert stage.output == (row.channels, below.resolution, below.resolution)


def on_meta(name: str) -> Net:
    with torch.device("meta"):
        return create(name)


def test_excitation_squeezes_to_a_quarter_of_the_blocks_input() -> None:
    """The widths of an independent build of B0, block by block: wide map, squeezed map."""
    net = on_meta("efficientnet_b0")
    found = [module for module in net.modules() if isinstance(module, SqueezeExcitation)]
    assert [(layer.reduce.in_channels, layer.reduce.out_channels) for layer in found] == [
        (32, 8), (96, 4), (144, 6), (144, 6), (240, 10), (240, 10), (480, 20), (480, 20),
        (480, 20), (672, 28), (672, 28), (672, 28), (1152, 48), (1152, 48), (1152, 48), (1152, 48),
    ]  # fmt: skip
    assert all(isinstance(layer.act, nn.SiLU) for layer in found)
    assert not any(isinstance(module, nn.ReLU | nn.ReLU6) for module in net.modules())


def test_excitation_stands_between_filtering_and_narrowing() -> None:
    torch.manual_seed(0)
    block = MBConv(8, 8, kernel=5, stride=1, expansion=2, conv=conv_maker("same", 1e-3, nn.SiLU)).eval()
    excitation = block.depthwise.excitation
    x = torch.randn(2, 8, 6, 6)
    filtered = nn.Sequential(*list(block.depthwise.children())[:-1])(block.expand(x))
    torch.testing.assert_close(block(x), x + block.project(excitation(filtered)))
    nn.init.constant_(excitation.expand.bias, -1000)
    assert torch.equal(block(x), x + block.project(torch.zeros_like(filtered)))


def test_norms_are_the_authors() -> None:
    norms = [module for module in on_meta("efficientnet_b0").modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_catalogue_and_table_of_scales_agree() -> None:
    for scale in SCALE_ROWS:
        name = f"efficientnet_{scale.net}"
        assert entry(name).input_size == (scale.resolution, scale.resolution)
        options = variants("efficientnet")[name].options
        assert options == {"width": scale.width, "depth": scale.depth, "dropout": scale.dropout}


def test_published_networks_beside_pure_compound_scaling() -> None:
    rows = compound_scaling((0, 1, 2, 7))
    for row in rows:
        assert (row.net, row.width, row.depth, row.resolution) == SCALE_ROWS[row.phi][:4]
        counted = entry(f"efficientnet_{row.net}")
        assert (row.parameters, row.madds) == (counted.parameters, counted.madds)
        assert row.pure_depth == pytest.approx(1.2**row.phi)
        assert row.pure_width == pytest.approx(1.1**row.phi)
        assert row.pure_resolution == pytest.approx(224 * 1.15**row.phi, abs=0.5)
    b0, b1, b2, b7 = rows
    assert b0[2:7] == b0[7:], "phi 0 is B0 itself"
    assert b1.pure_parameters == b2.parameters, "the published B2 has the width and depth of phi 1"
    # One more phi costs about twice as much: 1.2 x 1.1^2 x 1.15^2 = 1.92, before channels and layers are rounded.
    assert b2.pure_madds / b1.pure_madds == pytest.approx(1.92, rel=0.1)
    assert b7.pure_madds / b0.pure_madds == pytest.approx(1.92**7, rel=0.1)
    assert b7.madds == pytest.approx(b7.pure_madds, rel=0.1)


def test_lite_scales_neither_its_ends_nor_its_plain_convolutions() -> None:
    wide = list(efficientnet_lite.stages(width=2.0, depth=2.0))
    plain = list(efficientnet_lite.stages())
    assert [one.channels // other.channels for one, other in zip(wide, plain, strict=True)] == [1, *[2] * 7, 1]
    assert [one.layers / other.layers for one, other in zip(wide, plain, strict=True)] == [1, 1, *[2] * 5, 1, 1]
    net = create("efficientnet_lite_tiny")
    assert not any(isinstance(module, SqueezeExcitation) for module in net.modules())


def test_a_dropped_path_is_kept_in_expectation() -> None:
    torch.manual_seed(0)
    layer = DropPath(0.2).train()
    x = torch.rand(20_000, 3, 1, 1) + 0.5
    y = layer(x)
    kept = (y != 0).flatten(1)
    assert torch.equal(kept.all(1), kept.any(1)), "an image is left out as a whole"
    assert kept.all(1).float().mean().item() == pytest.approx(0.8, abs=0.01)
    torch.testing.assert_close(y[kept.all(1)], x[kept.all(1)] / 0.8)
    assert (y.mean() / x.mean()).item() == pytest.approx(1, abs=0.015)
    assert layer.eval()(x) is x
    assert DropPath(0).train()(x) is x
    assert layer.train()(torch.ones(4, 2)).shape == (4, 2)


@pytest.mark.parametrize("rate", [1.0, -0.1])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(RequestError, match=f"dropped paths must be at least 0 and below 1, not {rate}"):
        DropPath(rate)
    with pytest.raises(RequestError, match=f"dropped paths must be at least 0 and below 1, not {rate}"):
        create("efficientnet_b0", options={"drop_path": rate})


def test_stochastic_depth_grows_with_depth_and_spares_blocks_without_shortcut() -> None:
    net = on_meta("efficientnet_b0")
    blocks = [module for module in net.modules() if isinstance(module, InvertedResidual)]
    for number, block in enumerate(blocks):
        drop = getattr(block.project, "drop", None)
        assert (drop is not None) == block.residual
        if drop is not None:
            assert drop.rate == pytest.approx(0.2 * number / 16)
    assert sum(block.residual for block in blocks) == 9


def test_stochastic_depth_goes_into_any_net_of_inverted_residuals() -> None:
    net = create("mobilenet_v2_tiny")
    before = list(net.state_dict())
    drop_paths(net, 0.5)
    assert list(net.state_dict()) == before
    blocks = [module for module in net.modules() if isinstance(module, InvertedResidual)]
    assert [hasattr(block.project, "drop") for block in blocks] == [block.residual for block in blocks]
    torch.manual_seed(0)
    block = net.get_submodule("stage6")[-1].train()
    x = torch.randn(64, block.project.conv.out_channels, 2, 2)
    alone = (block(x) == x).flatten(1).all(1)
    assert 0.2 < alone.float().mean() < 0.6, "some pass by the shortcut alone, at a rate of 0.5 x 15 / 17"


@pytest.mark.parametrize(
    ("name", "optimizer", "rate", "falls"),
    [
        ("mobilenet_v1", "rmsprop", 0.045, 0.94),
        ("mobilenet_v2", "rmsprop", 0.045, 0.98),
        ("efficientnet_b0", "rmsprop", 0.256, 0.97),
        ("se_resnet50", "momentum", 0.6, 0.1),
    ],
)
def test_the_papers_recipe_can_be_read(name: str, optimizer: str, rate: float, falls: float) -> None:
    file = Path(striate.nets.__file__).parent / "recipes" / f"{entry(name).recipe}.toml"
    recipe = Recipe.from_file(file)
    assert (recipe.optimizer.name, recipe.optimizer.lr, recipe.schedule.gamma) == (optimizer, rate, falls)
    assert recipe.idle("scratch") == []
    assert file.read_text(encoding="utf-8").splitlines()[1] == f"# striate train DATA --net {name} --recipe paper"
