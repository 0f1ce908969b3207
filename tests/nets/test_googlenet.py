"""GoogLeNet against its Table 1 and the Caffe team's counts; the naive module beside the reduced one."""

from __future__ import annotations

from importlib.resources import files

import pytest
import torch
from torch import nn

from striate.anatomy.summary import StageRow, describe, module_madds, parameters, stage_rows
from striate.errors import RequestError
from striate.layers.lrn import LRN
from striate.nets.build import create
from striate.nets.googlenet import ROWS, GoogLeNet, Inception, NaiveInception, stages
from striate.recipe import Recipe

# Parameters and multiply-adds of BVLC/caffe's models/bvlc_googlenet/deploy.prototxt, counted apart from this code.
CAFFE = {
    "conv1": (9_472, 118_013_952),
    "conv2": (114_944, 359_661_568),
    "inception3a": (163_696, 128_049_152),
    "inception3b": (388_736, 304_267_264),
    "inception4a": (376_176, 73_608_192),
    "inception4b": (449_160, 87_908_352),
    "inception4c": (510_104, 99_850_240),
    "inception4d": (605_376, 118_515_712),
    "inception4e": (868_352, 169_996_288),
    "inception5a": (1_043_456, 51_079_168),
    "inception5b": (1_444_080, 70_697_984),
    "head": (1_025_000, 1_024_000),
}


def meta(name: str, size: int) -> GoogLeNet:
    with torch.device("meta"):
        net = create(name, input_size=(size, size))
    assert isinstance(net, GoogLeNet)
    return net


def by_name(name: str) -> dict[str, StageRow]:
    return {row.name: row for row in describe(name)}


def test_every_stage_has_the_papers_size_and_caffes_counts() -> None:
    counted = by_name("googlenet_no_aux")
    for row in ROWS:
        if row.stage in counted:
            height, width, channels = row.output
            assert counted[row.stage].output == (channels, height, width)
    for stage, expected in CAFFE.items():
        assert (counted[stage].parameters, counted[stage].madds) == expected
    assert sum(row.parameters for row in counted.values()) == 6_998_552


def test_the_printed_costs_are_met_but_for_those_of_other_widths() -> None:
    net = meta("googlenet_no_aux", 224)
    counted = by_name("googlenet_no_aux")
    for row in ROWS:
        if row.params == "-" or row.stage == "linear":
            continue
        stage = net.get_submodule(row.stage)
        weights = sum(one.weight.numel() for one in stage.modules() if isinstance(one, nn.Conv2d))
        if row.stage not in ("conv1", "inception4c", "inception5a"):
            assert weights / 1024 == pytest.approx(int(row.params[:-1]), rel=0.02)
        if row.stage not in ("conv1", "inception5a"):
            assert counted[row.stage].madds / 1e6 == pytest.approx(int(row.ops[:-1]), rel=0.01)
    # What conv1 prints is a depthwise 7x7 with multiplier 8 and a 1x1, on 112 x 112.
    separable = 7 * 7 * 3 * 8 + 3 * 8 * 64
    assert (round(separable / 1000, 1), round(separable * 112**2 / 1e6)) == (2.7, 34)


def test_it_is_22_layers_deep() -> None:
    assert sum(row.depth for row in ROWS) == 22


def test_the_auxiliary_heads_are_caffes() -> None:
    net = meta("googlenet", 224)
    first, second = net.get_submodule("auxiliary1"), net.get_submodule("auxiliary2")
    assert (parameters(first), parameters(second)) == (3_188_840, 3_190_888)
    # What training multiplies and adds besides: 1,591,044,096 in the training prototxt.
    assert module_madds(first, (512, 14, 14)) + module_madds(second, (528, 14, 14)) == 1_591_044_096 - 1_582_671_872
    scores, auxiliary = net.forward_aux(torch.empty(1, 3, 224, 224, device="meta"))
    assert [tuple(one.shape) for one in (scores, *auxiliary)] == [(1, 1000)] * 3
    assert [row.name for row in describe("googlenet")][-3:] == ["auxiliary1", "auxiliary2", "head"]


