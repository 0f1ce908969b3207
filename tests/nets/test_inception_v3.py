"""Inception-v3 against its table and the ports' layers; the block's forms side by side; the cost of halving a grid."""

from __future__ import annotations

import itertools
from importlib.resources import files

import pytest
import torch
from torch import nn

from striate.anatomy.inception_blocks import block_costs, blocks, part_costs, reduction_costs
from striate.anatomy.summary import describe, madds, module_madds, parameters
from striate.errors import RequestError
from striate.nets.build import create
from striate.nets.catalog import entry
from striate.nets.inception_modules import Figure7, pooled_path
from striate.nets.inception_v3 import ROWS, V2_TABLE, InceptionV3, rows_of
from striate.recipe import Recipe

# Convolutions of one module of each kind, in -> out and kernel, as forward hooks found them in a port.
LAYERS = {
    "mixed5b": "192-64 1x1, 192-48 1x1, 48-64 5x5, 192-64 1x1, 64-96 3x3, 96-96 3x3, 192-32 1x1",
    "mixed6a": "288-384 3x3, 288-64 1x1, 64-96 3x3, 96-96 3x3",
    "mixed6b": "768-192 1x1, 768-128 1x1, 128-128 1x7, 128-192 7x1, 768-128 1x1, 128-128 7x1, 128-128 1x7, "
    "128-128 7x1, 128-192 1x7, 768-192 1x1",
    "mixed7a": "768-192 1x1, 192-320 3x3, 768-192 1x1, 192-192 1x7, 192-192 7x1, 192-192 3x3",
    "mixed7b": "1280-320 1x1, 1280-384 1x1, 384-384 1x3, 384-384 3x1, 1280-448 1x1, 448-384 3x3, 384-384 1x3, "
    "384-384 3x1, 1280-192 1x1",
}


def meta(name: str, size: int = 299) -> InceptionV3:
    with torch.device("meta"):
        net = create(name, input_size=(size, size)).eval()
    assert isinstance(net, InceptionV3)
    return net


def test_what_leaves_a_row_is_what_the_next_one_takes() -> None:
    outputs = {row.name: row.output for row in describe("inception_v3_no_aux")}
    for row, below in itertools.pairwise(ROWS[:-1]):
        height, width, channels = below.input
        assert outputs[row.stage] == (channels, height, width)


@pytest.mark.parametrize("stage", LAYERS)
def test_a_module_is_layer_for_layer_the_ports(stage: str) -> None:
    found = [
        f"{one.in_channels}-{one.out_channels} {one.kernel_size[0]}x{one.kernel_size[1]}"
        for one in meta("inception_v3_no_aux").get_submodule(stage).modules()
        if isinstance(one, nn.Conv2d)
    ]
    assert ", ".join(found) == LAYERS[stage]


def test_without_gains_it_has_the_count_of_the_authors_release() -> None:
    net = meta("inception_v3_no_aux")
    norms = [one for one in net.modules() if isinstance(one, nn.BatchNorm2d)]
    assert {one.eps for one in norms} == {1e-3}
    assert parameters(net) - sum(one.num_features for one in norms) == 23_817_352


def test_the_auxiliary_head_is_normalised_and_on_the_last_17x17_map() -> None:
    net = meta("inception_v3")
    head = net.get_submodule("auxiliary1")
    assert parameters(head) == 27_161_264 - 23_834_568
    assert sum(isinstance(one, nn.BatchNorm2d) for one in head.modules()) == 2
    assert net.auxiliary_heads == {"mixed6e": "auxiliary1"}
    assert net.stages.index("mixed7a") == net.stages.index("mixed6e") + 1
    assert [one.kernel_size for one in head.modules() if isinstance(one, nn.Conv2d)] == [(1, 1), (5, 5)]
    assert module_madds(head, (768, 17, 17)) == 768 * 128 * 25 + 128 * 768 * 25 + 768_000


def test_the_auxiliary_head_fits_smaller_images_and_says_which_it_cannot() -> None:
    net = create("inception_v3_tiny", input_size=(107, 139)).eval()
    assert isinstance(net, InceptionV3)
    scores, auxiliary = net.forward_aux(torch.zeros(1, 3, 107, 139))
    assert [tuple(one.shape) for one in (scores, *auxiliary)] == [(1, 10), (1, 10)]
    # A larger image is seen in more than one place, and the mean taken.
    assert net.forward_aux(torch.zeros(1, 3, 171, 171))[1][0].shape == (1, 10)
    with pytest.raises(RequestError, match="auxiliary head needs images of at least 107 x 107 pixels, not 106 x 299"):
        create("inception_v3", input_size=(106, 299))
    with pytest.raises(RequestError, match="an auxiliary head takes maps of at least 17 x 17, not 5 x 5"):
        meta("inception_v3").forward_aux(torch.empty(1, 3, 107, 107, device="meta"))
    assert meta("inception_v3_no_aux", 75).forward_aux(torch.empty(1, 3, 75, 75, device="meta"))[1] == []


def test_the_average_does_not_count_the_border() -> None:
    pool = pooled_path(1, 1)[0]
    assert torch.equal(pool(torch.ones(1, 1, 3, 4)), torch.ones(1, 1, 3, 4))


def test_the_forms_of_the_block_side_by_side() -> None:
    wide, thin, out, size = 768, 128, 192, 17
    costs = {row.name.partition(" (")[0]: row for row in block_costs(wide, size, reduced=thin, channels=out)}
    assert list(costs) == ["naive", "original", "5x5 as two 3x3", "1 x n and n x 1, n = 3", "1 x n and n x 1, n = 7"]
    ones = wide * (2 * out + 2 * thin)  # The first path, the projection, and two reductions.
    weights = {
        "naive": wide * out * (1 + 9 + 25),
        "original": ones + thin * out * (9 + 25),
        "5x5 as two 3x3": ones + thin * out * (9 + 9) + thin * thin * 9,
        "1 x n and n x 1, n = 3": ones + 3 * (thin * thin * 4 + thin * out * 2),
        "1 x n and n x 1, n = 7": ones + 7 * (thin * thin * 4 + thin * out * 2),
    }
    for name, row in costs.items():
        assert row.madds == weights[name] * size * size
    naive, original, threes, thinner, larger = costs.values()
    assert naive.channels == wide + 3 * out
    assert {row.channels for row in (original, threes, thinner, larger)} == {4 * out}
    # Cheaper for the same window; and for the price of the original, a window of 13.
    assert original.madds > threes.madds > thinner.madds
    assert (naive.sees, original.sees, threes.sees, thinner.sees, larger.sees) == (5, 5, 5, 5, 13)
    assert larger.madds < original.madds
    norms = 2 * (4 * out + 2 * thin)
    assert original.parameters == weights["original"] + norms


@pytest.mark.parametrize(("block", "n"), [(2, 3), (3, 3), (4, 7)])
def test_a_block_sees_what_it_says(block: int, n: int) -> None:
    name, sees, module = list(blocks(2, 2, 2))[block]
    x = torch.rand(1, 2, 31, 31, requires_grad=True)
    module.eval()
    for parameter in module.parameters():
        nn.init.constant_(parameter, 0.1)
    module(x)[..., 15, 15].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum((0, 1)) > 0
    extent = max(int(seen.any(axis).sum()) for axis in (0, 1))
    assert extent == sees, name


def test_halving_a_grid_beside_pooling_costs_less_than_before_it() -> None:
    d, k = 35, 288
    pooled_last = k * 2 * k * d * d * 9
    net = meta("inception_v3_no_aux")
    reduction = net.get_submodule("mixed6a")
    assert module_madds(reduction, (k, d, d)) < pooled_last / 4
    out = reduction(torch.empty(1, k, d, d, device="meta"))
    assert tuple(out.shape) == (1, 384 + 96 + k, 17, 17)