def test_auxiliary_heads_need_a_map_of_five_by_five() -> None:
    small = create("googlenet_tiny", input_size=(79, 95)).eval()
    assert isinstance(small, GoogLeNet)
    assert [len(one) for one in small.forward_aux(torch.zeros(2, 3, 79, 95))[1]] == [2, 2]
    with pytest.raises(RequestError, match="auxiliary heads need images of at least 79 x 79 pixels, not 78 x 224"):
        create("googlenet", input_size=(78, 224))
    with pytest.raises(RequestError, match="takes maps that pool to 1 x 1, unlike 14 x 14: it was made for"):
        small.forward_aux(torch.zeros(1, 3, 224, 224))
    assert meta("googlenet_no_aux", 32).forward_aux(torch.empty(1, 3, 32, 32, device="meta"))[1] == []


@pytest.mark.parametrize(("image", "sides"), [(224, (56, 28, 14, 7)), (231, (58, 29, 14, 7)), (239, (60, 30, 15, 7))])
def test_pooling_rounds_up(image: int, sides: tuple[int, ...]) -> None:
    rows = {row.name: row for row in stage_rows(meta("googlenet_no_aux", 224), (image, image))}
    assert tuple(rows[f"pool{number}"].output[1] for number in (1, 2, 3, 4)) == sides


def test_the_five_by_five_is_one_and_local_response_normalisation_is_caffes() -> None:
    net = create("googlenet_tiny")
    kernels = [one.kernel_size for one in net.get_submodule("inception3a").modules() if isinstance(one, nn.Conv2d)]
    assert kernels == [(1, 1), (1, 1), (3, 3), (1, 1), (5, 5), (1, 1)]
    norms = {name: one for name, one in net.named_modules() if isinstance(one, LRN)}
    assert list(norms) == ["pool1.1", "conv2.2"]
    x = 100 * torch.rand(1, 24, 3, 3)
    for norm in norms.values():
        torch.testing.assert_close(norm(x), nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)(x))


def test_the_naive_module_costs_more_and_grows() -> None:
    reduced, naive = by_name("googlenet_no_aux"), by_name("googlenet_naive")
    row = next(row for row in ROWS if row.stage == "inception3a")
    weights = 192 * (row.n1x1 + 9 * row.n3x3 + 25 * row.n5x5)
    assert naive["inception3a"].parameters == weights + row.n1x1 + row.n3x3 + row.n5x5 == 387_296
    assert naive["inception3a"].madds == weights * 28 * 28 == 303_464_448
    assert naive["inception3a"].madds > 2 * reduced["inception3a"].madds
    # Each module passes its input on, so that the map only grows: 256 channels become 416, 1,024 become 4,944.
    assert [naive[f"inception{name}"].output[0] for name in ("3a", "3b", "5b")] == [416, 832, 4944]
    assert sum(row.madds for row in naive.values()) > 7 * sum(row.madds for row in reduced.values())


@pytest.mark.parametrize("module", [Inception, NaiveInception])
def test_paths_stand_in_the_papers_order(module: type[Inception | NaiveInception]) -> None:
    stage = next(stage for stage in stages() if stage.name == "inception3a")
    block = module(stage.in_channels, stage.widths).eval()
    x = torch.rand(1, stage.in_channels, 5, 5)
    parts = block(x).split([stage.widths.n1x1, stage.widths.n3x3, stage.widths.n5x5, block(x).shape[1] - 224], 1)
    for name, part in zip(("1x1", "3x3", "5x5", "pool"), parts, strict=True):
        assert torch.equal(part, block[name](x))


def test_biases_start_where_caffes_do() -> None:
    for name, parameter in create("googlenet_tiny").named_parameters():
        if name.endswith("bias"):
            assert parameter.unique().tolist() == pytest.approx([0.0 if "head." in name else 0.2]), name


def test_the_recipe_is_one() -> None:
    recipe = Recipe.from_toml((files("striate.nets") / "recipes" / "googlenet.toml").read_text(encoding="utf-8"))
    assert (recipe.schedule.step_epochs, recipe.schedule.gamma, recipe.loss.aux_weight) == (8, 0.96, 0.3)