def test_size_of_the_image_is_no_part_of_the_net() -> None:
    net = meta("inception_v3_no_aux")
    assert madds(net, (299, 299)) == 5_713_216_096
    assert madds(net, (75, 75)) < 5_713_216_096 / 16


V2_ROWS = rows_of(V2_TABLE)


def test_inception_v2_has_the_printed_sizes_and_numbers_of_modules() -> None:
    outputs = {row.name: row.output for row in describe("inception_v2")}
    for row, below in itertools.pairwise(V2_ROWS[:-1]):
        height, width, channels = below.input
        assert outputs[row.stage] == (channels, height, width)
    kinds = [row.type for row in V2_ROWS]
    assert [kinds.count(kind) for kind in ("figure5", "figure6", "figure7", "figure10")] == [3, 5, 2, 2]


def test_inception_v2_with_our_widths_is_counted() -> None:
    assert (entry("inception_v2").parameters, entry("inception_v2").madds) == (26_405_192, 6_482_774_624)


def test_its_modules_are_v3s_where_the_rows_are() -> None:
    """The same parts: only a 5x5 of v3's is a 3x3 here, and a reduction and a module are equal to the weight."""
    ours, theirs = meta("inception_v2"), meta("inception_v3_no_aux")
    same = {"b1": "mixed6b", "b4": "mixed6e", "reduce2": "mixed7a", "c1": "mixed7b", "c2": "mixed7c"}
    for here, there in same.items():
        shapes = [
            [(key, value.shape) for key, value in net.get_submodule(name).state_dict().items()]
            for net, name in ((ours, here), (theirs, there))
        ]
        assert shapes[0] == shapes[1], here
    assert parameters(theirs.get_submodule("mixed5d")) - parameters(ours.get_submodule("a1")) == 48 * 64 * (25 - 9)


def test_the_parallel_pairs_of_figure_7_are_side_by_side() -> None:
    module = meta("inception_v2").get_submodule("c1")
    assert isinstance(module, Figure7)
    assert module(torch.empty(1, 1280, 8, 8, device="meta")).shape[1] == 320 + 2 * 384 + 2 * 384 + 192 == 2048


def test_the_parts_of_inception_v2_and_what_they_cost() -> None:
    costs = {cost.name: cost for cost in part_costs()}
    assert {name: cost.figure for name, cost in costs.items()} == {
        "a1": "figure5", "reduce1": "figure10", "b1": "figure6", "reduce2": "figure10", "c1": "figure7",
    }  # fmt: skip
    assert [(cost.takes, cost.gives) for cost in costs.values()] == [
        ((288, 35, 35), (288, 35, 35)),
        ((288, 35, 35), (768, 17, 17)),
        ((768, 17, 17), (768, 17, 17)),
        ((768, 17, 17), (1280, 8, 8)),
        ((1280, 8, 8), (2048, 8, 8)),
    ]
    whole = {row.name: (row.parameters, row.madds) for row in describe("inception_v2")}
    assert all((cost.parameters, cost.madds) == whole[name] for name, cost in costs.items())


def test_halving_a_grid_in_parallel_costs_least() -> None:
    costs = reduction_costs(in_channels=320, size=35)
    assert costs["pool last"] == 35 * 35 * 320 * 640 * 9
    assert costs["pool first"] == 17 * 17 * 320 * 640 * 9 == 2 * costs["parallel"]


def test_the_recipe_is_one() -> None:
    recipe = Recipe.from_toml((files("striate.nets") / "recipes" / "inception_v3.toml").read_text(encoding="utf-8"))
    assert (recipe.optimizer.name, recipe.optimizer.alpha, recipe.optimizer.epsilon) == ("rmsprop", 0.9, 1.0)
    assert (recipe.schedule.step_epochs, recipe.schedule.gamma) == (2, 0.94)
    assert (recipe.train.clip_norm, recipe.loss.label_smoothing) == (2.0, 0.1)
